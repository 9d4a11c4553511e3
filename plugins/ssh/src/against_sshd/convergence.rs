use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;
use stargate_sdk::FailureKind;

use super::{
    actions::{registry, run},
    server::{TestSshd, context},
};
use crate::JumpHost;

/// Runs an action twice and asserts that the second run writes nothing.
async fn run_twice(server: &TestSshd, action: &str, input: serde_json::Value) -> serde_json::Value {
    let output = run(server, action, input.clone()).await.expect("ensured");
    let writes = server.writes();
    assert_eq!(run(server, action, input).await.expect("unchanged"), output);
    assert_eq!(server.writes(), writes, "the second run of {action} writes nothing");
    output
}

#[tokio::test]
async fn a_file_is_written_once_for_each_content() {
    let Some(server) = TestSshd::start() else { return };
    let input = |text: &str| json!({"path": "/etc/app/a.conf", "content": text, "mode": "0640"});
    let first = run_twice(&server, "ssh.file.ensure", input("a = 1\n")).await;
    let second = run_twice(&server, "ssh.file.ensure", input("it's $HOME\n")).await;
    assert_ne!(first["digest"], second["digest"]);
    assert_eq!(fs::read_to_string(server.path("etc/app/a.conf")).expect("file"), "it's $HOME\n");
    run_twice(&server, "ssh.file.remove", json!({"path": "/etc/app/a.conf"})).await;
    assert!(!server.path("etc/app/a.conf").exists());
}

#[tokio::test]
async fn a_secret_in_a_file_is_minted_once_and_is_not_in_the_output() {
    let Some(server) = TestSshd::start() else { return };
    let counter = server.path("minted");
    let mint = format!("exec:echo x >>{0}; echo secret-$(wc -l <{0})-0123456789", counter.display());
    let input =
        json!({"path": "/etc/token", "content": "token: {{token}}\n", "mode": "0600", "secrets": {"token": mint}});
    let output = run_twice(&server, "ssh.file.ensure", input.clone()).await;
    assert!(!output.to_string().contains("secret-"), "{output}");
    assert_eq!(fs::read_to_string(server.path("etc/token")).expect("file"), "token: secret-1-0123456789\n");
    let mut expired = input;
    expired["max_age_seconds"] = json!(60);
    let file = fs::File::options().write(true).open(server.path("etc/token")).expect("file");
    file.set_modified(std::time::UNIX_EPOCH).expect("set");
    run_twice(&server, "ssh.file.ensure", expired).await;
    assert_eq!(fs::read_to_string(server.path("etc/token")).expect("file"), "token: secret-2-0123456789\n");
}

#[tokio::test]
async fn a_file_with_secrets_has_the_mode_0600_unless_the_input_names_another() {
    let Some(server) = TestSshd::start() else { return };
    let mode = || fs::metadata(server.path("etc/key")).expect("file").permissions().mode() & 0o7777;
    let input = json!({"path": "/etc/key", "content": "{{key}}", "secrets": {"key": "exec:echo minted-key"}});
    fs::create_dir_all(server.path("etc")).expect("created");
    fs::write(server.path("etc/key"), "readable by everyone").expect("written");
    fs::set_permissions(server.path("etc/key"), fs::Permissions::from_mode(0o666)).expect("set");
    run_twice(&server, "ssh.file.ensure", input.clone()).await;
    assert_eq!(mode(), 0o600);
    let named = json!({"path": "/etc/key", "content": "{{key}}", "secrets": input["secrets"], "mode": "0640"});
    run_twice(&server, "ssh.file.ensure", named).await;
    assert_eq!(mode(), 0o640);
    run_twice(&server, "ssh.file.ensure", json!({"path": "/etc/key", "content": "no secret"})).await;
    assert_eq!(mode(), 0o644);
}

#[tokio::test]
async fn a_directory_has_the_desired_mode() {
    let Some(server) = TestSshd::start() else { return };
    run_twice(&server, "ssh.directory.ensure", json!({"path": "/etc/a/b", "mode": "0700"})).await;
    run_twice(&server, "ssh.directory.ensure", json!({"path": "/etc/a/b", "mode": "0750"})).await;
    fs::write(server.path("etc/file"), "").expect("written");
    let error = run(&server, "ssh.directory.ensure", json!({"path": "/etc/file"})).await.expect_err("a file");
    assert_eq!(error.kind, FailureKind::Permanent);
}

#[tokio::test]
async fn a_link_points_to_an_existing_target() {
    let Some(server) = TestSshd::start() else { return };
    let input = |name: &str| json!({"path": "/etc/plugins/bridge", "target": server.path(name)});
    let error = run(&server, "ssh.link.ensure", input("nothing")).await.expect_err("no target");
    assert_eq!(error.kind, FailureKind::Permanent);
    for name in ["one", "other"] {
        fs::write(server.path(name), name).expect("written");
        run_twice(&server, "ssh.link.ensure", input(name)).await;
        assert_eq!(fs::read_to_string(server.path("etc/plugins/bridge")).expect("a link"), name);
    }
}

#[tokio::test]
async fn a_unit_is_restarted_when_a_file_that_it_reads_has_changed() {
    let Some(server) = TestSshd::start() else { return };
    let input = |digest: &str| json!({"name": "app.service", "content": "[Service]\nExecStart=/bin/true\n", "restart_on": [digest]});
    let restarts = || server.writes().iter().filter(|call| call.starts_with("systemctl restart")).count();
    run_twice(&server, "ssh.unit.ensure", input("a")).await;
    assert_eq!(restarts(), 1);
    assert!(server.writes().contains(&"systemctl enable app.service".to_owned()));
    run_twice(&server, "ssh.unit.ensure", input("b")).await;
    assert_eq!(restarts(), 2);
    fs::remove_file(server.path("active")).expect("it ran");
    run_twice(&server, "ssh.unit.ensure", input("b")).await;
    assert_eq!(restarts(), 2, "a stopped unit is started, not restarted");
    run_twice(&server, "ssh.unit.ensure", json!({"name": "app.service", "enabled": false, "active": false})).await;
    assert!(!server.path("active").exists() && !server.path("enabled").exists());
}

#[tokio::test]
async fn a_unit_that_fails_is_an_error_with_the_end_of_its_journal() {
    let Some(server) = TestSshd::start() else { return };
    server.write("broken", "");
    let input = json!({"name": "app.service", "restart_on": ["a"]});
    let error = run(&server, "ssh.unit.ensure", input.clone()).await.expect_err("it failed");
    assert_eq!(error.kind, FailureKind::Transient);
    assert!(error.message.contains("app.service is failed, not active: no such flag: --cni"), "{error}");
    fs::remove_file(server.path("broken")).expect("repaired");
    run_twice(&server, "ssh.unit.ensure", input).await;
    let writes = server.writes();
    let last = |verb: &str| writes.iter().rposition(|call| *call == format!("systemctl {verb} app.service"));
    assert!(last("reset-failed").expect("failures reset") < last("restart").expect("restarted"), "{writes:?}");
}

#[tokio::test]
async fn a_unit_whose_file_was_changed_by_hand_is_restarted_with_the_desired_one() {
    let Some(server) = TestSshd::start() else { return };
    let input = json!({"name": "app.service", "content": "[Service]\nExecStart=/bin/true\n"});
    run_twice(&server, "ssh.unit.ensure", input.clone()).await;
    fs::write(server.path("etc/systemd/system/app.service"), "[Service]\n").expect("written");
    run_twice(&server, "ssh.unit.ensure", input).await;
    assert_eq!(server.writes().iter().filter(|call| call.starts_with("systemctl restart")).count(), 2);
}

#[tokio::test]
async fn an_mss_clamp_is_restored_when_a_part_of_it_is_missing() {
    let Some(server) = TestSshd::start() else { return };
    let restores = async |expected: &[&str]| {
        let before = server.writes().len();
        run_twice(&server, "ssh.mss_clamp.ensure", json!({})).await;
        assert_eq!(server.writes()[before..], *expected);
    };
    run_twice(&server, "ssh.mss_clamp.ensure", json!({})).await;
    let rules = fs::read_to_string(server.path("etc/stargate/mss-clamp.nft")).expect("rules");
    assert_eq!(fs::read_to_string(server.path("ruleset")).expect("in force"), rules);
    assert!(server.path("enabled").exists());

    let restarted = ["systemctl restart stargate-mss-clamp.service"];
    fs::remove_file(server.path("ruleset")).expect("removed by hand");
    restores(&restarted).await;
    fs::write(server.path("ruleset"), rules.replace("\t\tiifname", "\t\t# iifname x")).expect("one direction only");
    restores(&restarted).await;
    fs::remove_file(server.path("enabled")).expect("disabled by hand");
    restores(&["systemctl enable stargate-mss-clamp.service"]).await;
    fs::write(server.path("etc/stargate/mss-clamp.nft"), "flush ruleset\n").expect("written");
    run_twice(&server, "ssh.mss_clamp.ensure", json!({})).await;
    assert_eq!(fs::read_to_string(server.path("etc/stargate/mss-clamp.nft")).expect("rules"), rules);
}

#[tokio::test]
async fn packages_are_installed_at_their_versions_after_an_interruption_too() {
    let Some(server) = TestSshd::start() else { return };
    server.write("interrupted", "");
    let input = |version: &str| json!({"packages": [{"name": "containerd", "version": version}, {"name": "socat"}]});
    let output = run_twice(&server, "ssh.package.ensure", input("1.7.24~ds1-6")).await;
    assert_eq!(output["versions"], json!({"containerd": "1.7.24~ds1-6", "socat": "1.0-1"}));
    let output = run_twice(&server, "ssh.package.ensure", input("2.0")).await;
    assert_eq!(output["versions"]["containerd"], "2.0");
    let error = run(&server, "ssh.package.ensure", json!({"packages": [{"name": "-o"}]})).await.expect_err("an option");
    assert_eq!(error.kind, FailureKind::Permanent);
}

#[tokio::test]
async fn only_a_program_with_the_pinned_checksum_is_installed() {
    let Some(server) = TestSshd::start() else { return };
    fs::write(server.path("mirror/kubelet"), "kubelet 1\n").expect("written");
    let input = |sha256: &str| json!({"url": "https://mirror.example/v1/kubelet", "path": "/etc/bin/kubelet", "sha256": sha256});
    let sum = "6eca08b8b1f8c4ee5d8d8b7ac9ea0e9a3a4c0bb6b6c9a19cdd7b9ed8f5a6a7a1";
    let error = run(&server, "ssh.binary.ensure", input(sum)).await.expect_err("another checksum");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(!server.path("etc/bin/kubelet").exists());
    assert_eq!(fs::read_dir(server.path("etc/bin")).expect("directory").count(), 0, "no temporary file remains");
    let sum = std::process::Command::new("sha256sum").arg(server.path("mirror/kubelet")).output().expect("sha256sum");
    let sum = String::from_utf8(sum.stdout).expect("text")[..64].to_owned();
    run_twice(&server, "ssh.binary.ensure", input(&sum)).await;
    let missing = json!({"url": "https://mirror.example/v1/nothing", "path": "/etc/bin/nothing", "sha256": sum});
    let error = run(&server, "ssh.binary.ensure", missing).await.expect_err("404");
    assert_eq!(error.kind, FailureKind::Permanent);
}

#[tokio::test]
async fn a_host_is_reached_through_a_jump_host_with_both_keys_pinned() {
    let Some(server) = TestSshd::start() else { return };
    let jump_host = server.host();
    let behind = |key: &str| {
        let mut host = server.host_with_key("host");
        host.address = "localhost".into(); // another name of the same machine
        let via = JumpHost { host_key: server.host_with_key(key).host_key, ..via(&jump_host) };
        host.via = Some(via);
        json!({ "host": host })
    };
    let registry = registry(&server, "user");
    let action = registry.find("ssh.host.reachable").expect("registered");
    action.run(&context(), behind("host")).await.expect("reached");
    assert_eq!(server.logins(), 2, "one for each machine");
}

fn via(host: &crate::SshHost) -> JumpHost {
    let crate::SshHost { address, user, host_key, port, .. } = host.clone();
    JumpHost { address, user, host_key, port }
}
