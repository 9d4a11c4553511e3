use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use stargate_sdk::{ActionContext, ActionError, FailureKind, NOT_TRIED_AGAIN, Secrets};

use super::server::{TestSshd, context, free_port};
use crate::{
    SshHost,
    client::{CommandOutput, ConnectionPool, HOST_KEY, PERMISSION_DENIED, RemoteCommand},
};

/// Script that kills the sshd process of the session.
const KILL_SSHD: &str = "kill -KILL $(sed -n 's/^PPid:\t//p' /proc/$PPID/status)";

/// Runs a command on a host and returns its output, also if it failed.
async fn run(pool: &ConnectionPool, host: &SshHost, command: RemoteCommand) -> Result<CommandOutput, ActionError> {
    pool.remote(&context(), host)?.run(&command).await
}

/// A script that a shell on the host executes.
fn shell(script: &str) -> RemoteCommand {
    RemoteCommand::read("sh").args(["-c", script])
}

#[tokio::test]
async fn a_command_returns_its_own_exit_code_and_output() {
    let Some(server) = TestSshd::start() else { return };
    let pool = server.pool();
    for code in [0, 1, 127, 255] {
        let output = run(&pool, &server.host(), shell(&format!("echo out; echo err >&2; exit {code}"))).await;
        let expected = CommandOutput { code, stdout: "out\n".into(), stderr: "err\n".into() };
        assert_eq!(output.expect("ran"), expected);
    }
    let missing = run(&pool, &server.host(), RemoteCommand::read("nothing-here")).await.expect("ran");
    assert_eq!(missing.code, 127);
}

#[tokio::test]
async fn standard_input_is_passed_unchanged() {
    let Some(server) = TestSshd::start() else { return };
    let content: String = (0..60_000).flat_map(|n: u32| [n.to_string(), " 'quoted' $HOME\n".into()]).collect();
    let output = run(&server.pool(), &server.host(), RemoteCommand::read("cat").stdin(content.clone())).await;
    assert!(output.expect("ran").stdout == content, "a megabyte came back changed");
    let nothing = run(&server.pool(), &server.host(), RemoteCommand::read("cat")).await.expect("ran");
    assert_eq!(nothing.stdout, "");
}

#[tokio::test]
async fn many_commands_share_one_login() {
    let Some(server) = TestSshd::start() else { return };
    let (pool, host) = (server.pool(), server.host());
    let commands = (0..30).map(|n| run(&pool, &host, RemoteCommand::read("echo").args([n.to_string()])));
    let outputs = futures::future::try_join_all(commands).await.expect("ran");
    assert!(outputs.iter().enumerate().all(|(n, output)| output.stdout == format!("{n}\n")));
    assert_eq!(server.logins(), 1);
}

/// A session that is refused was not started, so the command can change something and is sent
/// again.
#[tokio::test]
async fn a_command_waits_for_a_session_of_a_host_that_permits_few() {
    let Some(server) = TestSshd::start_with_sessions(2) else { return };
    let (pool, host) = (server.pool(), server.host());
    let append = |n: usize| {
        RemoteCommand::change("sh").args(["-c".into(), format!("echo {n} >> {}", server.path("lines").display())])
    };
    let commands = (0..12).map(|n| run(&pool, &host, append(n)));
    futures::future::try_join_all(commands).await.expect("ran");
    let mut lines: Vec<usize> = std::fs::read_to_string(server.path("lines"))
        .expect("lines")
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_lost_connection_makes_the_outcome_of_a_change_unknown_and_is_opened_again() {
    let Some(server) = TestSshd::start() else { return };
    let (pool, host) = (server.pool(), server.host());
    let read = run(&pool, &host, shell(KILL_SSHD)).await.expect_err("connection lost");
    assert_eq!(read.kind, FailureKind::Transient, "{read}");
    let change =
        run(&pool, &host, RemoteCommand::change("sh").args(["-c", KILL_SSHD])).await.expect_err("connection lost");
    assert_eq!(change.kind, FailureKind::Unknown, "{change}");
    assert_eq!(run(&pool, &host, shell("echo back")).await.expect("opened again").stdout, "back\n");
    assert_eq!(server.logins(), 3);
}

#[tokio::test]
async fn another_host_key_than_the_pinned_one_is_refused() {
    let Some(server) = TestSshd::start() else { return };
    let pool = server.pool();
    run(&pool, &server.host(), shell("true")).await.expect("the right key");
    let error = run(&pool, &server.host_with_key("other-host"), shell("true")).await.expect_err("wrong key");
    assert_eq!((error.kind, error.code.as_deref()), (FailureKind::Permanent, Some(HOST_KEY)));
    assert!(error.hint.is_some());
    assert_eq!(server.logins(), 1);
}

#[tokio::test]
async fn a_refused_key_is_distinguished_from_an_unreachable_host() {
    let Some(server) = TestSshd::start() else { return };
    let denied = run(&server.pool_with_key("other-user"), &server.host(), shell("true")).await.expect_err("denied");
    assert_eq!((denied.kind, denied.code.as_deref()), (FailureKind::Permanent, Some(PERMISSION_DENIED)), "{denied}");
    let unreachable = SshHost { port: Some(free_port()), ..server.host() };
    let refused = run(&server.pool(), &unreachable, shell("true")).await.expect_err("refused");
    assert_eq!((refused.kind, refused.code), (FailureKind::Transient, None));
}

/// Starts a server that closes each connection, and returns its port and the number of connections.
fn closing_server() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, count)
}

#[tokio::test]
async fn a_dead_host_is_tried_once_for_all_callers_and_not_again_after_a_step_has_failed() {
    let Some(server) = TestSshd::start() else { return };
    let (port, connections) = closing_server();
    let (pool, dead) = (server.pool(), SshHost { port: Some(port), ..server.host() });
    let cx = context();
    let try_it = async || pool.remote(&cx, &dead).expect("a valid host").run(&shell("true")).await;
    let errors = futures::future::join_all((0..4).map(|_| try_it())).await;
    assert!(errors.iter().all(|error| error.as_ref().is_err_and(|error| error.kind == FailureKind::Transient)));
    assert_eq!(connections.load(Ordering::SeqCst), 1, "the others have waited for the same connection");

    cx.circuits().step_failed(cx.step());
    let error = try_it().await.expect_err("not tried");
    assert_eq!((error.kind, error.code.as_deref()), (FailureKind::Permanent, Some(NOT_TRIED_AGAIN)), "{error}");
    assert_eq!(connections.load(Ordering::SeqCst), 1);

    let remote = pool.remote(&cx, &dead).expect("a valid host").ignoring_circuits();
    assert_eq!(remote.run(&shell("true")).await.expect_err("dead").kind, FailureKind::Transient);
    assert_eq!(connections.load(Ordering::SeqCst), 2, "a step that waits for the host tries it");
}

/// Largest output that is parsed, in bytes.
const PARSED_LIMIT: usize = 16 << 20;

#[tokio::test]
async fn the_output_of_a_read_has_a_limit_and_that_of_a_change_is_kept_at_its_ends() {
    let Some(server) = TestSshd::start() else { return };
    let (pool, host) = (server.pool(), server.host());
    let print = |bytes: usize, more: &str| format!("echo first; head -c {bytes} /dev/zero | tr '\\0' x; {more}");

    let output = run(&pool, &host, shell(&print(PARSED_LIMIT - 100, ""))).await.expect("below the limit");
    assert_eq!(output.stdout.len(), PARSED_LIMIT - 100 + "first\n".len());
    for script in [print(PARSED_LIMIT, ""), "yes".into(), "cat /dev/zero".into()] {
        let error = run(&pool, &host, shell(&script)).await.expect_err("beyond the limit");
        assert_eq!(error.kind, FailureKind::Permanent, "{error}");
        assert!(error.message.ends_with("sh: the output is larger than the limit of 16777216 bytes"), "{error}");
    }

    let change = |script: String| RemoteCommand::change("sh").args(["-c".into(), script]);
    let output = run(&pool, &host, change(print(PARSED_LIMIT, "echo; echo last; exit 3"))).await.expect("it ended");
    assert!(output.stdout.starts_with("first\nxxx") && output.stdout.ends_with("xxx\nlast\n"), "{}", output.code);
    assert!(output.stdout.contains("bytes left out") && output.stdout.len() < 1 << 20 && output.code == 3);

    let errors =
        run(&pool, &host, shell(&format!("({}) >&2; exit 4", print(PARSED_LIMIT, "echo last")))).await.expect("ended");
    assert!(errors.stderr.starts_with("first\n") && errors.stderr.ends_with("last\n") && errors.code == 4);
    assert_eq!(server.logins(), 4, "a connection whose output was too large is opened again");
}

#[tokio::test]
async fn a_change_that_prints_without_end_is_stopped_by_the_timeout() {
    let Some(server) = TestSshd::start() else { return };
    let (pool, host) = (server.pool(), server.host());
    for script in ["yes", "cat /dev/zero", "cat /dev/zero >&2"] {
        let cx = context().with_timeout(std::time::Duration::from_secs(2));
        let command = RemoteCommand::change("sh").args(["-c", script]);
        let error = pool.remote(&cx, &host).expect("a host").run(&command).await.expect_err("the timeout");
        assert_eq!(error.kind, FailureKind::Unknown, "{error}");
        assert!(error.message.contains("no end within"), "{error}");
    }
}

/// The program that the configuration names gets the environment of ssh.
#[tokio::test]
async fn ssh_and_its_programs_do_not_get_the_variables_of_secrets() {
    let Some(server) = TestSshd::start() else { return };
    let secrets = Arc::new(Secrets::default());
    secrets.reserve_variables(&["CARGO_MANIFEST_DIR"]);
    let settings = server.settings("user");
    let config = settings.config.clone().expect("a configuration");
    let printed = server.path("environment");
    let text = std::fs::read_to_string(&config).expect("written");
    let exec = format!("Match exec \"env > {}\"\nMatch all\n", printed.display());
    std::fs::write(&config, exec + &text).expect("written");
    let pool = ConnectionPool::new(settings.checked().expect("settings"));
    let cx = ActionContext::detached("step", secrets);
    pool.remote(&cx, &server.host()).expect("a host").run(&shell("true")).await.expect("ran");
    let environment = std::fs::read_to_string(printed).expect("printed");
    assert!(environment.contains("\nPATH=") || environment.starts_with("PATH="), "{environment}");
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some() && !environment.contains("CARGO_MANIFEST_DIR="));
}
