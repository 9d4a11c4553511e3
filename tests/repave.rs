//! A repave never leaves a node worse: what can be checked is checked before the node is cordoned,
//! and a repave that did not finish is undone or finished by the next one.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "each test uses a part of the module")]
mod outside;
mod world;

use std::time::Duration;

use inputs::WorldFacts;
use serde_json::{Map, Value, json};
use stargate_sim::host::Machine;
use world::Harness;

const REPAVE: &str = "repave-worker";
const WORKER: &str = "worker-1";
const NODE: &str = "/api/v1/nodes/worker-1";
/// Version before that of the cluster.
const FORMER: &str = "v1.33.4";
/// Annotation of a node that a run has cordoned.
const CORDONED_BY: &str = "stargate.io/cordoned-by";
/// Annotation with the configuration of a node that was repaved completely.
const CONFIGURATION: &str = "stargate.io/configuration";

/// Returns a world with a worker, which is a node if `joined` is set.
async fn deployed(joined: bool) -> Harness {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    harness.run_to_success("provision-dc").await;
    if joined {
        harness.run_to_success(REPAVE).await;
    }
    harness
}

/// Returns the inputs of a repave, with some replaced by `other`.
async fn repave_inputs(harness: &Harness, other: &Value) -> Map<String, Value> {
    let mut inputs = inputs::of(REPAVE, &WorldFacts::of(&harness.sim).await);
    inputs.extend(other.as_object().unwrap().clone());
    inputs
}

/// Returns the checksum of a kubelet in the simulated mirror.
async fn checksum(harness: &Harness, version: &str) -> Value {
    let url = format!("{}/_mirror/kubernetes/{version}/bin/linux/amd64/kubelet.sha256", harness.sim.http_url());
    reqwest::get(url).await.unwrap().text().await.unwrap().into()
}

/// Repaves the worker and returns the exit code.
async fn repave(harness: &mut Harness, other: &Value) -> Option<i32> {
    let inputs = repave_inputs(harness, other).await;
    harness.run_with_inputs(&["run", "workflow"], REPAVE, &inputs).await
}

/// Returns the node of the worker, or null.
async fn node(harness: &Harness) -> Value {
    let nodes = outside::list(&harness.sim, "/api/v1/nodes").await;
    nodes.into_iter().find(|node| node["metadata"]["name"] == WORKER).unwrap_or_default()
}

/// Returns true if pods can be scheduled on the worker, and asserts that no record of a cordon is
/// left then.
async fn is_schedulable(harness: &Harness) -> bool {
    let node = node(harness).await;
    let is_schedulable = node["spec"]["unschedulable"] != true;
    assert!(!is_schedulable || node["metadata"]["annotations"][CORDONED_BY].is_null(), "{node}");
    is_schedulable
}

/// Returns the log of the last run.
async fn logs(harness: &mut Harness) -> String {
    assert_eq!(harness.run(&["logs", "@latest"]).await, Some(0), "{}", harness.last_output());
    let (_, log) = &harness.outputs[harness.outputs.len() - 2];
    String::from_utf8_lossy(log).into_owned()
}

fn on_worker<T>(harness: &Harness, change: impl FnOnce(&mut Machine) -> T) -> T {
    change(harness.sim.shared().lock().hosts.machines.get_mut(WORKER).unwrap())
}

/// Returns the requests and commands so far that changed something.
fn writes(harness: &Harness) -> Vec<String> {
    let world = harness.sim.shared().peek();
    let writes = world.traffic.log.iter().filter(|request| request.mutating);
    writes.map(|request| format!("{} {}", request.method, request.path)).collect()
}

/// Repaves the worker with some inputs replaced. The run must fail with these texts and without a
/// write.
async fn refused(harness: &mut Harness, other: &Value, expected: &[&str]) {
    let before = writes(harness);
    let code = repave(harness, other).await;
    assert_eq!(code, Some(3), "{other}: {}", harness.last_output());
    let words = harness.last_output();
    for text in expected {
        assert!(words.contains(text), "{text:?} is missing for {other}: {words}");
    }
    assert_eq!(writes(harness), before, "{other}: nothing was written");
}

/// Files that kubeadm's package and `kubeadm init` leave on a host.
const KUBEADM: &str = "[Service]\nEnvironment=\"KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml\"\nExecStart=\n\
                       ExecStart=/usr/bin/kubelet $KUBELET_CONFIG_ARGS $KUBELET_EXTRA_ARGS\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_kubeadm_or_with_a_stub_resolver_is_refused_before_any_write() {
    let mut harness = deployed(false).await;
    for directory in ["/etc/systemd/system/kubelet.service.d", "/usr/lib/systemd/system/kubelet.service.d"] {
        let file = format!("{directory}/10-kubeadm.conf");
        on_worker(&harness, |machine| {
            machine.files.make_directories(directory);
            machine.files.put(&file, 0o644, KUBEADM);
        });
        refused(&mut harness, &json!({}), &[&file, "/usr/bin/kubelet", "run on the host: sudo "]).await;
        on_worker(&harness, |machine| machine.files.nodes.remove(&file)).unwrap();
    }
    let stub = |machine: &mut Machine| machine.files.nodes.remove("/run/systemd/resolve/resolv.conf");
    on_worker(&harness, stub).unwrap();
    refused(&mut harness, &json!({}), &["/etc/resolv.conf", "127.0.0.53", "resolv_conf"]).await;
    on_worker(&harness, |machine| machine.files.put("/etc/upstream.conf", 0o644, "nameserver 168.63.129.16\n"));
    let code = repave(&mut harness, &json!({ "resolv_conf": "/etc/upstream.conf" })).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    let configuration = on_worker(&harness, |machine| machine.files.text("/etc/kubernetes/kubelet.yaml")).unwrap();
    assert!(configuration.contains("resolvConf: /etc/upstream.conf\n"), "{configuration}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_cannot_be_installed_is_refused_before_the_node_is_cordoned() {
    let mut harness = deployed(true).await;
    let of_former = checksum(&harness, FORMER).await;
    refused(
        &mut harness,
        &json!({ "kubelet_version": FORMER, "kubelet_sha256": "0".repeat(64) }),
        &["kubelet v1.33.4 for amd64", of_former.as_str().unwrap(), "kubelet_sha256"],
    )
    .await;
    refused(
        &mut harness,
        &json!({ "kubelet_version": "v1.31.9", "kubelet_sha256": "0".repeat(64) }),
        &["kubelet v1.31.9 for amd64", "/v1.31.9/bin/linux/amd64/kubelet.sha256", "404", "kubernetes_mirror"],
    )
    .await;
    let newer = json!({ "kubelet_version": "v1.34.1", "kubelet_sha256": checksum(&harness, "v1.34.1").await });
    refused(&mut harness, &newer, &["kubelet v1.34.1 is newer than the API server, v1.33.5"]).await;
    let older = json!({ "kubelet_version": "v1.29.9", "kubelet_sha256": checksum(&harness, "v1.29.9").await });
    refused(&mut harness, &older, &["kubelet v1.29.9 is more than three minor versions older"]).await;
    assert!(is_schedulable(&harness).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_without_an_authority_is_refused_before_any_write() {
    let mut harness = deployed(false).await;
    let kubeconfig = std::fs::read_to_string(harness.sim.kubeconfig()).unwrap();
    let insecure = |line: &str| {
        let (indent, _) = line.split_once("certificate-authority-data:")?;
        Some(format!("{indent}insecure-skip-tls-verify: true"))
    };
    let lines: Vec<String> = kubeconfig.lines().map(|line| insecure(line).unwrap_or_else(|| line.to_owned())).collect();
    let file = harness.path("insecure");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let (before, inputs) = (writes(&harness), repave_inputs(&harness, &json!({})).await);
    let verb = ["--kubeconfig", file.to_str().unwrap(), "run", "workflow"];
    let code = harness.run_with_inputs(&verb, REPAVE, &inputs).await;
    let words = harness.last_output();
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("certificate authority of https://") && words.contains("it is empty"), "{words}");
    assert_eq!(writes(&harness), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repave_that_failed_after_the_drain_is_finished_by_the_next_one_of_the_former_version() {
    let mut harness = deployed(true).await;
    let configuration = node(&harness).await["metadata"]["annotations"][CONFIGURATION].clone();
    let broken = json!({ "kubelet_version": FORMER, "kubelet_sha256": checksum(&harness, FORMER).await, "packages": [{ "name": "no-such-package" }] });
    assert_eq!(repave(&mut harness, &broken).await, Some(3), "{}", harness.last_output());
    let held = node(&harness).await;
    assert_eq!(held["spec"]["unschedulable"], true, "{held}");
    let annotations = &held["metadata"]["annotations"];
    assert!(annotations[CORDONED_BY].is_string() && annotations[CONFIGURATION].is_null(), "{held}");
    assert_eq!(harness.run(&["cancel", "@latest"]).await, Some(0), "{}", harness.last_output());
    harness.run_to_success("sync-pod-routes").await;
    let words = harness.last_output();
    let repave = "`stargate run workflow repave-worker --input cluster=stargate-aks-e2e-7 --input worker=worker-1 …`";
    for text in ["node \\\"worker-1\\\" is still cordoned by run ", repave, "`kubectl uncordon worker-1`"] {
        assert!(words.contains(text), "{text}: {words}");
    }
    assert_eq!(node(&harness).await["spec"]["unschedulable"], true, "a sync changes no node");

    harness.run_to_success(REPAVE).await;
    assert!(is_schedulable(&harness).await);
    let node = node(&harness).await;
    assert_eq!(node["metadata"]["annotations"][CONFIGURATION], configuration);
    assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], "v1.33.5");
    let before = writes(&harness);
    harness.run_to_success(REPAVE).await;
    assert_eq!(writes(&harness), before);
}

/// Creates a pod without a controller on the worker, and waits until it runs.
async fn bare_pod(harness: &Harness) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "bare", "namespace": "default" },
        "spec": { "nodeName": WORKER, "containers": [{ "name": "c", "image": "registry.k8s.io/pause:3.9" }] },
    });
    outside::create(&harness.sim, "/api/v1/namespaces/default/pods", &pod).await;
    becomes(harness, "the pod runs", |_, pods| pods.iter().any(|pod| pod["status"]["phase"] == "Running")).await;
}

/// Waits until a condition about the worker's node and the pods of the namespace `default` holds.
async fn becomes(harness: &Harness, what: &str, condition: impl Fn(&Value, &[Value]) -> bool) {
    let poll = async {
        loop {
            let pods = outside::list(&harness.sim, "/api/v1/namespaces/default/pods").await;
            if condition(&node(harness).await, &pods) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), poll).await.is_ok(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repave_that_failed_in_the_drain_is_undone_by_the_next_one_without_a_drain() {
    let mut harness = deployed(true).await;
    bare_pod(&harness).await;
    let former = json!({ "kubelet_version": FORMER, "kubelet_sha256": checksum(&harness, FORMER).await });
    assert_eq!(repave(&mut harness, &former).await, Some(3), "{}", harness.last_output());
    assert!(!is_schedulable(&harness).await);
    harness.run_to_success(REPAVE).await;
    assert!(is_schedulable(&harness).await);
    let pods = outside::list(&harness.sim, "/api/v1/namespaces/default/pods").await;
    assert_eq!(pods.len(), 1, "nothing changed on the host, so no pod was evicted: {pods:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cordon_of_an_operator_stays() {
    let mut harness = deployed(true).await;
    outside::patch(&harness.sim, NODE, &json!({ "spec": { "unschedulable": true } })).await;
    let former = json!({ "kubelet_version": FORMER, "kubelet_sha256": checksum(&harness, FORMER).await });
    assert_eq!(repave(&mut harness, &former).await, Some(0), "{}", harness.last_output());
    let words = harness.last_output();
    assert!(words.contains("\"schedulable\":false"), "{words}");
    let node = node(&harness).await;
    assert_eq!(node["spec"]["unschedulable"], true, "{node}");
    assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], FORMER);
    let words = logs(&mut harness).await;
    assert!(words.contains("stays cordoned") && words.contains("kubectl uncordon worker-1"), "{words}");
    harness.run_to_success("sync-pod-routes").await;
    let words = harness.last_output();
    assert!(!words.contains("cordon"), "a sync does not name it: {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_dead_kubelet_is_repaved_without_waiting_for_its_pods() {
    let mut harness = deployed(true).await;
    bare_pod(&harness).await;
    on_worker(&harness, |machine| machine.set_unit("kubelet", "inactive", "dead", 0));
    let is_unknown = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array().unwrap();
        conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "Unknown")
    };
    becomes(&harness, "the node is unreachable", |node, _| is_unknown(node)).await;
    let code = repave(&mut harness, &json!({ "cni": "bridge", "force": true })).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    assert!(is_schedulable(&harness).await);
    let words = logs(&mut harness).await;
    assert!(
        words.contains("its kubelet is down") && words.contains("the end of default/bare is not waited for"),
        "{words}"
    );
    becomes(&harness, "the kubelet ends the pod when it runs again", |_, pods| pods.is_empty()).await;
}
