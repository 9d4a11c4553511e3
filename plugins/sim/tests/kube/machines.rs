use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use stargate_sim::event::{Event, MachineSpec, Nic};
use stargate_sim::host::Output;

use crate::hang_guard::hang_guard;
use crate::harness::{Bench, open_with, skipped};
use crate::kubelets::{TOKEN, allow};

const WORKER: &str = "worker-1";
const CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
const CONFIGURATION: &str = "/var/lib/kubelet/config.yaml";
const UNIT: &str = "/etc/systemd/system/kubelet.service";

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
        ssh_closed: false,
        ip_forwarding: true,
        mac: "7C-1E-52-00-00-01".into(),
    };
    let machine = MachineSpec {
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
    put(bench, CONFIGURATION, &configuration.to_string());
    let unit = "[Service]\nExecStart=/usr/local/bin/kubelet --config=/var/lib/kubelet/config.yaml \\\n  --kubeconfig=/var/lib/kubelet/kubeconfig --bootstrap-kubeconfig=/etc/kubernetes/bootstrap\nRestart=always\n[Install]\nWantedBy=multi-user.target\n";
    put(bench, UNIT, unit);
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
    let found = hang_guard(is_so).await;
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
    let heard = hang_guard(said).await;
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
    let malformed = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode("none"));
    for (broken, what) in
        [("no certificate", "unable to parse bytes as PEM block"), (&malformed, "malformed certificate")]
    {
        put(&bench, "/etc/kubernetes/bootstrap", &bootstrap(&bench, broken));
        says(&bench, what).await;
    }
    let own = std::fs::read_to_string(bench.sim.ca_file()).unwrap();
    put(&bench, "/etc/kubernetes/bootstrap", &bootstrap(&bench, &format!("{other}{own}")));
    node(&bench, "True").await;
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

/// A certificate that is valid until `end`, with its key; of `issuer`, or else its own authority.
fn certificate(name: &str, end: i32, issuer: Option<&Issuer<'_, KeyPair>>) -> (String, KeyPair, CertificateParams) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(end, 1, 1);
    let key = KeyPair::generate().unwrap();
    let pem = if let Some(issuer) = issuer {
        params.signed_by(&key, issuer).unwrap().pem()
    } else {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    };
    (pem, key, params)
}

async fn has_no_node(bench: &Bench) {
    assert_eq!(bench.admin("GET", &format!("/api/v1/nodes/{WORKER}"), None).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_is_called_or_configured_wrongly_ends_and_says_why() {
    let bench = bare().await;
    set_up(&bench);
    let unit = must(&bench, &format!("cat {UNIT}"));
    put(&bench, UNIT, &unit.replace("--kubeconfig", "--no-such-flag=1 --kubeconfig"));
    start(&bench);
    says(&bench, "failed to parse kubelet flag: unknown flag: --no-such-flag").await;
    put(&bench, UNIT, &unit);
    let configuration = must(&bench, &format!("cat {CONFIGURATION}"));
    put(&bench, CONFIGURATION, &configuration.replace("KubeletConfiguration", "ProxyConfiguration"));
    must(&bench, "systemctl daemon-reload");
    says(&bench, "no kind \"ProxyConfiguration\" is registered").await;
    put(&bench, CONFIGURATION, &configuration);
    must(&bench, "mv /etc/kubernetes/pki/ca.crt /root/ca.crt");
    says(&bench, "unable to load client CA file /etc/kubernetes/pki/ca.crt: open").await;
    has_no_node(&bench).await;
    must(&bench, "mv /root/ca.crt /etc/kubernetes/pki/ca.crt");
    node(&bench, "True").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_token_that_has_expired_lets_nobody_in() {
    let bench = bare().await;
    set_up(&bench);
    let secret = "/api/v1/namespaces/kube-system/secrets/bootstrap-token-d4y594";
    let expiration = json!({ "stringData": { "expiration": "2020-01-01T00:00:00Z" } });
    let patched = bench.ask("PATCH", secret, &bench.token, "application/merge-patch+json", Some(&expiration)).await;
    assert_eq!(patched.0, 200, "{}", patched.1);
    start(&bench);
    says(&bench, "Unauthorized").await;
    has_no_node(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_that_has_expired_is_replaced_with_the_bootstrap_token() {
    let bench = bare().await;
    set_up(&bench);
    let (old, key, _) = certificate("system:node:worker-1", 2021, None);
    put(&bench, CLIENT, &format!("{old}{}", key.serialize_pem()));
    assert_eq!(run(&bench, &format!("openssl x509 -in {CLIENT} -noout -checkend 0")).status, 1);
    start(&bench);
    node(&bench, "True").await;
    must(&bench, &format!("openssl x509 -in {CLIENT} -noout -checkend 60"));
    must(&bench, &format!("openssl verify -CAfile /etc/kubernetes/pki/ca.crt {CLIENT}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_of_a_machine_that_is_deleted_is_not_ready() {
    let bench = bare().await;
    set_up(&bench);
    start(&bench);
    node(&bench, "True").await;
    let shared = bench.sim.shared();
    shared.emit(&mut shared.lock(), Event::MachineDeleted { name: WORKER.into() });
    node(&bench, "Unknown").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_says_when_it_has_not_read_a_units_file() {
    let bench = bare().await;
    set_up(&bench);
    let show = "systemctl show -p NeedDaemonReload --value kubelet containerd";
    start(&bench);
    assert_eq!(must(&bench, show), "no\n\nno\n");
    must(&bench, &format!("echo '# another' | tee -a {UNIT} >/dev/null; systemctl restart kubelet"));
    assert_eq!(must(&bench, show), "yes\n\nno\n");
    put(&bench, "/etc/systemd/system/containerd.service.d/10-more.conf", "[Service]\nRestart=always\n");
    assert_eq!(must(&bench, show), "yes\n\nyes\n");
    must(&bench, "systemctl daemon-reload");
    assert_eq!(must(&bench, show), "no\n\nno\n");
    must(&bench, &format!("echo '# a third' | tee -a {UNIT} >/dev/null"));
    assert_eq!(must(&bench, show), "yes\n\nno\n");
    run(&bench, "reboot");
    bench.sim.hosts().unwrap().booted(WORKER).await;
    assert_eq!(must(&bench, show), "no\n\nno\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_with_a_broken_configuration_fails_until_it_is_repaired_and_the_failure_is_reset() {
    let bench = bare().await;
    set_up(&bench);
    start(&bench);
    node(&bench, "True").await;
    put(&bench, "/etc/containerd/config.toml", "this is no configuration\n");
    let failed = run(&bench, "systemctl restart containerd");
    assert_eq!((failed.status, failed.stderr.contains("control process exited with error code")), (1, true));
    assert_eq!(must(&bench, "systemctl is-failed containerd"), "failed\n");
    assert!(node(&bench, "False").await.to_string().contains("container runtime is down"));
    must(&bench, "systemctl reset-failed containerd");
    assert_eq!(run(&bench, "systemctl is-active containerd").stdout, "inactive\n");
    let unknown = run(&bench, "systemctl reset-failed no-such");
    assert_eq!(unknown.status, 1);
    assert!(unknown.stderr.contains("Unit no-such.service not loaded."), "{}", unknown.stderr);
    put(&bench, "/etc/containerd/config.toml", "version = 2\nbin_dir = \"/usr/lib/cni\"\n");
    must(&bench, "systemctl start containerd");
    node(&bench, "True").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_is_not_to_be_started_again_fails_and_is_reset() {
    let bench = bare().await;
    set_up(&bench);
    must(&bench, "mv /etc/kubernetes/bootstrap /etc/kubernetes/elsewhere");
    let show = "systemctl show -p ActiveState,NRestarts,Result kubelet";
    start(&bench);
    says(&bench, "unable to load bootstrap kubeconfig").await;
    assert!(!must(&bench, show).contains("NRestarts=0"));
    let unit = must(&bench, &format!("cat {UNIT}"));
    put(&bench, UNIT, &unit.replace("Restart=always", "Restart=no"));
    must(&bench, "systemctl daemon-reload");
    run(&bench, "systemctl restart kubelet");
    let failed = async {
        while must(&bench, "systemctl show -p ActiveState --value kubelet") != "failed\n" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    hang_guard(failed).await.unwrap();
    let words = must(&bench, "journalctl -u kubelet -n 5 --no-pager -o cat");
    assert!(words.starts_with("failed to run Kubelet: unable to load bootstrap kubeconfig"), "{words}");
    assert_eq!(must(&bench, "journalctl -u kubelet.service -n 1 --no-pager"), format!("kubelet: {words}"));
    assert_eq!(must(&bench, "journalctl -u containerd -n 5 --no-pager -o cat"), "-- No entries --\n");
    must(&bench, "systemctl reset-failed");
    assert_eq!(must(&bench, show), "Result=success\nNRestarts=0\nActiveState=inactive\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_that_do_not_exist_are_not_installed() {
    let bench = bare().await;
    let unknown = run(&bench, "apt-get install -y containerd no-such-package");
    assert_eq!((unknown.status, unknown.stderr.as_str()), (100, "E: Unable to locate package no-such-package\n"));
    let version = run(&bench, "apt-get install -y containerd=9.9");
    assert_eq!((version.status, version.stderr.as_str()), (100, "E: Version '9.9' for 'containerd' was not found\n"));
    assert_eq!(run(&bench, "dpkg-query -W containerd").status, 1);
    assert_eq!(run(&bench, "systemctl start containerd").status, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_answers_as_the_one_that_is_installed_here() {
    if Command::new("openssl").arg("version").output().is_err() {
        return skipped("there is no openssl");
    }
    let bench = bare().await;
    let (authority, key, params) = certificate("authority", 2090, None);
    let issuer = Issuer::new(params, key);
    let files = [
        ("good", certificate("system:node:worker-1", 2090, Some(&issuer)).0),
        ("expired", certificate("system:node:worker-1", 2021, Some(&issuer)).0),
        ("foreign", certificate("other", 2090, None).0),
        ("authority", authority),
    ];
    let place = tempfile::tempdir().unwrap();
    for (name, text) in &files {
        std::fs::write(place.path().join(name), text).unwrap();
        put(&bench, &format!("/root/{name}"), text);
    }
    for (name, _) in &files {
        let end = i64::from(u32::MAX);
        let calls = [
            format!("openssl verify -CAfile authority {name}"),
            format!("openssl x509 -in {name} -noout -checkend 0"),
            format!("openssl x509 -in {name} -noout -checkend {end}"),
            format!("openssl x509 -in {name} -noout -enddate"),
        ];
        for call in calls {
            let words = call.split(' ').skip(1);
            let real = Command::new("openssl").args(words).current_dir(place.path()).output().unwrap();
            let simulated = run(&bench, &format!("cd /root; {call}"));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(" = ", "=");
            let expected = (real.status.code(), text(&real.stdout), text(&real.stderr));
            assert_eq!((Some(simulated.status), simulated.stdout, simulated.stderr), expected, "{call}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_kubeconfig_breaks_is_not_ready() {
    let bench = bare().await;
    set_up(&bench);
    start(&bench);
    node(&bench, "True").await;
    let intact = must(&bench, "cat /var/lib/kubelet/kubeconfig");
    let mut broken: Value = serde_json::from_str(&intact).unwrap();
    for (authority, what) in [(STANDARD.encode("none"), "PEM block"), ("§".to_owned(), "illegal base64 data")] {
        broken["clusters"][0]["cluster"]["certificate-authority-data"] = authority.into();
        put(&bench, "/var/lib/kubelet/kubeconfig", &broken.to_string());
        must(&bench, "systemctl restart kubelet");
        says(&bench, what).await;
        node(&bench, "Unknown").await;
    }
    put(&bench, "/var/lib/kubelet/kubeconfig", &intact);
    node(&bench, "True").await;
}
