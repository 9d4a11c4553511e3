//! `stargate plan` predicts the changes of a run, for each workflow that ships: before the first
//! run, after it (none), and after a drift (only that). The command itself changes nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "the tests use a part of it each")]
mod outside;
mod world;

use std::time::Duration;

use futures::future::BoxFuture;
use inputs::{AKS_ROUTER, DC_GROUP, DC_ROUTER, NODE_GROUP, WorldFacts};
use serde_json::{Map, Value, json};
use stargate_sim::{Sim, host::Machine};
use world::Harness;

const WORKFLOWS: [&str; 4] = ["provision-aks-router", "provision-dc", "repave-worker", "sync-pod-routes"];

/// Name of a node that AKS manages.
const AKS_NODE: &str = "aks-nodepool1-41954725-vmss000000";

/// A change that was not made by a run, and the expected reaction to it.
struct DriftCase {
    /// Description for messages.
    what: &'static str,
    /// Makes the change.
    apply: fn(&Sim) -> BoxFuture<'_, ()>,
    /// Steps that must report it, in the order of the plan.
    steps: &'static [&'static str],
    /// Text that the differences must contain.
    named: &'static str,
    /// Number of writes that correct it.
    writes: u64,
}

#[tokio::test]
async fn plan_predicts_a_run_before_it_after_it_and_after_drift() {
    let mut harness = Harness::new(&[]).await;
    for workflow in WORKFLOWS {
        if workflow != "sync-pod-routes" {
            // The workflows before it have made its changes.
            has_changes(&mut harness, workflow).await;
        }
        harness.run_to_success(workflow).await;
        has_none(&mut harness, workflow).await;
    }
    for workflow in WORKFLOWS {
        // Later workflows have written since.
        let before = writes(&harness);
        harness.run_to_success(workflow).await;
        assert_eq!(writes(&harness), before, "{workflow} writes nothing in a second run");
    }
    let mut found = vec![];
    for (workflow, drifts) in WORKFLOWS.into_iter().zip([aks_router(), datacenter(), worker(), routes()]) {
        // Each workflow approves its own routes again after an approval was withdrawn.
        harness.run_to_success(workflow).await;
        for drift in drifts {
            found.extend(deviations(&mut harness, workflow, &drift).await);
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test]
async fn all_workers_can_be_removed_and_added_again() {
    let mut harness = Harness::new(&[]).await;
    for workflow in ["provision-aks-router", "provision-dc", "repave-worker"] {
        harness.run_to_success(workflow).await;
    }
    assert_eq!(refused(&mut harness, DC_ROUTER).await, "is a router");
    assert_eq!(refused(&mut harness, AKS_NODE).await, "is managed by AKS");
    assert_eq!(refused(&mut harness, "worker-9").await, "none was removed under this name");

    has_changes(&mut harness, "remove-worker").await;
    harness.run_to_success("remove-worker").await;
    assert_eq!(mentions(&harness.sim, "worker-1", "10.244.64.0/24").await, [""; 0]);
    has_none(&mut harness, "remove-worker").await;
    let before = writes(&harness);
    harness.run_to_success("remove-worker").await;
    harness.run_to_success("sync-pod-routes").await;
    assert_eq!(writes(&harness), before, "{:#?}", last_writes(&harness, 10));

    // The last worker of its site: no destination remains, so its table is emptied.
    assert!(!table(&harness.sim).await.is_empty());
    let mut last = removal(&harness, "worker-2", false).await;
    last.insert("delete_machine".into(), true.into());
    assert_eq!(
        harness.run_with_inputs(&["run", "workflow"], "remove-worker", &last).await,
        Some(0),
        "{}",
        harness.last_output()
    );
    assert_eq!(mentions(&harness.sim, "worker-2", "10.244.65.0/24").await, [""; 0]);
    assert_eq!(resources(&harness.sim, "worker-2"), [""; 0], "machine, interface and disk are deleted");
    assert!(resources(&harness.sim, "worker-1").len() > 1, "the machine of the other worker is kept");
    assert_eq!(table(&harness.sim).await, [""; 0]);
    let before = writes(&harness);
    harness.run_to_success("sync-pod-routes").await;
    assert_eq!(writes(&harness), before, "{:#?}", last_writes(&harness, 10));

    harness.run_to_success("provision-dc").await;
    harness.run_to_success("repave-worker").await;
    let table = table(&harness.sim).await;
    assert!(["10.244.64.0/24", "10.244.65.0/24"].iter().all(|block| table.iter().any(|it| it == block)), "{table:?}");
}

#[tokio::test]
async fn a_worker_without_machine_is_removed_when_its_node_is_not_ready() {
    let mut harness = Harness::new(&[]).await;
    for workflow in ["provision-aks-router", "provision-dc", "repave-worker"] {
        harness.run_to_success(workflow).await;
    }
    let inputs = removal(&harness, "worker-1", true).await;
    assert_eq!(harness.run_with_inputs(&["run", "workflow"], "remove-worker", &inputs).await, Some(3));
    assert!(harness.last_output().contains("is ready, so its machine is not gone"), "{}", harness.last_output());
    harness.sim.shared().lock().hosts.machines.remove("worker-1");
    // The next request lets the cluster's controllers act.
    outside::list(&harness.sim, "/api/v1/nodes").await;
    remove(&mut harness, "worker-1", true).await;
    assert_eq!(mentions(&harness.sim, "worker-1", "10.244.64.0/24").await, [""; 0]);
}

/// Checks that the removal of a worker of this name is refused without a write; returns the reason.
async fn refused(harness: &mut Harness, name: &str) -> &'static str {
    let before = writes(harness);
    let inputs = removal(harness, name, false).await;
    assert_eq!(harness.run_with_inputs(&["run", "workflow"], "remove-worker", &inputs).await, Some(3));
    assert_eq!(writes(harness), before, "{:#?}", last_writes(harness, 10));
    let said = harness.last_output();
    let reasons = ["is a router", "is managed by AKS", "none was removed under this name"];
    reasons.into_iter().find(|reason| said.contains(reason)).unwrap_or_else(|| panic!("{said}"))
}

async fn removal(harness: &Harness, worker: &str, host_is_gone: bool) -> Map<String, Value> {
    let mut inputs = inputs::of("remove-worker", &WorldFacts::of(&harness.sim).await);
    inputs.insert("worker".into(), worker.into());
    inputs.insert("host_is_gone".into(), host_is_gone.into());
    inputs
}

async fn remove(harness: &mut Harness, worker: &str, host_is_gone: bool) {
    let inputs = removal(harness, worker, host_is_gone).await;
    let code = harness.run_with_inputs(&["run", "workflow"], "remove-worker", &inputs).await;
    assert_eq!(code, Some(0), "{worker}: {}", harness.last_output());
}

/// Returns the places that still mention a worker or its pod CIDR: kinds of objects in the cluster,
/// Azure, the tailnet.
async fn mentions(sim: &Sim, worker: &str, block: &str) -> Vec<String> {
    let mut found = vec![];
    for kind in ["api/v1/nodes", "apis/cilium.io/v2/ciliumnodes", "apis/stargate.io/v1alpha1/servers"] {
        let objects = outside::list(sim, &format!("/{kind}")).await;
        found.extend(objects.iter().any(|object| object["metadata"]["name"] == worker).then(|| kind.to_owned()));
    }
    let requests = outside::list(sim, "/apis/certificates.k8s.io/v1/certificatesigningrequests").await;
    let user = format!("system:node:{worker}");
    found
        .extend(requests.iter().any(|csr| csr["spec"]["username"] == *user).then(|| "certificate requests".to_owned()));
    let world = sim.shared().peek();
    let whole = json!({ "azure": world.arm, "tailnet": world.tailnet.devices });
    for (name, surface) in whole.as_object().unwrap() {
        found.extend(surface.to_string().contains(&format!("\"{block}\"")).then(|| name.clone()));
    }
    found
}

/// Returns the ids of Azure's resources that belong to a machine.
fn resources(sim: &Sim, machine: &str) -> Vec<String> {
    let arm = serde_json::to_value(&sim.shared().peek().arm).unwrap();
    let ids = arm["resources"].as_object().unwrap().keys();
    ids.filter(|id| id.rsplit('/').next().unwrap().starts_with(machine)).cloned().collect()
}

/// Returns the prefixes in the route table of the datacenter.
async fn table(sim: &Sim) -> Vec<String> {
    let path = outside::network(sim, DC_GROUP, &format!("routeTables/{DC_ROUTER}-rt"));
    let table = outside::read_azure(sim, &path).await;
    let routes = table["properties"]["routes"].as_array().unwrap().iter();
    routes.map(|route| route["properties"]["addressPrefix"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_kubeconfig_of_another_cluster_is_refused_before_the_first_write() {
    let mut harness = Harness::new(&[]).await;
    for node in outside::list(&harness.sim, "/api/v1/nodes").await {
        let other = json!({ "metadata": { "labels": { "kubernetes.azure.com/cluster": "MC_another" } } });
        let name = node["metadata"]["name"].as_str().unwrap();
        outside::patch(&harness.sim, &format!("/api/v1/nodes/{name}"), &other).await;
    }
    let before = writes(&harness);
    for workflow in WORKFLOWS.into_iter().chain(["remove-worker"]) {
        let code = harness.run_shipped(&["run", "workflow"], workflow).await;
        let said = harness.last_output();
        assert_eq!(code, Some(3), "{workflow}: {said}");
        assert!(said.contains("is that of another cluster") && said.contains("MC_another"), "{workflow}: {said}");
        assert_eq!(writes(&harness), before, "{workflow} writes nothing: {:#?}", last_writes(&harness, 10));
    }
}

#[tokio::test]
async fn sync_pod_routes_runs_with_the_permissions_of_its_service_account() {
    let mut harness = Harness::new(&[]).await;
    for workflow in ["provision-aks-router", "provision-dc", "repave-worker"] {
        harness.run_to_success(workflow).await;
    }
    let account = "/api/v1/namespaces/kube-system/serviceaccounts/stargate-sync/token";
    let token = outside::create(&harness.sim, account, &json!({ "spec": {} })).await["status"]["token"].clone();
    let own = std::fs::read_to_string(harness.sim.kubeconfig()).unwrap();
    let restricted = own.replace(&outside::admin_token(&harness.sim), token.as_str().unwrap());
    assert_ne!(restricted, own);
    let kubeconfig = harness.path("sync.kubeconfig");
    std::fs::write(&kubeconfig, restricted).unwrap();
    // All that the workflow can have to write in the cluster.
    outside::blank_cilium_node(&harness.sim, "worker-1").await;
    lose_serving_certificate(&harness.sim, "worker-1").await;
    let as_account = ["run", "workflow", "--kubeconfig", kubeconfig.to_str().unwrap()];
    assert_eq!(harness.run_shipped(&as_account, "sync-pod-routes").await, Some(0), "{}", harness.last_output());
    has_none(&mut harness, "sync-pod-routes").await;
    let code = harness.run_shipped(&as_account, "provision-dc").await;
    assert_eq!(code, Some(3), "it has no other permissions: {}", harness.last_output());
}

async fn has_changes(harness: &mut Harness, workflow: &str) {
    let before = writes(harness);
    let code = harness.run_shipped(&["plan"], workflow).await;
    assert_eq!(code, Some(2), "{workflow} has changes: {:#?}", steps(harness, "failed", true));
    assert_eq!(writes(harness), before, "plan changes nothing");
}

async fn has_none(harness: &mut Harness, workflow: &str) {
    let before = writes(harness);
    let code = harness.run_shipped(&["plan"], workflow).await;
    assert_eq!(code, Some(0), "{workflow} has no changes: {:#?}", steps(harness, "unchanged", false));
    assert_eq!(writes(harness), before, "plan changes nothing");
}

/// Returns the number of requests and host changes so far that changed something.
fn writes(harness: &Harness) -> u64 {
    harness.sim.shared().peek().traffic.mutating()
}

/// Returns the last writes, for messages.
fn last_writes(harness: &Harness, count: u64) -> Vec<String> {
    let world = harness.sim.shared().peek();
    let writes = world.traffic.log.iter().rev().filter(|request| request.mutating);
    let lines = writes
        .map(|request| format!("{:?} {} {}: {:?}", request.surface, request.method, request.path, request.status));
    lines.take(usize::try_from(count).unwrap()).collect()
}

/// Returns the standard output of the last command.
fn last_output(harness: &Harness) -> String {
    let mut standard_outputs = harness.outputs.iter().filter(|(name, _)| name.starts_with("standard output"));
    String::from_utf8(standard_outputs.next_back().unwrap().1.clone()).unwrap()
}

/// The steps of the last plan whose outcome is, or is not, `outcome`; skipped ones never are.
fn steps(harness: &Harness, outcome: &str, is: bool) -> Vec<Value> {
    let plan: Value = serde_json::from_str(&last_output(harness)).unwrap();
    let steps = plan["steps"].as_array().unwrap().iter();
    steps.filter(|step| step["forecast"] != "skipped" && (step["forecast"] == outcome) == is).cloned().collect()
}

/// Returns the deviations of plan and run from the expected reaction. Both are checked, also if one
/// deviates.
async fn deviations(harness: &mut Harness, workflow: &str, drift: &DriftCase) -> Vec<String> {
    (drift.apply)(&harness.sim).await;
    has_changes(harness, workflow).await;
    let changed = steps(harness, "changes", true);
    let names: Vec<&str> = changed.iter().map(|step| step["step"].as_str().unwrap()).collect();
    let reported = changed.iter().map(|step| step["differences"].to_string()).collect::<String>();
    let before = writes(harness);
    harness.run_to_success(workflow).await;
    let written = writes(harness) - before;
    let wrote = last_writes(harness, written);
    has_none(harness, workflow).await;
    let deviations = [
        (names != drift.steps).then(|| format!("{:?} should have changes, and {names:?} have", drift.steps)),
        (!reported.contains(drift.named)).then(|| format!("{} is not reported: {reported}", drift.named)),
        (written != drift.writes)
            .then(|| format!("{} writes should correct it, and these were made: {wrote:#?}", drift.writes)),
    ];
    deviations.into_iter().flatten().map(|deviation| format!("{workflow}, {}: {deviation}", drift.what)).collect()
}

/// Removes the subjects of the role that permits kubelets to request certificates.
async fn empty_role_binding(sim: &Sim) {
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/stargate-node-bootstrapper";
    outside::patch(sim, path, &json!({ "subjects": null })).await;
}

/// Deletes a rule, so that Azure's default rules drop the pods' packets.
async fn delete_rule(sim: &Sim) {
    let rule = format!("networkSecurityGroups/{DC_ROUTER}-nsg/securityRules/stargate-aks-pods");
    outside::change_azure(sim, "DELETE", &outside::network(sim, DC_GROUP, &rule), Value::Null).await;
}

/// Changes a machine. A change of its kernel lasts until the next boot.
fn on_machine(sim: &Sim, machine: &str, change: impl FnOnce(&mut Machine)) {
    change(sim.shared().lock().hosts.machines.get_mut(machine).unwrap());
}

fn flush_ruleset(sim: &Sim, machine: &str) {
    on_machine(sim, machine, |machine| machine.ruleset.tables.clear());
}

fn filter_strictly(sim: &Sim, machine: &str) {
    on_machine(sim, machine, |machine| assert!(machine.set_sysctl("net.ipv4.conf.all.rp_filter", "1")));
}

fn filter_statefully(sim: &Sim, machine: &str) {
    on_machine(sim, machine, |machine| machine.tailscaled.prefs.no_stateful_filtering = false);
}

fn aks_router() -> Vec<DriftCase> {
    vec![
        DriftCase {
            what: "a NIC does not forward",
            apply: |sim| {
                Box::pin(async { outside::turn_forwarding_off(sim, NODE_GROUP, &format!("{AKS_ROUTER}-nic")).await })
            },
            steps: &["nic"],
            named: "forwarding",
            writes: 1,
        },
        DriftCase {
            what: "a kernel does not forward",
            apply: |sim| Box::pin(async { outside::stop_forwarding(sim, AKS_ROUTER) }),
            steps: &["forwarding"],
            named: "net.ipv4.ip_forward",
            writes: 1,
        },
        DriftCase {
            what: "an approval is withdrawn",
            apply: |sim| Box::pin(async { outside::withdraw_approval(sim, AKS_ROUTER) }),
            steps: &["approval"],
            named: "10.224.0.0/16",
            writes: 1,
        },
        DriftCase {
            what: "the MSS clamp is removed",
            apply: |sim| Box::pin(async { flush_ruleset(sim, AKS_ROUTER) }),
            steps: &["clamp"],
            named: "MSS clamp",
            writes: 2, // the unit is stopped and started
        },
        DriftCase {
            what: "a kernel filters reverse paths strictly",
            apply: |sim| Box::pin(async { filter_strictly(sim, AKS_ROUTER) }),
            steps: &["forwarding"],
            named: "rp_filter",
            writes: 1,
        },
        ROLE_BINDING,
    ]
}

/// Drift that both provisioning workflows report.
const ROLE_BINDING: DriftCase = DriftCase {
    what: "a role binding is emptied",
    apply: |sim| Box::pin(empty_role_binding(sim)),
    steps: &["objects/access"],
    named: "stargate-node-bootstrapper",
    writes: 1,
};

fn datacenter() -> Vec<DriftCase> {
    vec![
        DriftCase {
            what: "a worker's NIC does not forward",
            apply: |sim| Box::pin(outside::turn_forwarding_off(sim, DC_GROUP, "worker-1-nic")),
            steps: &["worker_nic[worker-1]"],
            named: "forwarding",
            writes: 1,
        },
        DriftCase {
            what: "a security rule is deleted",
            apply: |sim| Box::pin(delete_rule(sim)),
            steps: &["security"],
            named: "stargate-aks-pods",
            writes: 1,
        },
        ROLE_BINDING,
        DriftCase {
            what: "a kernel does not forward",
            apply: |sim| Box::pin(async { outside::stop_forwarding(sim, DC_ROUTER) }),
            steps: &["forwarding"],
            named: "net.ipv4.ip_forward",
            writes: 1,
        },
        DriftCase {
            what: "a kernel filters reverse paths strictly",
            apply: |sim| Box::pin(async { filter_strictly(sim, DC_ROUTER) }),
            steps: &["forwarding"],
            named: "rp_filter",
            writes: 1,
        },
    ]
}

fn worker() -> Vec<DriftCase> {
    vec![
        DriftCase {
            what: "the pod CIDR of a CiliumNode is removed",
            apply: |sim| Box::pin(outside::blank_cilium_node(sim, "worker-1")),
            steps: &["cilium"],
            named: "10.244.64.0/24",
            writes: 2, // refused first, because another field manager has set the CIDRs, then forced
        },
        DriftCase {
            what: "a kernel does not forward",
            apply: |sim| Box::pin(async { outside::stop_forwarding(sim, "worker-1") }),
            steps: &["forwarding"],
            named: "net.ipv4.ip_forward",
            writes: 1,
        },
        DriftCase {
            what: "a file has another mode",
            apply: |sim| {
                Box::pin(async {
                    let mut world = sim.shared().lock();
                    let machine = world.hosts.machines.get_mut("worker-1").unwrap();
                    machine.files.nodes.get_mut("/etc/kubernetes/pki/ca.crt").unwrap().mode = 0o600;
                })
            },
            steps: &["authority"],
            named: "/etc/kubernetes/pki/ca.crt",
            writes: 3, // a new file is created, written and renamed
        },
    ]
}

/// Deletes a kubelet's serving certificate, as if it had expired, and waits until the kubelet has
/// requested the next one.
async fn lose_serving_certificate(sim: &Sim, machine: &str) {
    let path = "/var/lib/kubelet/pki/kubelet-server-current.pem";
    let removed = sim.shared().lock().hosts.machines.get_mut(machine).unwrap().files.nodes.remove(path);
    assert!(removed.is_some(), "{machine} had a serving certificate");
    let is_pending = |request: &Value| {
        request["spec"]["username"] == format!("system:node:{machine}") && request["status"].get("conditions").is_none()
    };
    let waited = async {
        while !outside::list(sim, "/apis/certificates.k8s.io/v1/certificatesigningrequests")
            .await
            .iter()
            .any(is_pending)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waited).await.expect("the kubelet requests another one");
}

fn routes() -> Vec<DriftCase> {
    vec![
        DriftCase {
            what: "a kubelet requests its next serving certificate",
            apply: |sim| Box::pin(lose_serving_certificate(sim, "worker-1")),
            steps: &["certificates"],
            named: "approval of certificate request csr-",
            writes: 1,
        },
        DriftCase {
            what: "a route is deleted",
            apply: |sim| {
                Box::pin(async {
                    outside::delete_route(sim, NODE_GROUP, "stargate-workers-rt").await;
                })
            },
            steps: &["workers_routes"],
            named: "10.",
            writes: 1,
        },
        DriftCase {
            what: "a stale route exists",
            apply: |sim| Box::pin(outside::leave_stale_route(sim, "10.99.0.0/16")),
            steps: &["stale_workers_routes"],
            named: "10.99.0.0/16",
            writes: 1,
        },
        DriftCase {
            what: "a NIC does not forward",
            apply: |sim| Box::pin(outside::turn_forwarding_off(sim, DC_GROUP, "worker-2-nic")),
            steps: &["machines_forward[dc]"],
            named: "worker-2",
            writes: 1,
        },
        DriftCase {
            what: "a worker's kernel does not forward",
            apply: |sim| Box::pin(async { outside::stop_forwarding(sim, "worker-2") }),
            steps: &["worker_kernel[worker-2]"],
            named: "net.ipv4.ip_forward",
            writes: 1,
        },
        DriftCase {
            what: "an approval is withdrawn",
            apply: |sim| Box::pin(async { outside::withdraw_approval(sim, DC_ROUTER) }),
            steps: &["approved[stargate-aks-e2e-7-dc-router]"],
            named: "10.50.1.0/24",
            writes: 1,
        },
        DriftCase {
            what: "the MSS clamp is removed",
            apply: |sim| Box::pin(async { flush_ruleset(sim, DC_ROUTER) }),
            steps: &["router_clamp[stargate-aks-e2e-7-dc-router]"],
            named: "MSS clamp",
            writes: 2, // the unit is stopped and started
        },
        DriftCase {
            what: "a kernel filters reverse paths strictly",
            apply: |sim| Box::pin(async { filter_strictly(sim, AKS_ROUTER) }),
            steps: &["router_kernel[stargate-aks-e2e-7-router]"],
            named: "rp_filter",
            writes: 1,
        },
        DriftCase {
            what: "a router filters statefully",
            apply: |sim| Box::pin(async { filter_statefully(sim, DC_ROUTER) }),
            steps: &["advertised[stargate-aks-e2e-7-dc-router]"],
            named: "stateful filtering",
            writes: 1,
        },
        DriftCase {
            what: "the pod CIDR of a CiliumNode is removed",
            apply: |sim| Box::pin(outside::blank_cilium_node(sim, "worker-1")),
            steps: &["cilium"],
            named: "worker-1",
            writes: 2, // as above
        },
    ]
}
