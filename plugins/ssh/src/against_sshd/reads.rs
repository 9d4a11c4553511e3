use std::{path::Path, process::Command, sync::Arc};

use serde_json::json;
use stargate_sdk::FailureKind;

use super::{
    actions::run,
    server::{TestSshd, context},
};
use crate::{JumpHost, client::RemoteCommand};

/// Number of hosts: more than the concurrent logins that sshd permits by default.
const MANY: usize = 40;

#[tokio::test]
async fn all_problems_of_a_host_are_reported_together() {
    let Some(server) = TestSshd::start() else { return };
    server.write("df", "Avail\n1048576\n");
    let input =
        json!({"hostname": "other", "reach": ["https://mirror.example/kubelet", "https://api.example/nothing"]});
    let error = run(&server, "ssh.host.preflight", input).await.expect_err("not fit");
    assert_eq!(error.kind, FailureKind::Permanent);
    for words in ["\"worker-1\", not \"other\"", "/var has 1 MiB", "https://api.example/nothing does not respond"] {
        assert!(error.message.contains(words), "{words} in {error}");
    }
    assert!(server.writes().iter().all(|call| call.starts_with("curl ")), "it only reads: {:?}", server.writes());
}

#[tokio::test]
async fn a_suitable_host_is_described() {
    let Some(server) = TestSshd::start() else { return };
    let swaps = std::fs::read_to_string("/proc/swaps").expect("swaps");
    if swaps.lines().count() > 1 {
        use std::io::Write as _;
        writeln!(std::io::stderr(), "SKIPPED: this machine swaps").expect("written");
        return;
    }
    std::fs::write(server.path("mirror/kubelet"), "").expect("written");
    let input = json!({"hostname": "worker-1", "minimum_memory_mib": 1, "reach": ["https://mirror.example/kubelet"]});
    let output = run(&server, "ssh.host.preflight", input).await.expect("fit");
    assert_eq!((&output["os"], &output["os_version"]), (&json!("ubuntu"), &json!("24.04")));
    assert_eq!(output["disk_free_mib"], 4096);
    assert_eq!(output["warnings"], json!(["its clock is not synchronised, which certificates require"]));
}

#[tokio::test]
async fn all_problems_of_a_kubelet_are_reported_together() {
    let Some(server) = TestSshd::start() else { return };
    let input = || {
        json!({
            "version": "v1.33.5", "sha256": "0a".repeat(32), "mirror": "https://mirror.example/release",
            "path": "/etc/kubelet", "resolv_conf": "/etc/resolv.conf",
        })
    };
    let drop_in = server.path("etc/systemd/system/kubelet.service.d/10-kubeadm.conf");
    std::fs::create_dir_all(drop_in.parent().expect("folder")).expect("directory");
    std::fs::write(&drop_in, "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet $ARGS\n").expect("written");
    server.write("etc/resolv.conf", "nameserver 127.0.0.53\n");
    let error = run(&server, "ssh.kubelet.preflight", input()).await.expect_err("not fit");
    assert_eq!(error.kind, FailureKind::Permanent);
    for words in ["10-kubeadm.conf sets ExecStart", "names the host itself (127.0.0.53)", "kubelet.sha256: curl: (22)"]
    {
        assert!(error.message.contains(words), "{words} in {error}");
    }
    std::fs::remove_file(&drop_in).expect("removed");
    server.write("etc/resolv.conf", "nameserver 10.0.0.2\n");
    server.write("mirror/kubelet.sha256", &"0a".repeat(32));
    let error = run(&server, "ssh.kubelet.preflight", input()).await.expect_err("no program");
    assert!(error.message.contains("/kubelet: curl: (22)"), "{error}");
    server.write("mirror/kubelet", "");
    let output = run(&server, "ssh.kubelet.preflight", input()).await.expect("fit");
    assert_eq!(output["resolv_conf"], "/etc/resolv.conf");
    assert!(server.writes().iter().all(|call| call.starts_with("curl ")), "it only reads: {:?}", server.writes());
}

/// Runs openssl in a directory, with arguments that are separated by spaces.
fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_certificate_is_valid_if_the_authority_issued_it() {
    let Some(server) = TestSshd::start() else { return };
    let pki = server.path("etc");
    for name in ["ca", "other"] {
        openssl(
            &pki,
            &format!("req -x509 -newkey ed25519 -nodes -keyout {name}.key -out {name}.crt -subj /CN={name} -days 2"),
        );
    }
    openssl(&pki, "req -newkey ed25519 -nodes -keyout node.key -out node.csr -subj /O=system:nodes/CN=system:node:w");
    openssl(&pki, "x509 -req -in node.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out node.crt -days 1");
    std::fs::write(pki.join("broken.crt"), "nothing").expect("written");
    let read = async |path: &str, ca: Option<&str>| {
        let input = json!({"path": pki.join(path), "ca_path": ca.map(|ca| pki.join(ca))});
        let output = run(&server, "ssh.certificate.read", input).await.expect("read");
        let boolean = |name: &str| output[name].as_bool().expect("boolean");
        ((boolean("exists"), boolean("valid")), output["subject"].as_str().expect("text").replace(' ', ""))
    };
    assert_eq!(read("node.crt", Some("ca.crt")).await, ((true, true), "O=system:nodes,CN=system:node:w".into()));
    assert_eq!(read("node.crt", None).await.0, (true, true));
    assert_eq!(read("node.crt", Some("other.crt")).await.0, (true, false));
    assert_eq!(read("node.crt", Some("absent.crt")).await.0, (true, false));
    assert_eq!(read("broken.crt", None).await, ((true, false), String::new()));
    assert_eq!(read("absent.crt", Some("ca.crt")).await, ((false, false), String::new()));
}

#[tokio::test]
async fn many_hosts_behind_a_jump_host_are_reached_concurrently() {
    let Some(server) = TestSshd::start() else { return };
    let crate::SshHost { address, user, host_key, port, .. } = server.host();
    let via = JumpHost { address, user, host_key, port };
    let pool = server.pool();
    let reads = (0..MANY).map(|number| {
        let mut host = server.host();
        host.address = format!("127.0.1.{}", number + 1);
        host.via = Some(via.clone());
        let pool = Arc::clone(&pool);
        async move {
            let cx = context();
            pool.remote(&cx, &host)?.succeed(&RemoteCommand::read("uname").args(["-n"])).await
        }
    });
    let failed = futures::future::join_all(reads).await.into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(failed.is_empty(), "{} of {MANY}: {}", failed.len(), failed[0]);
}
