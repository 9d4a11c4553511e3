//! `stargate verify` finds exactly the pairs of nodes that the data plane drops, and leaves nothing
//! in the cluster, however it ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "each test uses a part of the module")]
mod outside;
mod world;

use std::{collections::BTreeSet, process::Stdio, time::Duration};

use inputs::{AKS_ROUTER, CLUSTER, DC_ROUTER, WorldFacts};
use serde_json::{Value, json};
use stargate_sim::{
    Sim,
    dataplane::{Plane, UnmanagedPod},
};
use world::Harness;

/// Nodes with an address for a pod that the data plane is asked about.
const NODES: [(&str, &str); 4] = [
    ("aks-nodepool1-41954725-vmss000000", "10.244.0.250"),
    ("aks-nodepool1-41954725-vmss000001", "10.244.1.250"),
    ("worker-1", "10.244.64.250"),
    ("worker-2", "10.244.65.250"),
];
/// Collections in which a measurement creates objects.
const COLLECTIONS: [&str; 4] = [
    "/apis/batch/v1/namespaces/default/jobs",
    "/api/v1/namespaces/default/pods",
    "/api/v1/namespaces/default/services",
    "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
];

/// Returns a world with two nodes of AKS and two workers.
async fn deployed() -> Harness {
    let mut harness = provisioned().await;
    for worker in ["worker-1", "worker-2"] {
        let (code, _) = run(&mut harness, "repave-worker", &[("worker", json!(worker))]).await;
        assert_eq!(code, Some(0), "{}", harness.last_output());
    }
    harness.run_to_success("sync-pod-routes").await;
    let pod = |(node, ip): (&str, &str)| UnmanagedPod { name: node.into(), node: node.into(), ip: ip.parse().unwrap() };
    harness.sim.shared().lock().pods = NODES.into_iter().map(pod).collect();
    harness
}

/// Returns a world with two nodes of AKS and a datacenter whose workers have not joined yet.
async fn provisioned() -> Harness {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    harness.run_to_success("provision-dc").await;
    harness
}

/// Runs a workflow with more inputs. Returns its exit code and the events of the run.
async fn run(harness: &mut Harness, workflow: &str, more: &[(&str, Value)]) -> (Option<i32>, Vec<Value>) {
    let mut inputs = inputs::of(workflow, &WorldFacts::of(&harness.sim).await);
    inputs.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let code = harness.run_with_inputs(&["run", "workflow"], workflow, &inputs).await;
    let (_, text) = &harness.outputs[harness.outputs.len() - 2];
    (code, text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Plans a synchronization that measures. Returns the exit code and the forecast of the
/// measurement.
async fn planned(harness: &mut Harness) -> (Option<i32>, Value) {
    let mut inputs = inputs::of("sync-pod-routes", &WorldFacts::of(&harness.sim).await);
    inputs.insert("verify".into(), json!(true));
    let code = harness.run_with_inputs(&["plan"], "sync-pod-routes", &inputs).await;
    let (_, text) = &harness.outputs[harness.outputs.len() - 2];
    let plan: Value = serde_json::from_slice(text).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["step"] == "verification/measurement").unwrap();
    (code, step["forecast"].clone())
}

/// Returns the outputs of a run, from its last event.
fn outputs(events: &[Value]) -> &Value {
    &events.last().unwrap()["outputs"]
}

/// Returns the report of the measurement in a run; `None` if it was skipped.
async fn measured(harness: &mut Harness) -> Option<Value> {
    assert_eq!(harness.run(&["history", "@latest", "-o", "json"]).await, Some(0));
    let (_, text) = &harness.outputs[harness.outputs.len() - 2];
    let run: Value = serde_json::from_slice(text).unwrap();
    let entries = run["entries"].as_array().unwrap().iter().flat_map(|entry| entry.as_object().unwrap().values());
    let mut steps = entries.filter(|entry| entry["step"] == "verification/measurement");
    steps.find_map(|entry| entry.get("output").cloned())
}

/// Returns the pairs of nodes whose full packets the data plane drops.
fn dead(sim: &Sim) -> BTreeSet<(String, String)> {
    let plane = Plane::of(&sim.shared().peek());
    let asked: Vec<_> =
        plane.pods().iter().filter(|pod| NODES.iter().any(|(name, _)| *name == pod.name)).cloned().collect();
    assert_eq!(asked.len(), NODES.len());
    let cells = plane.matrix(&asked).cells.into_iter();
    cells.filter(|cell| !cell.ok).map(|cell| (cell.from, cell.to)).collect()
}

/// Runs `stargate verify` and returns its exit code and its report.
async fn verify(harness: &mut Harness, arguments: &[&str]) -> (Option<i32>, Value) {
    let code = harness.run(&[&["verify", "-o", "json"], arguments].concat()).await;
    let (_, text) = &harness.outputs[harness.outputs.len() - 2];
    let document: Value = serde_json::from_slice(text).unwrap_or_else(|_| panic!("{}", harness.last_output()));
    (code, document["report"].clone())
}

/// Returns the pairs with one of these characters in the matrix.
fn pairs(report: &Value, characters: &str) -> BTreeSet<(String, String)> {
    let names: Vec<&str> =
        report["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    let rows = report["matrix"].as_array().unwrap().iter().map(|row| row.as_str().unwrap());
    let cells =
        rows.enumerate().flat_map(|(from, row)| row.chars().enumerate().map(move |(to, cell)| (from, to, cell)));
    let found = cells.filter(|(_, _, cell)| characters.contains(*cell));
    found.map(|(from, to, _)| (names[from].to_owned(), names[to].to_owned())).collect()
}

/// Returns the names of the objects of measurements.
async fn leftovers(sim: &Sim) -> Vec<String> {
    let mut found = vec![];
    for path in COLLECTIONS {
        let names = outside::list(sim, path)
            .await
            .into_iter()
            .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned());
        found.extend(names.filter(|name| name.starts_with("stargate-probe-")));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_pairs_that_the_data_plane_drops_are_found() {
    let mut harness = deployed().await;
    let (code, report) = verify(&mut harness, &[]).await;
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(pairs(&report, ".").len(), 12, "{report:#}");
    for check in report["checks"].as_array().unwrap() {
        let numbers = (check["failed"].as_u64(), check["unknown"].as_u64(), check["skipped"].is_null());
        assert_eq!(numbers, (Some(0), Some(0), true), "{check}");
    }
    assert_eq!(leftovers(&harness.sim).await, [""; 0]);

    let faults = [
        ("a NIC that does not forward", json!([{ "kind": "nic_forwarding", "machine": AKS_ROUTER }]), true),
        ("a kernel that does not forward", json!([{ "kind": "kernel_forwarding", "host": DC_ROUTER }]), true),
        ("a worker that does not forward", json!([{ "kind": "kernel_forwarding", "host": "worker-2" }]), true),
        ("a firewall", json!([{ "kind": "forward_policy", "host": DC_ROUTER }]), true),
        (
            "a route that is not approved",
            json!([{ "kind": "approval", "router": DC_ROUTER, "prefix": "10.244.64.0/18" }]),
            true,
        ),
        (
            "a route that is not advertised",
            json!([{ "kind": "advertisement", "router": DC_ROUTER, "prefix": "10.244.64.0/18" }]),
            true,
        ),
        (
            "a missing clamp",
            json!([{ "kind": "mss_clamp", "host": DC_ROUTER }, { "kind": "mss_clamp", "host": AKS_ROUTER }]),
            false,
        ),
    ];
    for (what, fault, all_packets) in faults {
        for drift in fault.as_array().unwrap() {
            outside::drift(&harness.sim, drift).await;
        }
        assert!(outside::becomes(|| !dead(&harness.sim).is_empty()).await, "{what} kills no pair");
        let expected = dead(&harness.sim);
        let (code, report) = verify(&mut harness, &["--checks", "kubelet"]).await;
        assert_eq!(code, Some(3), "{what}: {report:#}");
        assert_eq!(pairs(&report, "xl"), expected, "{what}: {report:#}");
        assert_eq!(pairs(&report, "l").is_empty(), all_packets, "{what}: {report:#}");
        assert_eq!(pairs(&report, "?s ").len(), 0, "{what}: {report:#}");
        for drift in fault.as_array().unwrap() {
            let mut mended = drift.clone();
            mended["on"] = json!(true);
            outside::drift(&harness.sim, &mended).await;
        }
        assert!(outside::becomes(|| dead(&harness.sim).is_empty()).await, "{what} is not mended");
    }
    assert_eq!(leftovers(&harness.sim).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_of_a_dead_pair_is_traced_if_the_cluster_is_given() {
    let mut harness = deployed().await;
    outside::drift(&harness.sim, &json!({ "kind": "nic_forwarding", "machine": AKS_ROUTER })).await;
    assert!(outside::becomes(|| !dead(&harness.sim).is_empty()).await);
    let cluster = ["--cluster", CLUSTER, "--cluster-resource-group", CLUSTER, "--checks", "kubelet"];
    let code = harness.run(&[&["verify", "-o", "json"], cluster.as_slice()].concat()).await;
    let (_, text) = &harness.outputs[harness.outputs.len() - 2];
    let document: Value = serde_json::from_slice(text).unwrap_or_else(|_| panic!("{}", harness.last_output()));
    let traces = document["traces"].as_array().unwrap();
    assert_eq!((code, traces.len()), (Some(3), 2), "one for each direction: {traces:?}");
    assert!(traces.iter().all(|trace| trace["fault"]["surface"] == "interface_forwarding"), "{traces:?}");
    assert_eq!(harness.run(&[&["verify"], cluster.as_slice()].concat()).await, Some(3));
    let shown = harness.last_output();
    assert!(shown.contains("blocked by network interface ") && shown.contains("IP forwarding off"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_interest_is_asked_with_all_its_peers() {
    let mut harness = deployed().await;
    let junit = harness.path("verify.xml");
    let arguments = ["--node", "worker-1", "--checks", "nodes", "--junit", junit.to_str().unwrap()];
    let (code, report) = verify(&mut harness, &arguments).await;
    assert_eq!(code, Some(0), "{report:#}");
    let asked = pairs(&report, ".");
    assert_eq!(asked.len(), 6);
    assert!(asked.iter().all(|(from, to)| from == "worker-1" || to == "worker-1"));
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("<testsuite name=\"pods\" tests=\"6\" failures=\"0\""), "{xml}");

    let code = harness.run(&["verify", "--node", "nobody"]).await;
    assert_eq!(code, Some(3));
    assert!(harness.last_output().contains("node \"nobody\": not found"), "{}", harness.last_output());
    assert_eq!(leftovers(&harness.sim).await, [""; 0]);
}

/// A killed measurement cannot remove anything: the cluster does, because its jobs have a deadline.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_measurement_that_is_killed_or_interrupted() {
    let mut harness = deployed().await;
    for objects in 1..=10 {
        let mut command = harness.command(&["verify"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while leftovers(&harness.sim).await.len() < objects && child.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        let signal = if objects % 2 == 0 { "-INT" } else { "-KILL" };
        std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        if signal == "-INT" {
            assert_eq!(leftovers(&harness.sim).await, [""; 0], "interrupted with {objects} objects");
        }
        outside::drift(&harness.sim, &json!({ "kind": "job_time", "seconds": 300 })).await;
        while !leftovers(&harness.sim).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        outside::drift(&harness.sim, &json!({ "kind": "job_time", "seconds": 0 })).await;
    }
    let (code, report) = verify(&mut harness, &[]).await;
    assert_eq!(code, Some(0), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_changed_something_ends_with_a_measurement() {
    let verify = ("verify", json!(true));
    let mut harness = provisioned().await;
    for (worker, asked) in [("worker-1", 4), ("worker-2", 6)] {
        let (code, _) = run(&mut harness, "repave-worker", &[("worker", json!(worker)), verify.clone()]).await;
        assert_eq!(code, Some(0), "{}", harness.last_output());
        let pairs = pairs(&measured(&mut harness).await.unwrap(), ".");
        assert_eq!(pairs.len(), asked, "{pairs:?}");
        assert!(pairs.iter().all(|(from, to)| from == worker || to == worker), "{pairs:?}");
    }
    let (code, _) = run(&mut harness, "sync-pod-routes", std::slice::from_ref(&verify)).await;
    assert_eq!((code, measured(&mut harness).await), (Some(0), None), "nothing has changed");
    assert_eq!(planned(&mut harness).await, (Some(0), json!("skipped")));

    let approval = json!({ "kind": "approval", "router": DC_ROUTER, "prefix": "10.244.64.0/18" });
    outside::drift(&harness.sim, &approval).await;
    assert_eq!(planned(&mut harness).await, (Some(2), json!("unknown")));
    let (code, _) = run(&mut harness, "sync-pod-routes", std::slice::from_ref(&verify)).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    assert_eq!(pairs(&measured(&mut harness).await.unwrap(), ".").len(), 12);

    // A network policy, which no step looks at: the run repairs what it knows, and fails.
    outside::drift(&harness.sim, &approval).await;
    let policy = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "closed", "namespace": "default" },
        "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": [] } });
    outside::create(&harness.sim, "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies", &policy).await;
    let (code, events) = run(&mut harness, "sync-pod-routes", &[verify]).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    let failures = &events.last().unwrap()["failures"];
    assert_eq!(failures[0]["step"], "verification/verdict", "{failures}");
    assert_eq!(pairs(&measured(&mut harness).await.unwrap(), "x").len(), 12);
    assert_eq!(leftovers(&harness.sim).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_measurement_in_a_run_cannot_ask_is_a_warning() {
    let mut harness = provisioned().await;
    let image = ("verify_image", json!("registry.invalid/agnhost:1"));
    let more = [image, ("verify", json!(true))];
    let (code, events) = run(&mut harness, "repave-worker", &more).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    let warnings = outputs(&events)["warnings"].to_string();
    assert!(warnings.contains("does not run: ImagePullBackOff") && warnings.contains("not known"), "{warnings}");
    let (code, report) = verify(&mut harness, &["--image", "registry.invalid/agnhost:1"]).await;
    assert_eq!(code, Some(3), "{report:#}");
    assert_eq!(pairs(&report, ".").len(), 0, "{report:#}");
    assert_eq!(leftovers(&harness.sim).await, [""; 0]);
}

/// Deploys three sites with two workers each beside 54 nodes of AKS.
async fn large() -> Harness {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    for site in 0..3 {
        let name = |number: u8| format!("site-{site}-worker-{number}");
        let worker =
            |number| json!({ "name": name(number), "private_ip": format!("10.{}.1.{}", 50 + site, 4 + number) });
        let own = json!({
            "site": format!("site-{site}"), "resource_group": format!("site-{site}"),
            "router": format!("site-{site}-router"), "router_ip": format!("10.{}.1.4", 50 + site),
            "network_prefix": format!("10.{}.0.0/16", 50 + site), "subnet_prefix": format!("10.{}.1.0/24", 50 + site),
            "pod_block": format!("10.244.{}.0/20", 128 + 16 * site), "workers": [worker(1), worker(2)],
        });
        let own: Vec<_> = own.as_object().unwrap().iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let (code, _) = run(&mut harness, "provision-dc", &own).await;
        assert_eq!(code, Some(0), "{}", harness.last_output());
        for number in 1..=2 {
            let (code, _) = run(&mut harness, "repave-worker", &[("worker", json!(name(number)))]).await;
            assert_eq!(code, Some(0), "{}", harness.last_output());
        }
    }
    for number in 2..54 {
        let name = format!("aks-nodepool1-41954725-vmss{number:06}");
        let node = json!({ "name": name, "address": format!("10.224.0.{}", 10 + number), "pod_cidr": format!("10.244.{number}.0/24") });
        outside::add_aks_nodes(&harness.sim, &node).await;
    }
    harness.run_to_success("sync-pod-routes").await;
    harness
}

/// Traffic and time of a measurement grow with the nodes, and not with their pairs.
#[tokio::test(flavor = "multi_thread")]
async fn a_measurement_of_sixty_nodes_in_four_sites_is_a_sample() {
    let mut harness = large().await;
    let (code, report) = verify(&mut harness, &["--checks", "kubelet"]).await;
    assert_eq!(code, Some(0), "{report:#}");
    let nodes = report["nodes"].as_array().unwrap();
    let sites: BTreeSet<&str> = nodes.iter().map(|node| node["site"].as_str().unwrap()).collect();
    assert_eq!((nodes.len(), sites.len()), (60, 4));
    let asked = pairs(&report, ".xl?s").len();
    assert_eq!(asked, pairs(&report, ".").len());
    // Four of each two sites, and for each node one of each site in both directions.
    assert!((60 * 4..=4 * 4 * 4 + 60 * 4 * 2).contains(&asked), "{asked} of 3540 pairs");
    assert_eq!(leftovers(&harness.sim).await, [""; 0]);
}
