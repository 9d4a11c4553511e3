//! `stargate plan` tells the truth about every workflow that ships: what a run would change, nothing when nothing would,
//! and after somebody else has changed one thing just that; and it changes nothing itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "the tests use a part of it each")]
mod outside;
mod world;

use std::time::Duration;

use futures::future::BoxFuture;
use inputs::{AKS_ROUTER, DC_GROUP, DC_ROUTER, NODE_GROUP, Surroundings};
use serde_json::{Map, Value, json};
use stargate_sim::{Sim, host::Machine};
use world::Stage;

const WORKFLOWS: [&str; 4] = ["provision-aks-router", "provision-dc", "repave-worker", "sync-pod-routes"];

/// A node that AKS manages.
const AKS_NODE: &str = "aks-nodepool1-41954725-vmss000000";

/// Something that somebody else does.
struct Drift {
    /// For people.
    what: &'static str,
    happen: fn(&Sim) -> BoxFuture<'_, ()>,
    /// Every step that is to see it.
    steps: &'static [&'static str],
    /// What plan is to name.
    named: &'static str,
    /// How many writes mend it.
    writes: u64,
}

#[tokio::test]
async fn plan_says_what_a_run_would_change_before_it_after_it_and_after_drift() {
    let mut stage = Stage::new(&[]).await;
    for workflow in WORKFLOWS {
        if workflow != "sync-pod-routes" {
            // Those before it have left it nothing to do.
            has_changes(&mut stage, workflow).await;
        }
        stage.done(workflow).await;
        has_none(&mut stage, workflow).await;
    }
    for workflow in WORKFLOWS {
        // Later ones have changed the world since.
        let before = writes(&stage);
        stage.done(workflow).await;
        assert_eq!(writes(&stage), before, "{workflow} writes nothing when it is run again");
    }
    let mut found = vec![];
    for (workflow, drifts) in WORKFLOWS.into_iter().zip([aks_router(), datacenter(), worker(), routes()]) {
        // An approval that was withdrawn is given by whoever needs it, each its own routes.
        stage.done(workflow).await;
        for drift in drifts {
            found.extend(complaints(&mut stage, workflow, &drift).await);
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test]
async fn workers_leave_to_the_last_one_and_come_back_and_every_table_agrees() {
    let mut stage = Stage::new(&[]).await;
    for workflow in ["provision-aks-router", "provision-dc", "repave-worker"] {
        stage.done(workflow).await;
    }
    assert_eq!(refused(&mut stage, DC_ROUTER).await, "is a router");
    assert_eq!(refused(&mut stage, AKS_NODE).await, "is AKS's own");
    assert_eq!(refused(&mut stage, "worker-9").await, "none has left under this name");

    has_changes(&mut stage, "remove-worker").await;
    stage.done("remove-worker").await;
    assert_eq!(mentions(&stage.sim, "worker-1", "10.244.64.0/24").await, [""; 0]);
    has_none(&mut stage, "remove-worker").await;
    let before = writes(&stage);
    stage.done("remove-worker").await;
    stage.done("sync-pod-routes").await;
    assert_eq!(writes(&stage), before, "{:#?}", last_writes(&stage, 10));

    // The last one of its site: nothing is left to route to, and its table is emptied.
    assert!(!table(&stage.sim).await.is_empty());
    let mut last = removal(&stage, "worker-2", false).await;
    last.insert("delete_machine".into(), true.into());
    assert_eq!(
        stage.with_inputs(&["run", "workflow"], "remove-worker", &last).await,
        Some(0),
        "{}",
        stage.last_words()
    );
    assert_eq!(mentions(&stage.sim, "worker-2", "10.244.65.0/24").await, [""; 0]);
    assert_eq!(resources(&stage.sim, "worker-2"), [""; 0], "machine, interface and disk are gone");
    assert!(resources(&stage.sim, "worker-1").len() > 1, "that of the other one stays");
    assert_eq!(table(&stage.sim).await, [""; 0]);
    let before = writes(&stage);
    stage.done("sync-pod-routes").await;
    assert_eq!(writes(&stage), before, "{:#?}", last_writes(&stage, 10));

    stage.done("provision-dc").await;
    stage.done("repave-worker").await;
    let table = table(&stage.sim).await;
    assert!(["10.244.64.0/24", "10.244.65.0/24"].iter().all(|block| table.iter().any(|it| it == block)), "{table:?}");
}

#[tokio::test]
async fn a_worker_whose_machine_is_gone_leaves_when_the_cluster_has_missed_it() {
    let mut stage = Stage::new(&[]).await;
    for workflow in ["provision-aks-router", "provision-dc", "repave-worker"] {
        stage.done(workflow).await;
    }
    let inputs = removal(&stage, "worker-1", true).await;
    assert_eq!(stage.with_inputs(&["run", "workflow"], "remove-worker", &inputs).await, Some(3));
    assert!(stage.last_words().contains("is ready, so its machine is not gone"), "{}", stage.last_words());
    stage.sim.shared().lock().hosts.machines.remove("worker-1");
    // Whoever looks at the cluster next lets its controllers act.
    outside::list(&stage.sim, "/api/v1/nodes").await;
    remove(&mut stage, "worker-1", true).await;
    assert_eq!(mentions(&stage.sim, "worker-1", "10.244.64.0/24").await, [""; 0]);
}

/// Why it is refused to remove a worker of this name, in the words of a few; nothing is written.
async fn refused(stage: &mut Stage, name: &str) -> &'static str {
    let before = writes(stage);
    let inputs = removal(stage, name, false).await;
    assert_eq!(stage.with_inputs(&["run", "workflow"], "remove-worker", &inputs).await, Some(3));
    assert_eq!(writes(stage), before, "{:#?}", last_writes(stage, 10));
    let said = stage.last_words();
    let reasons = ["is a router", "is AKS's own", "none has left under this name"];
    reasons.into_iter().find(|reason| said.contains(reason)).unwrap_or_else(|| panic!("{said}"))
}

async fn removal(stage: &Stage, worker: &str, host_is_gone: bool) -> Map<String, Value> {
    let mut inputs = inputs::of("remove-worker", &Surroundings::of(&stage.sim).await);
    inputs.insert("worker".into(), worker.into());
    inputs.insert("host_is_gone".into(), host_is_gone.into());
    inputs
}

async fn remove(stage: &mut Stage, worker: &str, host_is_gone: bool) {
    let inputs = removal(stage, worker, host_is_gone).await;
    let code = stage.with_inputs(&["run", "workflow"], "remove-worker", &inputs).await;
    assert_eq!(code, Some(0), "{worker}: {}", stage.last_words());
}

/// Where a worker, or its block, still is: in the cluster, in Azure's tables, in the tailnet, in kernels.
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

/// What Azure has of a machine.
fn resources(sim: &Sim, machine: &str) -> Vec<String> {
    let arm = serde_json::to_value(&sim.shared().peek().arm).unwrap();
    let ids = arm["resources"].as_object().unwrap().keys();
    ids.filter(|id| id.rsplit('/').next().unwrap().starts_with(machine)).cloned().collect()
}

/// The prefixes of ours in the table of the datacenter.
async fn table(sim: &Sim) -> Vec<String> {
    let path = outside::network(sim, DC_GROUP, &format!("routeTables/{DC_ROUTER}-rt"));
    let table = outside::read_azure(sim, &path).await;
    let routes = table["properties"]["routes"].as_array().unwrap().iter();
    routes.map(|route| route["properties"]["addressPrefix"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_kubeconfig_that_leads_to_another_cluster_is_refused_before_anything_is_written() {
    let mut stage = Stage::new(&[]).await;
    for node in outside::list(&stage.sim, "/api/v1/nodes").await {
        let other = json!({ "metadata": { "labels": { "kubernetes.azure.com/cluster": "MC_another" } } });
        let name = node["metadata"]["name"].as_str().unwrap();
        outside::patch(&stage.sim, &format!("/api/v1/nodes/{name}"), &other).await;
    }
    let before = writes(&stage);
    for workflow in WORKFLOWS.into_iter().chain(["remove-worker"]) {
        let code = stage.shipped(&["run", "workflow"], workflow).await;
        let said = stage.last_words();
        assert_eq!(code, Some(3), "{workflow}: {said}");
        assert!(said.contains("leads to another cluster") && said.contains("MC_another"), "{workflow}: {said}");
        assert_eq!(writes(&stage), before, "{workflow} writes nothing: {:#?}", last_writes(&stage, 10));
    }
}

#[tokio::test]
async fn a_sync_needs_no_more_of_the_cluster_than_the_account_that_is_made_for_it_may() {
    let mut stage = Stage::new(&[]).await;
    for workflow in ["provision-aks-router", "provision-dc", "repave-worker"] {
        stage.done(workflow).await;
    }
    let account = "/api/v1/namespaces/kube-system/serviceaccounts/stargate-sync/token";
    let token = outside::create(&stage.sim, account, &json!({ "spec": {} })).await["status"]["token"].clone();
    let own = std::fs::read_to_string(stage.sim.kubeconfig()).unwrap();
    let theirs = own.replace(&outside::admin_token(&stage.sim), token.as_str().unwrap());
    assert_ne!(theirs, own);
    let kubeconfig = stage.path("sync.kubeconfig");
    std::fs::write(&kubeconfig, theirs).unwrap();
    // All that a sync may have to write there.
    outside::blank_cilium_node(&stage.sim, "worker-1").await;
    lose_serving_certificate(&stage.sim, "worker-1").await;
    let as_them = ["run", "workflow", "--kubeconfig", kubeconfig.to_str().unwrap()];
    assert_eq!(stage.shipped(&as_them, "sync-pod-routes").await, Some(0), "{}", stage.last_words());
    has_none(&mut stage, "sync-pod-routes").await;
    let code = stage.shipped(&as_them, "provision-dc").await;
    assert_eq!(code, Some(3), "it may not even look at anything else: {}", stage.last_words());
}

async fn has_changes(stage: &mut Stage, workflow: &str) {
    let before = writes(stage);
    let code = stage.shipped(&["plan"], workflow).await;
    assert_eq!(code, Some(2), "{workflow} has something to do: {:#?}", steps(stage, "failed", true));
    assert_eq!(writes(stage), before, "looking changes nothing");
}

async fn has_none(stage: &mut Stage, workflow: &str) {
    let before = writes(stage);
    let code = stage.shipped(&["plan"], workflow).await;
    assert_eq!(code, Some(0), "{workflow} has nothing to do: {:#?}", steps(stage, "unchanged", false));
    assert_eq!(writes(stage), before, "looking changes nothing");
}

/// Requests and host changes so far that changed something.
fn writes(stage: &Stage) -> u64 {
    stage.sim.shared().peek().traffic.mutating()
}

/// The last of them, for people.
fn last_writes(stage: &Stage, count: u64) -> Vec<String> {
    let world = stage.sim.shared().peek();
    let writes = world.traffic.log.iter().rev().filter(|request| request.mutating);
    let said = writes
        .map(|request| format!("{:?} {} {}: {:?}", request.surface, request.method, request.path, request.status));
    said.take(usize::try_from(count).unwrap()).collect()
}

/// What the program has written to its standard output last.
fn last_said(stage: &Stage) -> String {
    let mut standard_outputs = stage.said.iter().filter(|(name, _)| name.starts_with("standard output"));
    String::from_utf8(standard_outputs.next_back().unwrap().1.clone()).unwrap()
}

/// The steps of the last plan whose outcome is, or is not, `outcome`; skipped ones never are.
fn steps(stage: &Stage, outcome: &str, is: bool) -> Vec<Value> {
    let plan: Value = serde_json::from_str(&last_said(stage)).unwrap();
    let steps = plan["steps"].as_array().unwrap().iter();
    steps.filter(|step| step["forecast"] != "skipped" && (step["forecast"] == outcome) == is).cloned().collect()
}

/// What plan and run do about a drift that they should not; both are asked whatever the other says.
async fn complaints(stage: &mut Stage, workflow: &str, drift: &Drift) -> Vec<String> {
    (drift.happen)(&stage.sim).await;
    has_changes(stage, workflow).await;
    let changed = steps(stage, "changes", true);
    let names: Vec<&str> = changed.iter().map(|step| step["step"].as_str().unwrap()).collect();
    let told = changed.iter().map(|step| step["differences"].to_string()).collect::<String>();
    let before = writes(stage);
    stage.done(workflow).await;
    let written = writes(stage) - before;
    let wrote = last_writes(stage, written);
    has_none(stage, workflow).await;
    let complaints = [
        (names != drift.steps).then(|| format!("{:?} were to change something, and {names:?} would", drift.steps)),
        (!told.contains(drift.named)).then(|| format!("{} is not named: {told}", drift.named)),
        (written != drift.writes).then(|| format!("{} writes were to mend it, and {wrote:#?} did", drift.writes)),
    ];
    complaints.into_iter().flatten().map(|complaint| format!("{workflow}, {}: {complaint}", drift.what)).collect()
}

/// A subject of the role that lets kubelets ask for certificates is gone.
async fn empty_role_binding(sim: &Sim) {
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/stargate-node-bootstrapper";
    outside::patch(sim, path, &json!({ "subjects": null })).await;
}

/// Pods' packets are dropped by Azure's own rules then.
async fn delete_rule(sim: &Sim) {
    let rule = format!("networkSecurityGroups/{DC_ROUTER}-nsg/securityRules/stargate-aks-pods");
    outside::change_azure(sim, "DELETE", &outside::network(sim, DC_GROUP, &rule), Value::Null).await;
}

/// Something happens on a machine, until its next boot if it is of its kernel.
fn on_machine(sim: &Sim, machine: &str, happens: impl FnOnce(&mut Machine)) {
    happens(sim.shared().lock().hosts.machines.get_mut(machine).unwrap());
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

fn aks_router() -> Vec<Drift> {
    vec![
        Drift {
            what: "a NIC does not forward",
            happen: |sim| {
                Box::pin(async { outside::turn_forwarding_off(sim, NODE_GROUP, &format!("{AKS_ROUTER}-nic")).await })
            },
            steps: &["nic"],
            named: "forwarding",
            writes: 1,
        },
        Drift {
            what: "a kernel does not forward",
            happen: |sim| Box::pin(async { outside::stop_forwarding(sim, AKS_ROUTER) }),
            steps: &["forwarding"],
            named: "net.ipv4.ip_forward",
            writes: 1,
        },
        Drift {
            what: "an approval is withdrawn",
            happen: |sim| Box::pin(async { outside::withdraw_approval(sim, AKS_ROUTER) }),
            steps: &["approval"],
            named: "10.224.0.0/16",
            writes: 1,
        },
        Drift {
            what: "nothing clamps segments",
            happen: |sim| Box::pin(async { flush_ruleset(sim, AKS_ROUTER) }),
            steps: &["clamp"],
            named: "MSS clamp",
            writes: 2, // the unit is stopped and started
        },
        Drift {
            what: "a kernel drops what came another way",
            happen: |sim| Box::pin(async { filter_strictly(sim, AKS_ROUTER) }),
            steps: &["forwarding"],
            named: "rp_filter",
            writes: 1,
        },
        ROLE_BINDING,
    ]
}

/// What both workflows that set a site up look at.
const ROLE_BINDING: Drift = Drift {
    what: "a role binding is emptied",
    happen: |sim| Box::pin(empty_role_binding(sim)),
    steps: &["objects/access"],
    named: "stargate-node-bootstrapper",
    writes: 1,
};

fn datacenter() -> Vec<Drift> {
    vec![
        Drift {
            what: "a worker's NIC does not forward",
            happen: |sim| Box::pin(outside::turn_forwarding_off(sim, DC_GROUP, "worker-1-nic")),
            steps: &["worker_nic[worker-1]"],
            named: "forwarding",
            writes: 1,
        },
        Drift {
            what: "a rule for packets is gone",
            happen: |sim| Box::pin(delete_rule(sim)),
            steps: &["security"],
            named: "stargate-aks-pods",
            writes: 1,
        },
        ROLE_BINDING,
        Drift {
            what: "a kernel does not forward",
            happen: |sim| Box::pin(async { outside::stop_forwarding(sim, DC_ROUTER) }),
            steps: &["forwarding"],
            named: "net.ipv4.ip_forward",
            writes: 1,
        },
        Drift {
            what: "a kernel drops what came another way",
            happen: |sim| Box::pin(async { filter_strictly(sim, DC_ROUTER) }),
            steps: &["forwarding"],
            named: "rp_filter",
            writes: 1,
        },
    ]
}

fn worker() -> Vec<Drift> {
    vec![
        Drift {
            what: "the agent's idea of a node's pods is gone",
            happen: |sim| Box::pin(outside::blank_cilium_node(sim, "worker-1")),
            steps: &["cilium"],
            named: "10.244.64.0/24",
            writes: 2, // refused first, since somebody else has set the blocks, and then taken over
        },
        Drift {
            what: "a kernel does not forward",
            happen: |sim| Box::pin(async { outside::stop_forwarding(sim, "worker-1") }),
            steps: &["forwarding"],
            named: "net.ipv4.ip_forward",
            writes: 1,
        },
        Drift {
            what: "a file has another mode",
            happen: |sim| {
                Box::pin(async {
                    let mut world = sim.shared().lock();
                    let machine = world.hosts.machines.get_mut("worker-1").unwrap();
                    machine.files.nodes.get_mut("/etc/kubernetes/pki/ca.crt").unwrap().mode = 0o600;
                })
            },
            steps: &["authority"],
            named: "/etc/kubernetes/pki/ca.crt",
            writes: 3, // made beside it, filled, and moved to its place
        },
    ]
}

/// A kubelet's serving certificate is gone, as it is when it has ended; returns when the kubelet has asked for the next one.
async fn lose_serving_certificate(sim: &Sim, machine: &str) {
    let path = "/var/lib/kubelet/pki/kubelet-server-current.pem";
    let removed = sim.shared().lock().hosts.machines.get_mut(machine).unwrap().files.nodes.remove(path);
    assert!(removed.is_some(), "{machine} had a serving certificate");
    let asked = |request: &Value| {
        request["spec"]["username"] == format!("system:node:{machine}") && request["status"].get("conditions").is_none()
    };
    let waited = async {
        while !outside::list(sim, "/apis/certificates.k8s.io/v1/certificatesigningrequests").await.iter().any(asked) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waited).await.expect("the kubelet asks for another one");
}

fn routes() -> Vec<Drift> {
    vec![
        Drift {
            what: "a kubelet asks for its next serving certificate",
            happen: |sim| Box::pin(lose_serving_certificate(sim, "worker-1")),
            steps: &["certificates"],
            named: "approval of certificate request csr-",
            writes: 1,
        },
        Drift {
            what: "a route is deleted",
            happen: |sim| {
                Box::pin(async {
                    outside::delete_route(sim, NODE_GROUP, "stargate-workers-rt").await;
                })
            },
            steps: &["workers_routes"],
            named: "10.",
            writes: 1,
        },
        Drift {
            what: "a route is left over",
            happen: |sim| Box::pin(outside::leave_stale_route(sim, "10.99.0.0/16")),
            steps: &["stale_workers_routes"],
            named: "10.99.0.0/16",
            writes: 1,
        },
        Drift {
            what: "a NIC does not forward",
            happen: |sim| Box::pin(outside::turn_forwarding_off(sim, DC_GROUP, "worker-2-nic")),
            steps: &["machines_forward[dc]"],
            named: "worker-2",
            writes: 1,
        },
        Drift {
            what: "a worker's kernel does not forward",
            happen: |sim| Box::pin(async { outside::stop_forwarding(sim, "worker-2") }),
            steps: &["worker_kernel[worker-2]"],
            named: "net.ipv4.ip_forward",
            writes: 1,
        },
        Drift {
            what: "an approval is withdrawn",
            happen: |sim| Box::pin(async { outside::withdraw_approval(sim, DC_ROUTER) }),
            steps: &["approved[stargate-aks-e2e-7-dc-router]"],
            named: "10.50.1.0/24",
            writes: 1,
        },
        Drift {
            what: "nothing clamps segments",
            happen: |sim| Box::pin(async { flush_ruleset(sim, DC_ROUTER) }),
            steps: &["router_clamp[stargate-aks-e2e-7-dc-router]"],
            named: "MSS clamp",
            writes: 2, // the unit is stopped and started
        },
        Drift {
            what: "a kernel drops what came another way",
            happen: |sim| Box::pin(async { filter_strictly(sim, AKS_ROUTER) }),
            steps: &["router_kernel[stargate-aks-e2e-7-router]"],
            named: "rp_filter",
            writes: 1,
        },
        Drift {
            what: "a router filters statefully",
            happen: |sim| Box::pin(async { filter_statefully(sim, DC_ROUTER) }),
            steps: &["advertised[stargate-aks-e2e-7-dc-router]"],
            named: "stateful filtering",
            writes: 1,
        },
        Drift {
            what: "the agent's idea of a node's pods is gone",
            happen: |sim| Box::pin(outside::blank_cilium_node(sim, "worker-1")),
            steps: &["cilium"],
            named: "worker-1",
            writes: 2, // likewise
        },
    ]
}
