use std::{fs, sync::Arc, time::Duration};

use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, ContextParts, FailureKind, Preview, Registry, RunLease, Secrets};

use super::server::{TestSshd, context, wait_until_file_contains};
use crate::register;

/// Receiver that drops what an attempt reports.
struct SilentSink;

impl stargate_sdk::AttemptSink for SilentSink {
    fn progress(&self, _: String) {}
    fn log(&self, _: String) {}
    fn save_checkpoint(&self, _: Value, _: Vec<String>) -> futures::future::BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(async { Ok(()) })
    }
}

/// Context of an attempt whose step times out after `timeout`.
fn short_context(timeout: Duration) -> ActionContext {
    ActionContext::new(ContextParts {
        run: "run".into(),
        step: "step".into(),
        attempt: 1,
        deadline: tokio::time::Instant::now() + timeout,
        cancel: tokio_util::sync::CancellationToken::new(),
        checkpoint: None,
        sink: Arc::new(SilentSink),
        secrets: Arc::new(Secrets::default()),
        lease: Arc::new(RunLease::unlimited()),
        circuits: Arc::default(),
    })
}

/// The actions of a process whose user has the key `key`.
pub(super) fn registry(server: &TestSshd, key: &str) -> Registry {
    let mut registry = Registry::default();
    register(&mut registry, server.settings(key)).expect("settings");
    registry
}

/// Runs an action against the sshd as its host.
pub(super) async fn run(server: &TestSshd, action: &str, mut input: Value) -> Result<Value, ActionError> {
    input["host"] = json!(server.host());
    registry(server, "user").find(action).expect("registered").run(&context(), input).await
}

#[tokio::test]
async fn a_reachable_host_reports_its_identity() {
    let Some(server) = TestSshd::start() else { return };
    let output = run(&server, "ssh.host.reachable", json!({})).await.expect("reachable");
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("boot id");
    assert_eq!(output["boot_id"], boot_id.trim());
}

#[tokio::test]
async fn refused_logins_are_repeated_slowly() {
    let Some(server) = TestSshd::start() else { return };
    // Time for one delay after a refusal, and not for two.
    let cx = short_context(Duration::from_millis(11_500));
    let registry = registry(&server, "other-user");
    let action = registry.find("ssh.host.reachable").expect("registered");
    let started = tokio::time::Instant::now();
    let error = action.run(&cx, json!({"host": server.host()})).await.expect_err("denied");
    assert!(error.message.contains("Permission denied"), "{error}");
    assert!(error.hint.expect("hint").contains("ssh-add"));
    // One attempt at the start and one for each six seconds: sshd blocks clients that fail more
    // often than every five.
    let maximum = 1 + started.elapsed().as_secs() / 6;
    let log = fs::read_to_string(server.path("sshd.log")).expect("log");
    let attempts = log.matches("Connection closed by authenticating user").count();
    assert!((1..=maximum).contains(&(attempts as u64)), "{attempts} attempts of {maximum}: {log}");
}

#[tokio::test]
async fn the_action_waits_for_cloud_init_and_reports_its_errors() {
    let Some(server) = TestSshd::start() else { return };
    let set_status = |status: &str, code: &str| {
        server.write("cloud-init.code", code);
        server.write("cloud-init.json", status);
    };
    set_status(
        r#"{"status":"running","extended_status":"running","detail":"","errors":[],"recoverable_errors":{}}"#,
        "0",
    );
    let waiting = run(&server, "ssh.cloud_init.wait", json!({}));
    let later = async {
        wait_until_file_contains(&server.path("calls"), "cloud-init").await;
        set_status(
            r#"{"status":"done","extended_status":"degraded done","errors":[],"recoverable_errors":{"WARNING":["odd"]}}"#,
            "2",
        );
    };
    let (output, ()) = tokio::join!(waiting, later);
    let output = output.expect("done");
    assert_eq!((output["status"].clone(), output["warnings"].clone()), (json!("done"), json!(["WARNING: odd"])));

    set_status(
        r#"{"status":"error","extended_status":"error - done","errors":["runcmd broke"],"recoverable_errors":{}}"#,
        "1",
    );
    let error = run(&server, "ssh.cloud_init.wait", json!({})).await.expect_err("failed");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(error.message.contains("runcmd broke"), "{error}");
}

#[tokio::test]
async fn a_kernel_setting_is_written_to_its_file_once() {
    let Some(server) = TestSshd::start() else { return };
    let now = fs::read_to_string("/proc/sys/kernel/ostype").expect("setting"); // Read-only: a write would fail.
    let input = json!({"settings": {"kernel.ostype": now.trim()}});
    fs::create_dir(server.path("etc/sysctl.d")).expect("directory");
    let file = server.path("etc/sysctl.d/90-stargate.conf");
    fs::write(&file, "vm.swappiness = 7\n").expect("written");
    run(&server, "ssh.sysctl.ensure", input.clone()).await.expect("ensured");
    assert_eq!(fs::read_to_string(&file).expect("file"), format!("vm.swappiness = 7\nkernel.ostype = {now}"));
    let writes = server.writes();
    assert_eq!(writes.len(), 3, "{writes:?}");
    run(&server, "ssh.sysctl.ensure", input).await.expect("unchanged");
    assert_eq!(server.writes(), writes);
}

/// Input of `ssh.routes.ensure` for these tests.
fn routes() -> Value {
    json!({"routes": [{"prefix": "10.224.0.0/16", "via": "10.0.0.1"}, {"prefix": "10.50.0.0/16", "via": "10.0.0.1", "device": "eth0"}]})
}

#[tokio::test]
async fn routes_are_installed_and_written_to_a_drop_in_of_the_network_unit() {
    let Some(server) = TestSshd::start() else { return };
    server.write("networkctl", "  Network File: /run/systemd/network/10-netplan-eth0.network\n");
    let output = run(&server, "ssh.routes.ensure", routes()).await.expect("ensured");
    let path = "/etc/systemd/network/10-netplan-eth0.network.d/60-stargate.conf";
    assert_eq!(output["routes"][0]["file"], path);
    let kernel = fs::read_to_string(server.path("routes")).expect("routes");
    assert_eq!(kernel, "10.224.0.0/16 via 10.0.0.1 dev eth0\n10.50.0.0/16 via 10.0.0.1 dev eth0\n");
    let writes = server.writes();
    run(&server, "ssh.routes.ensure", routes()).await.expect("unchanged");
    assert_eq!(server.writes(), writes, "the second run writes nothing");

    let more = json!({"routes": [{"prefix": "10.60.0.0/16", "via": "10.0.0.1"}]});
    run(&server, "ssh.routes.ensure", more).await.expect("ensured");
    let text = fs::read_to_string(server.path(&path[1..])).expect("drop-in");
    for prefix in ["10.224.0.0/16", "10.50.0.0/16", "10.60.0.0/16"] {
        assert!(text.contains(&format!("[Route]\nDestination={prefix}\nGateway=10.0.0.1\n")), "{text}");
    }
}

#[tokio::test]
async fn without_networkd_a_service_sets_the_routes_at_boot() {
    let Some(server) = TestSshd::start() else { return };
    run(&server, "ssh.routes.ensure", routes()).await.expect("ensured");
    let unit = fs::read_to_string(server.path("etc/systemd/system/stargate-routes.service")).expect("unit");
    assert!(unit.contains("ExecStart=/sbin/ip route replace 10.50.0.0/16 via 10.0.0.1 dev eth0\n"), "{unit}");
    let writes = server.writes();
    assert!(writes.iter().any(|call| call == "systemctl enable stargate-routes.service"), "{writes:?}");
    run(&server, "ssh.routes.ensure", routes()).await.expect("unchanged");
    assert_eq!(server.writes(), writes);

    fs::remove_file(server.path("enabled")).expect("disabled by hand");
    run(&server, "ssh.routes.ensure", routes()).await.expect("repaired");
    assert_eq!(server.writes()[writes.len()..], ["systemctl enable stargate-routes.service"]);
}

/// Ensures exactly these prefixes twice, asserts that the second run writes nothing, and returns
/// the kernel's routes.
async fn ensure_exactly(server: &TestSshd, prefixes: &[&str]) -> String {
    let routes: Vec<Value> = prefixes.iter().map(|prefix| json!({"prefix": prefix, "via": "10.0.0.1"})).collect();
    let input = json!({"routes": routes, "exact": true});
    run(server, "ssh.routes.ensure", input.clone()).await.expect("ensured");
    let writes = server.writes();
    run(server, "ssh.routes.ensure", input).await.expect("unchanged");
    assert_eq!(server.writes(), writes, "the second run writes nothing");
    fs::read_to_string(server.path("routes")).expect("routes")
}

#[tokio::test]
async fn only_managed_routes_are_removed_and_only_with_exact() {
    let Some(server) = TestSshd::start() else { return };
    server.write("networkctl", "  Network File: /run/systemd/network/10-netplan-eth0.network\n");
    let unmanaged = "10.99.0.0/16 via 10.0.0.1 dev eth0\n";
    server.write("routes", unmanaged);
    run(&server, "ssh.routes.ensure", routes()).await.expect("ensured");
    let remaining = ensure_exactly(&server, &["10.50.0.0/16", "10.60.0.0/16"]).await;
    assert_eq!(
        remaining,
        format!("{unmanaged}10.50.0.0/16 via 10.0.0.1 dev eth0\n10.60.0.0/16 via 10.0.0.1 dev eth0\n")
    );
    let drop_in = server.path("etc/systemd/network/10-netplan-eth0.network.d/60-stargate.conf");
    let text = fs::read_to_string(&drop_in).expect("drop-in");
    assert!(text.contains("10.50.0.0/16") && !text.contains("10.224.0.0/16"), "{text}");

    // The kernel has one route less, as after a crash in the middle of the removal.
    server.write("routes", &format!("{unmanaged}10.50.0.0/16 via 10.0.0.1 dev eth0\n"));
    assert_eq!(ensure_exactly(&server, &[]).await, unmanaged);
    assert!(!drop_in.exists(), "the file without routes is removed");
}

#[tokio::test]
async fn without_networkd_the_service_is_removed_with_the_last_route() {
    let Some(server) = TestSshd::start() else { return };
    run(&server, "ssh.routes.ensure", routes()).await.expect("ensured");
    assert_eq!(ensure_exactly(&server, &[]).await, "");
    assert!(!server.path("etc/systemd/system/stargate-routes.service").exists());
    assert!(!server.path("enabled").exists(), "it is disabled");
}

#[tokio::test]
async fn the_hosts_own_network_is_never_replaced() {
    let Some(server) = TestSshd::start() else { return };
    let input = json!({"routes": [{"prefix": "10.0.0.0/24", "via": "10.0.0.1"}]});
    let error = run(&server, "ssh.routes.ensure", input).await.expect_err("refused");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(server.writes().is_empty());
}

#[tokio::test]
async fn only_preferences_that_differ_are_set() {
    let Some(server) = TestSshd::start() else { return };
    server.write("advertise", "10.9.0.0/16\n");
    let input = json!({"accept_routes": true, "snat_subnet_routes": true, "advertise_routes": ["10.1.0.0/16"]});
    let output = run(&server, "ssh.tailscale.preferences", input.clone()).await.expect("set");
    assert_eq!(output["advertise_routes"], json!(["10.9.0.0/16", "10.1.0.0/16"]));
    let expected = ["tailscale set --accept-routes=true --advertise-routes=10.9.0.0/16,10.1.0.0/16"];
    assert_eq!(server.writes(), expected);
    run(&server, "ssh.tailscale.preferences", input).await.expect("unchanged");
    assert_eq!(server.writes(), expected);
}

#[tokio::test]
async fn stateful_filtering_is_turned_off_once() {
    let Some(server) = TestSshd::start() else { return };
    server.write("filter", "true\n");
    let input = json!({"stateful_filtering": false});
    let output = run(&server, "ssh.tailscale.preferences", input.clone()).await.expect("set");
    assert_eq!(output["stateful_filtering"], false);
    run(&server, "ssh.tailscale.preferences", input).await.expect("unchanged");
    assert_eq!(server.writes(), ["tailscale set --stateful-filtering=false"]);
}

#[tokio::test]
async fn exact_previews_withdrawn_routes_and_an_empty_list_writes_nothing() {
    let Some(server) = TestSshd::start() else { return };
    server.write("advertise", "10.9.0.0/16,10.1.0.0/16\n");
    let registry = registry(&server, "user");
    let action = registry.find("ssh.tailscale.preferences").expect("registered");
    let input = json!({"host": server.host(), "advertise_routes": ["10.1.0.0/16"], "exact": true});
    let preview = action.preview(&context(), input.clone()).await.expect("preview");
    let Preview::Changes { differences, .. } = preview else { panic!("{preview:?}") };
    let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert!(texts.contains(&"~ withdrawn routes: 10.9.0.0/16 -> not advertised".to_owned()), "{texts:?}");
    let output = action.run(&context(), input).await.expect("set");
    assert_eq!(output["advertise_routes"], json!(["10.1.0.0/16"]));
    let writes = server.writes();
    let output = run(&server, "ssh.routes.ensure", json!({"routes": []})).await.expect("nothing to do");
    assert_eq!((&output["routes"], server.writes()), (&json!([]), writes));
}

#[tokio::test]
async fn a_tailscale_without_get_is_read_through_debug_prefs_and_a_preview_writes_nothing() {
    let Some(server) = TestSshd::start() else { return };
    server.write("no-get", "");
    server.write("advertise", "10.9.0.0/16\n");
    let registry = registry(&server, "user");
    let action = registry.find("ssh.tailscale.preferences").expect("registered");
    let input = json!({"host": server.host(), "snat_subnet_routes": false});
    let preview = action.preview(&context(), input).await.expect("preview");
    let Preview::Changes { differences, .. } = preview else { panic!("{preview:?}") };
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].to_string(), "~ SNAT: true -> false");
    assert!(server.writes().is_empty());
}

/// Answer of `tailscale status --json` of a host in this state that serves these routes.
fn status(state: &str, routes: &[&str]) -> String {
    json!({
        "Version": "1.100.0", "BackendState": state, "Health": [],
        "Self": {"ID": "nTest1CNTRL", "HostName": "router", "TailscaleIPs": ["100.64.0.9", "fd7a:115c:a1e0::9"],
                 "PrimaryRoutes": routes},
    })
    .to_string()
}

#[tokio::test]
async fn the_action_waits_until_the_host_has_joined() {
    let Some(server) = TestSshd::start() else { return };
    server.write("status.json", &status("NeedsLogin", &[]));
    let later = async {
        wait_until_file_contains(&server.path("calls"), "tailscale status").await;
        server.write("status.json", &status("Running", &[]));
    };
    let (output, ()) = tokio::join!(run(&server, "ssh.tailscale.identity", json!({})), later);
    let output = output.expect("identity");
    assert_eq!((output["node_id"].as_str(), output["ipv6"].as_str()), (Some("nTest1CNTRL"), Some("fd7a:115c:a1e0::9")));
}

#[tokio::test]
async fn routes_that_are_not_served_are_named() {
    let Some(server) = TestSshd::start() else { return };
    server.write("status.json", &status("Running", &["10.1.0.0/16"]));
    let registry = registry(&server, "user");
    let action = registry.find("ssh.tailscale.routes_in_force").expect("registered");
    let input = |routes: &[&str]| json!({"host": server.host(), "routes": routes});
    action.run(&context(), input(&["10.1.0.0/16"])).await.expect("in force");
    let error = action
        .run(&short_context(Duration::from_secs(2)), input(&["10.1.0.0/16", "10.2.0.0/16"]))
        .await
        .expect_err("not served");
    assert!(error.message.contains(": 10.2.0.0/16 not in force yet"), "{error}");
}
