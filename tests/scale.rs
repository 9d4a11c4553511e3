//! A cluster of a thousand nodes: 390 of AKS, as many as a route table leaves room for, and 600 workers in three sites.
//!
//! Left out is what grows with workers alone and needs a machine each: the look at every worker's kernel over SSH, and
//! their NICs. The sites' routers are machines, and everything else is as it ships.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "how long it took is worth knowing")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "the tests use a part of it each")]
mod outside;
mod world;

use std::time::{Duration, Instant};

use inputs::{NODE_GROUP, Surroundings};
use serde_json::{Map, Value, json};
use stargate_sim::{Sim, Surface};
use world::Stage;

/// The cluster of the scenario has two of them.
const AKS_NODES: u16 = 390;
const SITES: u16 = 3;
const WORKERS: u16 = 200;
/// Workers of each site of whose pods Cilium does not know; each write lets the simulated controllers look at every node.
const DRIFTED: u16 = 1;
/// A debug build beside other tests and compilers. Alone it takes a fifth of this, most of it pauses.
const LIMIT: Duration = Duration::from_secs(15);
/// The workflow that ships, but for the machines that are not there.
const SYNC: &str = include_str!("../workflows/sync-pod-routes.yaml");

#[tokio::test(flavor = "multi_thread")]
async fn a_node_more_among_a_thousand_is_one_write_a_table() {
    let mut stage = deployment().await;
    let seeded = Instant::now();
    put(&stage.sim, (2..AKS_NODES).flat_map(aks_node));
    let workers = (0..SITES).flat_map(|site| (0..WORKERS).map(move |number| (site, number)));
    put(&stage.sim, workers.flat_map(|(site, number)| worker(site, number, number >= DRIFTED)));
    println!("{} nodes are there after {:.1} s", AKS_NODES + SITES * WORKERS, seeded.elapsed().as_secs_f32());

    let first = synced(&mut stage, "the first time").await;
    // The routes to the nodes' pods, and those to the sites' pods: one write a table, however many they are.
    assert_eq!(first.tables, 2, "{first:?}");
    assert_eq!(first.cilium, u64::from(SITES * DRIFTED), "{first:?}");
    assert_eq!(routes(&stage.sim, "stargate-router-rt").await, usize::from(AKS_NODES));
    // A subnet and a block of pods for each site, however many workers it has.
    assert_eq!(routes(&stage.sim, "stargate-workers-rt").await, usize::from(2 * SITES));

    let again = synced(&mut stage, "with nothing to do").await;
    assert_eq!(again.all, 0, "{again:?}");

    put(&stage.sim, aks_node(AKS_NODES));
    let grown = synced(&mut stage, "with one AKS node more").await;
    assert_eq!((grown.tables, grown.cilium), (1, 0), "the router's subnet alone tells nodes apart: {grown:?}");

    put(&stage.sim, worker(0, WORKERS, false));
    let joined = synced(&mut stage, "with one worker more").await;
    assert_eq!((joined.tables, joined.cilium), (0, 1), "the site's block covers it: {joined:?}");
}

/// What a run has written.
#[derive(Debug)]
struct Writes {
    all: u64,
    tables: u64,
    cilium: u64,
}

async fn synced(stage: &mut Stage, what: &str) -> Writes {
    let latest = stage.sim.shared().peek().traffic.latest;
    let began = Instant::now();
    let inputs = inputs::of("sync-pod-routes", &Surroundings::of(&stage.sim).await);
    let file = stage.path("sync-pod-routes.yaml");
    let code = stage.with_inputs(&["run", "workflow"], file.to_str().unwrap(), &inputs).await;
    assert_eq!(code, Some(0), "{}", stage.last_words());
    let took = began.elapsed();
    let writes = writes(&stage.sim, latest);
    println!("{what}: {:.1} s, {writes:?}", took.as_secs_f32());
    assert!(took < LIMIT, "{what}: {took:?}");
    writes
}

/// The requests that changed something after the one with this number.
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

async fn routes(sim: &Sim, table: &str) -> usize {
    let table = outside::read_azure(sim, &outside::network(sim, NODE_GROUP, &format!("routeTables/{table}"))).await;
    table["properties"]["routes"].as_array().unwrap().len()
}

/// The router of the cluster and those of three sites, which become segments of machines of their own.
async fn deployment() -> Stage {
    let mut stage = Stage::new(&[]).await;
    stage.log = "warn";
    stage.done("provision-aks-router").await;
    for site in 0..SITES {
        let inputs = datacenter(site, &Surroundings::of(&stage.sim).await);
        let code = stage.with_inputs(&["run", "workflow"], "provision-dc", &inputs).await;
        assert_eq!(code, Some(0), "{}", stage.last_words());
    }
    for site in 0..SITES {
        let l2 = json!({ "spec": { "fabric": "l2", "azure": null } });
        outside::patch(&stage.sim, &format!("/apis/stargate.io/v1alpha1/sites/dc-{site}"), &l2).await;
    }
    let mut without = SYNC.to_owned();
    for (list, steps) in [("workers", 1), ("segment_machines", 2)] {
        let machines = format!("for_each: ${{{{ steps.inventory.outputs.{list} }}}}");
        assert_eq!(without.matches(&machines).count(), steps, "so many steps log in to the {list}");
        let nobody = format!("for_each: ${{{{ steps.inventory.outputs.{list}.filter(machine, false) }}}}");
        without = without.replace(&machines, &nobody);
    }
    std::fs::write(stage.path("sync-pod-routes.yaml"), without).unwrap();
    stage
}

fn datacenter(site: u16, around: &Surroundings) -> Map<String, Value> {
    let mut inputs = inputs::of("provision-dc", around);
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

/// A node of the scale set, by the places of its objects; the scenario has the first two. It is what the cluster says of a
/// node alone: with an instance and pods of its own each, the simulated Azure is what takes the time.
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

/// A worker that is registered and a node, by the places of its objects in the world; `known` tells whether Cilium knows its pods.
fn worker(site: u16, number: u16, known: bool) -> [(&'static str, Value); 3] {
    let name = format!("dc-{site}-worker-{number}");
    let ip = format!("10.{}.1.{}", 50 + site, 10 + number);
    let block = 64 * number;
    let pod_cidr = format!("10.248.{}.{}/26", 64 * site + block / 256, block % 256);
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    let ssh = json!({ "address": ip, "user": "ubuntu", "hostKey": key });
    let spec = json!({ "site": format!("dc-{site}"), "role": "worker", "ip": ip, "podCIDR": pod_cidr, "ssh": ssh });
    let blocks = if known { vec![pod_cidr] } else { vec![] };
    let labels = json!({ "kubernetes.azure.com/managed": "false", "stargate.io/site": format!("dc-{site}") });
    let address = json!({ "type": "InternalIP", "address": ip });
    let of = |version: &str, kind: &str| json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name } });
    let (mut server, mut node) = (of("stargate.io/v1alpha1", "Server"), of("v1", "Node"));
    let mut agents = of("cilium.io/v2", "CiliumNode");
    server["spec"] = spec;
    node["metadata"]["labels"] = labels;
    node["status"] = json!({ "addresses": [address] });
    agents["spec"] = json!({ "ipam": { "podCIDRs": blocks } });
    [("servers.stargate.io", server), ("nodes", node), ("ciliumnodes.cilium.io", agents)]
}

/// Puts objects into the cluster as they are: its controllers would look at every node for each of them.
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
        let place = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        };
        kube["objects"][kind][&place] = object;
    }
    world.kube = serde_json::from_value(kube).unwrap();
}
