use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};
use serde_json::{Value, json};

use super::rig::{ROUTER, Rig, machine, waited, with_input};
use crate::event::Event;
use crate::host::server::Output;

#[tokio::test(flavor = "multi_thread")]
async fn openssh_runs_commands() {
    let rig = Rig::booted("").await;
    assert_eq!(
        waited(rig.ssh(&["ubuntu@203.0.113.4", "hostname"])).await,
        Output { status: 0, stdout: "router\n".into(), stderr: waited_warning(&rig) }
    );
    let quiet = |arguments: &[&str]| rig.ssh(&[&["-o", "LogLevel=ERROR"], arguments].concat());
    let output = waited(quiet(&["ubuntu@router", "echo out; echo err >&2; exit 41"])).await;
    assert_eq!(output, Output { status: 41, stdout: "out\n".into(), stderr: "err\n".into() });
    let output = with_input(quiet(&["ubuntu@10.237.0.4", "sudo tee /etc/put | wc -c"]), "two\nlines\n").await;
    assert_eq!((output.status, output.stdout.trim()), (0, "10"));
    let output = with_input(quiet(&["ubuntu@router", "sh -s -- a b"]), "echo \"$2 $1\"; cat /etc/put").await;
    assert_eq!(output, Output { status: 0, stdout: "b a\ntwo\nlines\n".into(), stderr: String::new() });
    let refused = waited(quiet(&["root@router", "true"])).await;
    assert_eq!(refused.status, 255);
    assert!(refused.stderr.contains("Permission denied (publickey)"), "{}", refused.stderr);
}

/// Returns the message of the client at its first connection to a host.
fn waited_warning(_rig: &Rig) -> String {
    "Warning: Permanently added '203.0.113.4' (ED25519) to the list of known hosts.\r\n".into()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_several_sessions() {
    let rig = Rig::booted("").await;
    let socket: PathBuf = rig.dir.path().join("master");
    let control = format!("ControlPath={}", socket.display());
    let base = ["-o", control.as_str(), "-o", "LogLevel=ERROR"];
    let master = [
        &base[..],
        &["-o", "ControlMaster=yes", "-o", "ControlPersist=60", "-o", "ServerAliveInterval=1", "ubuntu@router", "true"],
    ]
    .concat();
    // The master stays in the background and would keep a captured output open.
    let mut command = rig.ssh(&master);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = tokio::task::spawn_blocking(move || command.status().expect("ssh")).await.expect("waited");
    assert!(status.success());
    let line = |text: &'static str| [&base[..], &["ubuntu@router", text]].concat();
    let (first, second) =
        tokio::join!(with_input(rig.ssh(&line("cat; echo one")), "in\n"), waited(rig.ssh(&line("echo two; exit 3"))),);
    assert_eq!((first.status, first.stdout.as_str()), (0, "in\none\n"));
    assert_eq!((second.status, second.stdout.as_str()), (3, "two\n"));
    let closed = waited(rig.ssh(&[&base[..], &["-O", "exit", "ubuntu@router"]].concat())).await;
    assert_eq!(closed.status, 0, "{}", closed.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_refuses_until_its_sshd_is_up_and_shows_the_host_key_of_its_user_data() {
    let rig = Rig::open(4.0);
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).expect("key");
    let (private, public) =
        (key.to_openssh(LineEnding::LF).expect("text"), key.public_key().to_openssh().expect("text"));
    let data = json!({"ssh_keys": {"ed25519_private": private.as_str(), "ed25519_public": public}, "surprise": 1});
    rig.create(&format!("#cloud-config\n{data}"));
    rig.runtime()
        .until(|| fs::read_to_string(rig.server.ssh_config()).is_ok_and(|text| text.contains("203.0.113.4")))
        .await;
    let early = waited(rig.ssh(&["ubuntu@203.0.113.4", "true"])).await;
    assert!(early.stderr.contains("Connection refused"), "{}", early.stderr);
    rig.server.booted(ROUTER).await;
    fs::write(rig.dir.path().join("known_hosts"), format!("203.0.113.4 {public}\n")).expect("known hosts");
    let strict = ["-o", "StrictHostKeyChecking=yes", "ubuntu@203.0.113.4", "sudo cloud-init status --format=json"];
    let mut command = Command::new("ssh");
    let known = format!("UserKnownHostsFile={}", rig.dir.path().join("known_hosts").display());
    command.arg("-F").arg(rig.server.ssh_config()).args(["-o", "BatchMode=yes", "-o", &known]).args(strict);
    let output = waited(command).await;
    assert_eq!(output.status, 2, "an unknown key is complained of: {}", output.stderr);
    let status: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!((&status["status"], &status["extended_status"]), (&json!("done"), &json!("degraded done")));
}

#[tokio::test]
async fn a_machine_without_a_public_address_is_reached_through_its_neighbour_only() {
    let rig = Rig::booted("").await;
    let key = fs::read_to_string(rig.server.identity().with_extension("pub")).expect("public key");
    for (name, network, address) in [("worker", "aks-vnet", "10.237.0.9"), ("stranger", "other-vnet", "10.60.0.9")] {
        let mut created = machine(String::new(), key.clone());
        if let Event::MachineCreated(machine) = &mut created {
            (machine.name, machine.id) = (name.into(), format!("{}/{name}", machine.id));
            let nic = &mut machine.nics[0];
            (nic.id, nic.machine) = (format!("{}-{name}", nic.id), Some(name.into()));
            (nic.network, nic.private_ip, nic.public_ip) = (network.into(), address.into(), None);
        }
        rig.shared.emit(&mut rig.shared.lock(), created);
        rig.server.booted(name).await;
    }
    let through = |address: &str| {
        let options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
        let config = rig.server.ssh_config().display().to_string();
        let way = format!("ProxyCommand=ssh -F {config} {options} -W %h:%p ubuntu@203.0.113.4");
        let (host, port) = (format!("HostName={address}"), "Port=22");
        let own = ["-o", &way, "-o", &host, "-o", port, "-o", "LogLevel=ERROR"];
        waited(rig.ssh(&[&own[..], &[&format!("ubuntu@{address}"), "hostname"]].concat()))
    };
    assert_eq!(through("10.237.0.9").await, Output { status: 0, stdout: "worker\n".into(), stderr: String::new() });
    let output = through("10.60.0.9").await;
    assert_eq!(output.status, 255, "another network is out of reach: {}", output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_status_follows_the_write_of_the_state_file() {
    let rig = Rig::booted("#cloud-config\n{}\n").await;
    let saves = rig.shared.saves();
    saves.open_file();
    let ran = tokio::spawn(waited(rig.ssh(&["ubuntu@router", "touch kept"])));
    let answered = tokio::spawn(async move { ran.await.expect("ran").status });
    saves.requested().await;
    let state = serde_json::to_string(&*rig.shared.peek()).expect("JSON");
    assert!(state.contains("/home/ubuntu/kept") && !answered.is_finished());
    while !answered.is_finished() {
        saves.record(saves.changes(), true);
        tokio::task::yield_now().await;
    }
    assert_eq!(answered.await.expect("answered"), 0);
}
