use stargate_sdk::{ActionError, FailureKind};

use super::server::{Server, context, free_port};
use crate::{
    Host,
    command::RemoteCommand,
    connect_failure::{HOST_KEY, PERMISSION_DENIED},
    outcome::Outcome,
    pool::Pool,
};

/// Kills the sshd process that serves the session.
const CUT: &str = "kill -KILL $(sed -n 's/^PPid:\t//p' /proc/$PPID/status)";

async fn run(pool: &Pool, host: &Host, command: RemoteCommand) -> Result<Outcome, ActionError> {
    pool.remote(&context(), host)?.run(&command).await
}

fn shell(script: &str) -> RemoteCommand {
    RemoteCommand::read("sh").args(["-c", script])
}

#[tokio::test]
async fn a_command_is_told_by_its_own_exit_code_and_output() {
    let Some(server) = Server::start() else { return };
    let pool = server.pool();
    for code in [0, 1, 127, 255] {
        let outcome = run(&pool, &server.host(), shell(&format!("echo out; echo err >&2; exit {code}"))).await;
        let expected = Outcome { code, stdout: "out\n".into(), stderr: "err\n".into() };
        assert_eq!(outcome.expect("ran"), expected);
    }
    let missing = run(&pool, &server.host(), RemoteCommand::read("nothing-here")).await.expect("ran");
    assert_eq!(missing.code, 127);
}

#[tokio::test]
async fn content_goes_through_standard_input_unchanged() {
    let Some(server) = Server::start() else { return };
    let content: String = (0..60_000).flat_map(|n: u32| [n.to_string(), " 'quoted' $HOME\n".into()]).collect();
    let outcome = run(&server.pool(), &server.host(), RemoteCommand::read("cat").stdin(content.clone())).await;
    assert!(outcome.expect("ran").stdout == content, "a megabyte came back changed");
    let nothing = run(&server.pool(), &server.host(), RemoteCommand::read("cat")).await.expect("ran");
    assert_eq!(nothing.stdout, "");
}

#[tokio::test]
async fn many_commands_share_one_login() {
    let Some(server) = Server::start() else { return };
    let (pool, host) = (server.pool(), server.host());
    let commands = (0..30).map(|n| run(&pool, &host, RemoteCommand::read("echo").args([n.to_string()])));
    let outcomes = futures::future::try_join_all(commands).await.expect("ran");
    assert!(outcomes.iter().enumerate().all(|(n, outcome)| outcome.stdout == format!("{n}\n")));
    assert_eq!(server.logins(), 1);
}

#[tokio::test]
async fn a_lost_connection_leaves_a_change_in_doubt_and_is_opened_again() {
    let Some(server) = Server::start() else { return };
    let (pool, host) = (server.pool(), server.host());
    let read = run(&pool, &host, shell(CUT)).await.expect_err("cut");
    assert_eq!(read.kind, FailureKind::Transient, "{read}");
    let change = run(&pool, &host, RemoteCommand::change("sh").args(["-c", CUT])).await.expect_err("cut");
    assert_eq!(change.kind, FailureKind::Unknown, "{change}");
    assert_eq!(run(&pool, &host, shell("echo back")).await.expect("opened again").stdout, "back\n");
    assert_eq!(server.logins(), 3);
}

#[tokio::test]
async fn another_host_key_than_the_pinned_one_is_refused() {
    let Some(server) = Server::start() else { return };
    let pool = server.pool();
    run(&pool, &server.host(), shell("true")).await.expect("the right key");
    let error = run(&pool, &server.host_with_key("other-host"), shell("true")).await.expect_err("wrong key");
    assert_eq!((error.kind, error.code.as_deref()), (FailureKind::Permanent, Some(HOST_KEY)));
    assert!(error.hint.is_some());
    assert_eq!(server.logins(), 1);
}

#[tokio::test]
async fn a_key_that_the_host_does_not_take_is_told_from_a_host_that_is_not_there() {
    let Some(server) = Server::start() else { return };
    let denied = run(&server.pool_with_key("other-user"), &server.host(), shell("true")).await.expect_err("denied");
    assert_eq!((denied.kind, denied.code.as_deref()), (FailureKind::Permanent, Some(PERMISSION_DENIED)), "{denied}");
    let nobody = Host { port: Some(free_port()), ..server.host() };
    let refused = run(&server.pool(), &nobody, shell("true")).await.expect_err("refused");
    assert_eq!((refused.kind, refused.code), (FailureKind::Transient, None));
}
