//! A cluster of a thousand nodes: 390 of AKS, as many as a route table has space for, and 600
//! workers in three sites.
//!
//! Requests are counted, not seconds: a synchronisation lists in pages and writes each surface at
//! most once, so their number must not grow with the nodes. Steps that log in to each worker are
//! removed, because the workers have no machines here; the routers of the sites are machines, and
//! everything else is the embedded workflow.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "each test uses a part of the module")]
mod outside;
mod world;

use inputs::{NODE_GROUP, WorldFacts};
use serde_json::{Map, Value, json};
use stargate_sim::{Sim, Surface};
use world::Harness;

/// Nodes of AKS, with the two that the scenario has.
const AKS_NODES: u16 = 390;
/// Pod CIDR of the cluster, with a /24 for each of its nodes: [`aks_node`] gives the first ones.
const POD_CIDR: &str = "10.244.0.0/15";
const SITES: u16 = 3;
const WORKERS: u16 = 200;
/// Workers of each site whose `CiliumNode` has no pod CIDR. Few, because each write makes the
/// simulated controllers read all nodes.
const DRIFTED: u16 = 1;
/// Maximum number of requests of one synchronisation that read, without polls of operations. It
/// needs about 40, some of them polls of resources; one request per node or per worker would be
/// several hundred.
const MAX_READS: usize = 100;
/// Embedded workflow, from which the steps on workers are removed.
const SYNC: &str = include_str!("../workflows/sync-pod-routes.yaml");

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronisation_of_a_thousand_nodes_needs_few_requests() {
    let mut harness = deployment().await;
    put(&harness.sim, (2..AKS_NODES).flat_map(aks_node));
    let workers = (0..SITES).flat_map(|site| (0..WORKERS).map(move |number| (site, number)));
    put(&harness.sim, workers.flat_map(|(site, number)| worker(site, number, number >= DRIFTED)));

    let first = synchronise(&mut harness, "first run").await;
    // One write per route table, for all routes to the pods of nodes and of sites.
    assert_eq!(first.tables, 2, "{first:?}");
    assert_eq!(first.cilium, u64::from(SITES * DRIFTED), "{first:?}");
    assert_eq!(routes(&harness.sim, "stargate-router-rt").await, usize::from(AKS_NODES));
    // A subnet and a site pod CIDR for each site, regardless of its workers.
    assert_eq!(routes(&harness.sim, "stargate-workers-rt").await, usize::from(2 * SITES));

    let again = synchronise(&mut harness, "no change").await;
    assert_eq!(again.all, 0, "{again:?}");

    put(&harness.sim, aks_node(AKS_NODES));
    let grown = synchronise(&mut harness, "one more AKS node").await;
    assert_eq!(
        (grown.tables, grown.cilium),
        (1, 0),
        "only the table of the router's subnet has a route per node: {grown:?}"
    );

    put(&harness.sim, worker(0, WORKERS, false));
    let joined = synchronise(&mut harness, "one more worker").await;
    assert_eq!((joined.tables, joined.cilium), (0, 1), "the site pod CIDR contains the new pod CIDR: {joined:?}");
}

/// Requests of a run that changed something.
#[derive(Debug)]
struct Writes {
    all: u64,
    tables: u64,
    cilium: u64,
}

/// Runs the workflow, asserts that it succeeds and needs few reads, and returns its writes.
async fn synchronise(harness: &mut Harness, name: &str) -> Writes {
    let latest = harness.sim.shared().peek().traffic.latest;
    let inputs = inputs::of("sync-pod-routes", &WorldFacts::of(&harness.sim).await);
    let file = harness.path("sync-pod-routes.yaml");
    let code = harness.run_with_inputs(&["run", "workflow"], file.to_str().unwrap(), &inputs).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    let reads = reads(&harness.sim, latest);
    assert!(reads.len() <= MAX_READS, "{name}: {} requests: {reads:#?}", reads.len());
    writes(&harness.sim, latest)
}

/// Returns the requests to Azure and the cluster that read after the one with this number, without
/// polls of operations, whose number depends on the speed of the machine.
fn reads(sim: &Sim, after: u64) -> Vec<String> {
    let world = sim.shared().peek();
    let is_api = |surface| matches!(surface, Surface::Arm | Surface::Kubernetes);
    let new = world.traffic.log.iter().filter(|request| !request.mutating && request.seq > after);
    let reads = new.filter(|request| is_api(request.surface) && !request.path.to_lowercase().contains("/operation"));
    reads
        .map(|request| format!("{} {}?{}", request.method, request.path, request.query.as_deref().unwrap_or_default()))
        .collect()
}

/// Counts the requests that changed something after the one with this number.
fn writes(sim: &Sim, after: u64) -> Writes {
    let world = sim.shared().peek();
    let new: Vec<_> = world.traffic.log.iter().filter(|request| request.mutating && request.seq > after).collect();
    let count = |surface: Surface, part: &str| {
        let matching = new.iter().filter(|request| request.surface == surface && request.path.contains(part));
        matching.count() as u64
    };
    Writes {
        all: new.len() as u64,
        tables: count(Surface::Arm, "/routeTables/"),
        cilium: count(Surface::Kubernetes, "/ciliumnodes/"),
    }
}

/// Counts the routes of a route table.
async fn routes(sim: &Sim, table: &str) -> usize {
    let table = outside::read_azure(sim, &outside::network(sim, NODE_GROUP, &format!("routeTables/{table}"))).await;
    table["properties"]["routes"].as_array().unwrap().len()
}

/// Deploys the routers of the cluster and of three sites, whose machines then share an Ethernet
/// segment each.
async fn deployment() -> Harness {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    widen_pod_cidr(&harness.sim);
    harness.run_to_success("provision-aks-router").await;
    for site in 0..SITES {
        let inputs = datacenter(site, &WorldFacts::of(&harness.sim).await);
        let code = harness.run_with_inputs(&["run", "workflow"], "provision-dc", &inputs).await;
        assert_eq!(code, Some(0), "{}", harness.last_output());
    }
    for site in 0..SITES {
        let l2 = json!({ "spec": { "fabric": "l2", "azure": null } });
        outside::patch(&harness.sim, &format!("/apis/stargate.io/v1alpha1/sites/dc-{site}"), &l2).await;
    }
    let mut sync = SYNC.to_owned();
    for (list, steps) in [("workers", 2), ("segment_machines", 2)] {
        let machines = format!("for_each: ${{{{ steps.inventory.outputs.{list}");
        let loops: Vec<&str> = SYNC.lines().filter(|line| line.contains(&machines)).collect();
        assert_eq!(loops.len(), steps, "number of steps that log in to {list}");
        for each in loops {
            sync = sync.replace(each, &format!("    {machines}.filter(machine, false) }}}}"));
        }
    }
    std::fs::write(harness.path("sync-pod-routes.yaml"), sync).unwrap();
    harness
}

/// Gives the cluster a pod CIDR with space for the pod CIDRs of all its nodes.
fn widen_pod_cidr(sim: &Sim) {
    let mut world = sim.shared().lock();
    let speed = world.arm.speed; // not part of the state
    let mut arm = serde_json::to_value(&world.arm).unwrap();
    let resources = arm["resources"].as_object_mut().unwrap().values_mut();
    let profiles = resources.filter_map(|one| one.pointer_mut("/properties/networkProfile"));
    let profiles: Vec<_> = profiles.filter(|profile| profile.get("podCidr").is_some()).collect();
    assert_eq!(profiles.len(), 1, "the cluster");
    for profile in profiles {
        profile["podCidr"] = POD_CIDR.into();
        profile["podCidrs"] = json!([POD_CIDR]);
    }
    world.arm = serde_json::from_value(arm).unwrap();
    world.arm.speed = speed;
}

fn datacenter(site: u16, facts: &WorldFacts) -> Map<String, Value> {
    let mut inputs = inputs::of("provision-dc", facts);
    let own = json!({
        "site": format!("dc-{site}"),
        "resource_group": format!("dc-{site}"),
        "router": format!("dc-{site}-router"),
        "network_prefix": format!("10.{}.0.0/16", 50 + site),
        "subnet_prefix": format!("10.{}.1.0/24", 50 + site),
        "router_ip": format!("10.{}.1.4", 50 + site),
        "pod_block": format!("10.248.{}.0/18", 64 * site),
        "pod_block_length": 26,
        "workers": [],
    });
    inputs.extend(own.as_object().unwrap().clone());
    inputs
}

/// Returns the objects of an AKS node with their kinds. The node has no virtual machine and no
/// pods, which the workflow does not read.
fn aks_node(number: u16) -> [(&'static str, Value); 2] {
    let ([high, low], [_, block]) = ((number + 4).to_be_bytes(), number.to_be_bytes());
    let name = format!("aks-nodepool1-41954725-vmss{number:06}");
    let address = format!("10.224.{high}.{low}");
    let pod_cidr = format!("10.{}.{block}.0/24", 244 + (number >> 8));
    let node = json!({ "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": { "kubernetes.azure.com/cluster": NODE_GROUP, "kubernetes.azure.com/agentpool": "nodepool1" } },
        "spec": { "providerID": format!("azure:///subscriptions/0/virtualMachines/{name}") },
        "status": { "addresses": [{ "type": "InternalIP", "address": address }] } });
    let config = json!({ "apiVersion": "acn.azure.com/v1alpha", "kind": "NodeNetworkConfig",
        "metadata": { "name": name, "namespace": "kube-system" }, "spec": { "requestedIPCount": 256 },
        "status": { "networkContainers": [{ "nodeIP": address, "primaryIP": pod_cidr, "type": "overlay" }] } });
    [("nodes", node), ("nodenetworkconfigs.acn.azure.com", config)]
}

/// Returns the objects of a registered worker that has joined, with their kinds. With `known`, its
/// `CiliumNode` has the pod CIDR.
fn worker(site: u16, number: u16, known: bool) -> [(&'static str, Value); 3] {
    let name = format!("dc-{site}-worker-{number}");
    let ip = format!("10.{}.1.{}", 50 + site, 10 + number);
    let offset = 64 * number;
    let pod_cidr = format!("10.248.{}.{}/26", 64 * site + offset / 256, offset % 256);
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    let ssh = json!({ "address": ip, "user": "ubuntu", "hostKey": key });
    let spec = json!({ "site": format!("dc-{site}"), "role": "worker", "ip": ip, "podCIDR": pod_cidr, "ssh": ssh });
    let pod_cidrs = if known { vec![pod_cidr] } else { vec![] };
    let labels = json!({ "kubernetes.azure.com/managed": "false", "stargate.io/site": format!("dc-{site}") });
    let address = json!({ "type": "InternalIP", "address": ip });
    let of = |version: &str, kind: &str| json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name } });
    let (mut server, mut node) = (of("stargate.io/v1alpha1", "Server"), of("v1", "Node"));
    let mut agents = of("cilium.io/v2", "CiliumNode");
    server["spec"] = spec;
    node["metadata"]["labels"] = labels;
    node["status"] = json!({ "addresses": [address] });
    agents["spec"] = json!({ "ipam": { "podCIDRs": pod_cidrs } });
    [("servers.stargate.io", server), ("nodes", node), ("ciliumnodes.cilium.io", agents)]
}

/// Adds objects to the cluster without its controllers, which would read all nodes for each of
/// them.
fn put(sim: &Sim, objects: impl IntoIterator<Item = (&'static str, Value)>) {
    let mut world = sim.shared().lock();
    let mut kube = serde_json::to_value(&world.kube).unwrap();
    let revision = kube["revision"].as_u64().unwrap() + 1;
    kube["revision"] = revision.into();
    for (kind, mut object) in objects {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        object["metadata"]["uid"] = format!("uid-of-{name}").into();
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        let key = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        };
        kube["objects"][kind][&key] = object;
    }
    world.kube = serde_json::from_value(kube).unwrap();
}
