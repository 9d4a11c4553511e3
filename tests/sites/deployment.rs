//! A deployment with two datacenters in Azure.

use std::time::Duration;

use serde_json::{Map, Value, json};
use stargate_sim::{
    Sim,
    dataplane::{Plane, UnmanagedPod},
};

use crate::{
    inputs::{self, CLUSTER, WorldFacts},
    outside,
    world::Harness,
};

pub(crate) const SYNC: &str = "sync-pod-routes";
pub(crate) const AKS_NODES: [&str; 2] = ["aks-nodepool1-41954725-vmss000000", "aks-nodepool1-41954725-vmss000001"];

/// A datacenter: name, second byte of its network, site pod CIDR and workers.
pub(crate) struct Datacenter {
    pub(crate) name: &'static str,
    byte: u8,
    pod_block: &'static str,
    workers: &'static [&'static str],
}

pub(crate) const EAST: Datacenter =
    Datacenter { name: "dc-east", byte: 61, pod_block: "10.244.64.0/19", workers: &["east-w1", "east-w2"] };
pub(crate) const NORTH: Datacenter =
    Datacenter { name: "dc-north", byte: 72, pod_block: "10.244.96.0/19", workers: &["north-w1"] };

impl Datacenter {
    pub(crate) fn group(&self) -> String {
        format!("{}-rg", self.name)
    }

    pub(crate) fn router(&self) -> String {
        format!("{}-gw", self.name)
    }

    /// Inputs of `provision-dc`.
    pub(crate) async fn inputs(&self, sim: &Sim) -> Map<String, Value> {
        let mut inputs = inputs::of("provision-dc", &WorldFacts::of(sim).await);
        let address = |host: usize| format!("10.{}.3.{host}", self.byte);
        let workers = self.workers.iter().enumerate();
        let workers = workers.map(|(index, name)| json!({ "name": name, "private_ip": address(11 + index) }));
        let own = json!({
            "site": self.name,
            "resource_group": self.group(),
            "router": self.router(),
            "router_ip": address(4),
            "network_prefix": format!("10.{}.0.0/16", self.byte),
            "subnet_prefix": format!("10.{}.3.0/24", self.byte),
            "workers": workers.collect::<Vec<_>>(),
            "pod_block": self.pod_block,
        });
        inputs.extend(own.as_object().unwrap().clone());
        inputs
    }

    pub(crate) async fn provision(&self, harness: &mut Harness) {
        let inputs = self.inputs(&harness.sim).await;
        let code = harness.run_with_inputs(&["run", "workflow"], "provision-dc", &inputs).await;
        assert_eq!(code, Some(0), "{}: {}", self.name, harness.last_output());
    }

    fn pods(&self) -> impl Iterator<Item = UnmanagedPod> {
        let block: ipnet::Ipv4Net = self.pod_block.parse().unwrap();
        self.workers.iter().zip(block.subnets(24).unwrap()).map(|(worker, pods)| pod(worker, &pods.to_string()))
    }
}

/// Pod of a node, named like it.
fn pod(node: &str, pod_cidr: &str) -> UnmanagedPod {
    let ip = pod_cidr.replace(".0/24", ".9").parse().unwrap();
    UnmanagedPod { name: node.into(), node: node.into(), ip }
}

/// A cluster with two datacenters, and a pod on each node.
pub(crate) async fn two_datacenters() -> Harness {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    for site in [EAST, NORTH] {
        site.provision(&mut harness).await;
    }
    let aks = AKS_NODES.into_iter().zip(["10.244.0.0/24", "10.244.1.0/24"]).map(|(node, cidr)| pod(node, cidr));
    harness.sim.shared().lock().pods = aks.chain(EAST.pods()).chain(NORTH.pods()).collect();
    assert_eq!(dead(&harness.sim), [""; 0], "all pairs are alive after the deployment");
    harness
}

/// Adds a node that AKS manages, with a pod.
pub(crate) async fn add_aks_node(sim: &Sim) {
    let name = "aks-nodepool1-41954725-vmss000009";
    let node = json!({ "name": name, "address": "10.224.0.11", "pod_cidr": "10.244.9.0/24" });
    outside::add_aks_nodes(sim, &node).await;
    sim.shared().lock().pods.push(pod(name, "10.244.9.0/24"));
}

/// Runs a sync and returns its exit code and all its output.
pub(crate) async fn sync(harness: &mut Harness, inputs: &[(&str, &str)]) -> (Option<i32>, String) {
    run(harness, SYNC, json!({ "cluster": CLUSTER, "cluster_resource_group": CLUSTER }), inputs).await
}

/// Runs a workflow and returns its exit code and all its output.
pub(crate) async fn run(
    harness: &mut Harness,
    workflow: &str,
    inputs: Value,
    more: &[(&str, &str)],
) -> (Option<i32>, String) {
    let Value::Object(mut inputs) = inputs else { unreachable!("it is an object") };
    inputs.insert("verify".into(), json!(false));
    inputs.extend(more.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
    let code = harness.run_with_inputs(&["run", "workflow"], workflow, &inputs).await;
    (code, output(harness))
}

/// Returns the whole output of the last command.
pub(crate) fn output(harness: &Harness) -> String {
    harness.outputs.iter().rev().take(2).map(|(_, text)| String::from_utf8_lossy(text)).collect()
}

/// Returns the pairs of pods without a connection, as `from -> to`.
pub(crate) fn dead(sim: &Sim) -> Vec<String> {
    let plane = Plane::of(&sim.shared().peek());
    let cells = plane.matrix(plane.pods()).cells.into_iter().filter(|cell| !cell.ok);
    cells.map(|cell| format!("{} -> {}", cell.from, cell.to)).collect()
}

/// Waits until exactly the pairs with one of `nodes` are dead: Azure applies a change after its
/// response.
pub(crate) async fn only_dead(sim: &Sim, nodes: &[&str]) {
    let has_node = |pair: &String| nodes.iter().any(|node| pair.contains(node));
    let reached = async {
        loop {
            let dead = dead(sim);
            if dead.is_empty() == nodes.is_empty() && dead.iter().all(has_node) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_mins(1), reached).await;
    assert!(reached.is_ok(), "dead: {:?}, expected only pairs with {nodes:?}", dead(sim));
}

/// Returns the prefixes of a route table.
pub(crate) async fn prefixes(sim: &Sim, group: &str, table: &str) -> Vec<String> {
    let table = outside::read_azure(sim, &outside::network(sim, group, &format!("routeTables/{table}"))).await;
    let routes = table["properties"]["routes"].as_array().unwrap().iter();
    routes.map(|route| route["properties"]["addressPrefix"].as_str().unwrap().to_owned()).collect()
}

/// Returns the last event of the last run.
fn result(harness: &Harness) -> Value {
    let output = output(harness);
    let mut events = output.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.find(|event| event["event"] == "result").unwrap()
}

/// Returns the results of a group in the last run.
pub(crate) fn group(harness: &Harness, name: &str) -> Value {
    let result = result(harness);
    let mut groups = result["groups"].as_array().unwrap().iter();
    groups.find(|group| group["name"] == name).unwrap().clone()
}

/// Returns the steps that failed in the last run, each with its error.
pub(crate) fn failures(harness: &Harness) -> Vec<(String, String)> {
    let result = result(harness);
    let failures = result["failures"].as_array().unwrap().iter();
    failures
        .map(|failure| {
            (failure["step"].as_str().unwrap().to_owned(), failure["error"]["message"].as_str().unwrap().to_owned())
        })
        .collect()
}
