use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use stargate_sim::event::{Event, Machine, Nic};
use stargate_sim::host::Output;

use crate::harness::{Bench, open_with};
use crate::kubelets::{TOKEN, allow};

const WORKER: &str = "worker-1";
const CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// A machine, booted, in a cluster that lets kubelets in.
async fn bare() -> Bench {
    let bench = open_with(true).await;
    allow(&bench).await;
    let nic = Nic {
        id: "/nics/worker-1".into(),
        machine: Some(WORKER.into()),
        network: "v".into(),
        subnet: "s".into(),
        subnet_prefix: "10.50.1.0/24".into(),
        private_ip: "10.50.1.5".into(),
        public_ip: None,
        ip_forwarding: true,
        mac: "7C-1E-52-00-00-01".into(),
    };
    let machine = Machine {
        name: WORKER.into(),
        id: "/vms/worker-1".into(),
        user_data: String::new(),
        admin_user: "ubuntu".into(),
        admin_keys: Vec::new(),
        nics: vec![nic],
    };
    let shared = bench.sim.shared();
    shared.emit(&mut shared.lock(), Event::MachineCreated(machine));
    bench.sim.hosts().unwrap().booted(WORKER).await;
    bench
}

fn run(bench: &Bench, script: &str) -> Output {
    tokio::task::block_in_place(|| bench.sim.hosts().unwrap().run(WORKER, script)).unwrap()
}

fn must(bench: &Bench, script: &str) -> String {
    let output = run(bench, script);
    assert_eq!(output.status, 0, "{script}: {}", output.stderr);
    output.stdout
}

fn put(bench: &Bench, path: &str, text: &str) {
    let encoded = STANDARD.encode(text);
    must(bench, &format!("mkdir -p $(dirname {path}); echo {encoded} | base64 -d | tee {path} >/dev/null"));
}

/// Everything that a worker needs: packages, the program, configuration and unit.
fn set_up(bench: &Bench) {
    let authority = std::fs::read_to_string(bench.sim.ca_file()).unwrap();
    must(bench, "apt-get install -y containerd containernetworking-plugins");
    let mirror = format!("{}/_mirror/kubernetes/v1.33.5/bin/linux/amd64/kubelet", bench.sim.http_url());
    must(bench, &format!("curl -fsSL -o /usr/local/bin/kubelet {mirror}; chmod 755 /usr/local/bin/kubelet"));
    put(bench, "/etc/kubernetes/pki/ca.crt", &authority);
    put(bench, "/etc/containerd/config.toml", "bin_dir = \"/usr/lib/cni\"\n");
    put_network(bench);
    put(bench, "/etc/kubernetes/bootstrap", &bootstrap(bench, &authority));
    let configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": { "x509": { "clientCAFile": "/etc/kubernetes/pki/ca.crt" } },
    });
    put(bench, "/var/lib/kubelet/config.yaml", &configuration.to_string());
    let unit = "[Service]\nExecStart=/usr/local/bin/kubelet --config=/var/lib/kubelet/config.yaml \\\n  --kubeconfig=/var/lib/kubelet/kubeconfig --bootstrap-kubeconfig=/etc/kubernetes/bootstrap\nRestart=always\n[Install]\nWantedBy=multi-user.target\n";
    put(bench, "/etc/systemd/system/kubelet.service", unit);
}

fn put_network(bench: &Bench) {
    let ipam = json!({ "type": "host-local", "ranges": [[{ "subnet": "10.244.65.0/24" }]] });
    let list = json!({ "name": "n", "plugins": [{ "type": "bridge", "ipam": ipam }] });
    put(bench, "/etc/cni/net.d/10-pods.conflist", &list.to_string());
}

fn bootstrap(bench: &Bench, authority: &str) -> String {
    let server = bench.sim.kube_url().unwrap();
    let cluster = json!({ "server": server, "certificate-authority-data": STANDARD.encode(authority) });
    json!({ "clusters": [{ "cluster": cluster }], "users": [{ "user": { "token": TOKEN } }] }).to_string()
}

fn start(bench: &Bench) {
    must(bench, "systemctl daemon-reload; systemctl enable --now kubelet");
}

/// The node once its Ready condition is `ready`.
async fn node(bench: &Bench, ready: &str) -> Value {
    let mut latest = tokio::time::interval(Duration::from_millis(10));
    let is_so = async {
        loop {
            latest.tick().await;
            let (_, node) = bench.admin("GET", &format!("/api/v1/nodes/{WORKER}"), None).await;
            let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            if conditions.iter().any(|each| each["type"] == "Ready" && each["status"] == ready) {
                return node;
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), is_so).await;
    found.unwrap_or_else(|_| panic!("not {ready}: {}", run(bench, "journalctl -u kubelet -n 9").stdout))
}

/// Waits until the kubelet says something.
async fn says(bench: &Bench, what: &str) {
    let mut latest = tokio::time::interval(Duration::from_millis(10));
    let said = async {
        while !run(bench, "journalctl -u kubelet -n 9").stdout.contains(what) {
            latest.tick().await;
        }
    };
    let heard = tokio::time::timeout(Duration::from_secs(20), said).await;
    assert!(heard.is_ok(), "{what}: {}", run(bench, "journalctl -u kubelet -n 9").stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_machine_becomes_a_node_and_is_one_again_after_a_reboot() {
    let bench = bare().await;
    set_up(&bench);
    start(&bench);
    let first = node(&bench, "True").await;
    assert_eq!(first["status"]["nodeInfo"]["kubeletVersion"], "v1.33.5");
    let check = format!("openssl verify -CAfile /etc/kubernetes/pki/ca.crt {CLIENT}");
    assert_eq!(must(&bench, &check), format!("{CLIENT}: OK\n"));
    let certificate = must(&bench, &format!("cat {CLIENT}"));
    run(&bench, "reboot");
    bench.sim.hosts().unwrap().booted(WORKER).await;
    let boot = must(&bench, "cat /proc/sys/kernel/random/boot_id");
    says(&bench, "ready: true").await;
    let again = node(&bench, "True").await;
    assert_ne!(again["status"]["nodeInfo"]["bootID"], first["status"]["nodeInfo"]["bootID"]);
    assert_eq!(again["status"]["nodeInfo"]["bootID"], boot.trim());
    assert_eq!(must(&bench, &format!("cat {CLIENT}")), certificate);
    must(&bench, "systemctl stop kubelet");
    node(&bench, "Unknown").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_network_is_not_ready_until_it_has_one() {
    let bench = bare().await;
    set_up(&bench);
    must(&bench, "rm /etc/cni/net.d/10-pods.conflist");
    start(&bench);
    assert!(node(&bench, "False").await.to_string().contains("NetworkPluginNotReady"));
    put_network(&bench);
    node(&bench, "True").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_with_what_is_wrong_does_not_join_and_says_why() {
    let bench = bare().await;
    set_up(&bench);
    let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap().cert.pem();
    put(&bench, "/etc/kubernetes/bootstrap", &bootstrap(&bench, &other));
    start(&bench);
    says(&bench, "certificate signed by unknown authority").await;
    set_up(&bench);
    must(&bench, "echo broken | tee /usr/local/bin/kubelet >/dev/null; systemctl restart kubelet");
    says(&bench, "Exec format error").await;
    set_up(&bench);
    must(&bench, "systemctl restart kubelet");
    node(&bench, "True").await;
    put(&bench, CLIENT, &other);
    says(&bench, "Unauthorized").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_ends_is_started_again_until_it_has_what_it_needs() {
    let bench = bare().await;
    set_up(&bench);
    must(&bench, "mv /etc/kubernetes/bootstrap /etc/kubernetes/elsewhere");
    start(&bench);
    says(&bench, "unable to load bootstrap kubeconfig").await;
    let show = "systemctl show --property=ActiveState,SubState,Result kubelet";
    let shown = must(&bench, show);
    for line in ["ActiveState=activating", "SubState=auto-restart", "Result=exit-code"] {
        assert!(shown.contains(line), "{shown}");
    }
    must(&bench, "mv /etc/kubernetes/elsewhere /etc/kubernetes/bootstrap");
    node(&bench, "True").await;
    assert!(must(&bench, show).contains("ActiveState=active\nSubState=running"));
    must(&bench, "systemctl stop containerd");
    assert!(node(&bench, "False").await.to_string().contains("container runtime is down"));
    must(&bench, "systemctl start containerd");
    node(&bench, "True").await;
    put(&bench, "/etc/cni/net.d/10-pods.conflist", r#"{"plugins":[{"type":"no-such","ipam":{"type":"host-local"}}]}"#);
    assert!(node(&bench, "False").await.to_string().contains("NetworkPluginNotReady"));
}
