//! Inputs of the embedded workflows in the simulated world.

use serde_json::{Map, Value, json};

pub(crate) const CLUSTER: &str = "stargate-aks-e2e-7";
/// Resource group of the datacenter.
pub(crate) const DC_GROUP: &str = "stargate-aks-e2e-7-dc";
/// Resource group of the cluster's nodes and of its router.
pub(crate) const NODE_GROUP: &str = "MC_stargate-aks-e2e-7_stargate-aks-e2e-7_canadacentral";
pub(crate) const AKS_ROUTER: &str = "stargate-aks-e2e-7-router";
pub(crate) const DC_ROUTER: &str = "stargate-aks-e2e-7-dc-router";

/// Version of the cluster and of the kubelets that join it.
const KUBELET: &str = "v1.33.5";

/// Facts about a simulated world that inputs contain.
pub(crate) struct WorldFacts {
    /// Public key for logging in to machines, in OpenSSH format.
    pub(crate) ssh_public_key: String,
    /// Base URL of the world for HTTP.
    pub(crate) http: String,
    /// SHA-256 of the kubelet in its mirror.
    kubelet_sha256: String,
}

impl WorldFacts {
    pub(crate) async fn of(sim: &stargate_sim::Sim) -> Self {
        let key = std::fs::read_to_string(sim.dir().join("id_ed25519.pub")).unwrap();
        let http = sim.http_url();
        let index: Value = reqwest::get(format!("{http}/_mirror/index.json")).await.unwrap().json().await.unwrap();
        let kubelet_sha256 = index[format!("kubernetes/{KUBELET}/bin/linux/amd64/kubelet")].as_str().unwrap().into();
        Self { ssh_public_key: key.trim().into(), http, kubelet_sha256 }
    }
}

/// Returns the inputs of an embedded workflow. None measures connectivity: the test `verify` does.
pub(crate) fn of(workflow: &str, facts: &WorldFacts) -> Map<String, Value> {
    let inputs = match workflow {
        "provision-aks-router" => aks_router(facts),
        "provision-dc" => datacenter(facts),
        "repave-worker" => worker(facts),
        "repave-site" => site(facts),
        "deploy" => deployment(facts),
        "sync-pod-routes" => json!({ "cluster": CLUSTER, "cluster_resource_group": CLUSTER }),
        "remove-worker" => json!({ "cluster": CLUSTER, "cluster_resource_group": CLUSTER, "worker": "worker-1" }),
        "remove-site" => json!({ "cluster": CLUSTER, "cluster_resource_group": CLUSTER, "site": "dc" }),
        "teardown" => json!({
            "cluster": CLUSTER, "cluster_resource_group": CLUSTER, "router_subnet": "10.237.0.0/24",
            "sites": [{ "name": "dc", "resource_group": DC_GROUP }],
        }),
        other => panic!("no inputs are known for {other}"),
    };
    let Value::Object(mut inputs) = inputs else { unreachable!("it is an object") };
    if !["provision-aks-router", "teardown"].contains(&workflow) {
        inputs.insert("verify".into(), json!(false));
    }
    inputs
}

/// Two sites with two workers each.
fn deployment(facts: &WorldFacts) -> Value {
    let (mut inputs, router, nodes) = (aks_router(facts), datacenter(facts), worker(facts));
    let site = |name: &str, third: u8, pod_block: &str, workers: [&str; 2]| {
        let worker = |at: usize| json!({ "name": workers[at], "private_ip": format!("10.{third}.1.{}", at + 5) });
        json!({
            "name": name, "resource_group": format!("{CLUSTER}-{name}"), "location": "westeurope",
            "network_prefix": format!("10.{third}.0.0/16"), "subnet_prefix": format!("10.{third}.1.0/24"),
            "router": format!("{CLUSTER}-{name}-router"), "router_ip": format!("10.{third}.1.4"),
            "pod_block": pod_block, "workers": [worker(0), worker(1)],
        })
    };
    inputs["cluster_resource_group"] = inputs.as_object_mut().unwrap().remove("resource_group").unwrap();
    inputs["aks_router"] = inputs.as_object_mut().unwrap().remove("router").unwrap();
    inputs["sites"] = json!([
        site("dc", 50, "10.244.64.0/18", ["worker-1", "worker-2"]),
        site("lyon", 60, "10.244.128.0/18", ["lyon-1", "lyon-2"]),
    ]);
    for (name, of) in [("kubelet_version", &nodes), ("kubelet_sha256", &nodes), ("kubernetes_mirror", &nodes)] {
        inputs[name] = of[name].clone();
    }
    inputs["ssh_source"] = router["ssh_source"].clone();
    inputs
}

fn site(facts: &WorldFacts) -> Value {
    let mut inputs = worker(facts);
    let worker = inputs.as_object_mut().unwrap().remove("worker").unwrap();
    inputs["workers"] = json!([worker, "worker-2"]);
    inputs
}

fn aks_router(facts: &WorldFacts) -> Value {
    json!({
        "cluster": CLUSTER,
        "resource_group": CLUSTER,
        "router": AKS_ROUTER,
        "router_subnet": "10.237.0.0/24",
        "ssh_public_key": facts.ssh_public_key,
        "ssh_source": "198.51.100.0/24",
    })
}

fn datacenter(facts: &WorldFacts) -> Value {
    json!({
        "cluster": CLUSTER,
        "cluster_resource_group": CLUSTER,
        "site": "dc",
        "resource_group": DC_GROUP,
        "location": "westeurope",
        "router": DC_ROUTER,
        "workers": [
            { "name": "worker-1", "private_ip": "10.50.1.5" },
            { "name": "worker-2", "private_ip": "10.50.1.6" },
        ],
        "ssh_public_key": facts.ssh_public_key,
        "ssh_source": "198.51.100.0/24",
    })
}

fn worker(facts: &WorldFacts) -> Value {
    json!({
        "cluster": CLUSTER,
        "cluster_resource_group": CLUSTER,
        "worker": "worker-1",
        "kubelet_version": KUBELET,
        "kubelet_sha256": facts.kubelet_sha256,
        "kubernetes_mirror": format!("{}/_mirror/kubernetes", facts.http),
    })
}
