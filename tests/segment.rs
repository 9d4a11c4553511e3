//! Datacenter whose machines share one Ethernet segment: their kernels route, because no cloud
//! does.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "each test uses a part of the module")]
mod outside;
mod world;

use inputs::{DC_GROUP, DC_ROUTER, WorldFacts};
use serde_json::{Value, json};
use stargate_sim::{
    Sim, World,
    dataplane::{Plane, UnmanagedPod},
};
use world::Harness;

const SITE: &str = "/apis/stargate.io/v1alpha1/sites/dc";
const PODS: [(&str, &str, &str); 4] = [
    ("aks-1", "aks-nodepool1-41954725-vmss000000", "10.244.0.9"),
    ("aks-2", "aks-nodepool1-41954725-vmss000001", "10.244.1.9"),
    ("dc-1", "worker-1", "10.244.64.9"),
    ("dc-2", "worker-2", "10.244.65.9"),
];

#[tokio::test]
async fn machines_on_a_segment_get_kernel_routes_and_lose_those_of_a_removed_worker() {
    let mut harness = Harness::new(&[]).await;
    harness.run_to_success("provision-aks-router").await;
    harness.run_to_success("provision-dc").await;
    move_to_a_segment(&harness.sim).await;
    assert!(dead(&harness.sim) > 0, "no kernel has routes yet");

    harness.run_to_success("sync-pod-routes").await;
    assert_eq!(dead(&harness.sim), 0, "{}", harness.last_output());
    let before = harness.sim.shared().peek().traffic.mutating();
    harness.run_to_success("sync-pod-routes").await;
    assert_eq!(harness.sim.shared().peek().traffic.mutating(), before, "a second run writes nothing");
    assert_eq!(mentions(&harness.sim, "10.244.65.0/24"), [DC_ROUTER, "worker-1"]);

    remove(&mut harness, "worker-2").await;
    assert_eq!(mentions(&harness.sim, "10.244.65.0/24"), [""; 0], "neither in the kernel nor in a file");
    assert_eq!(mentions(&harness.sim, "10.244.64.0/24"), [DC_ROUTER], "the removed machine has no routes");
    assert_eq!(dead(&harness.sim), 0);

    remove(&mut harness, "worker-1").await;
    assert_eq!(mentions(&harness.sim, "10.244.64.0/24"), [""; 0], "the router has no route to the last worker");
}

async fn remove(harness: &mut Harness, worker: &str) {
    let mut inputs = inputs::of("remove-worker", &WorldFacts::of(&harness.sim).await);
    inputs.insert("worker".into(), worker.into());
    let code = harness.run_with_inputs(&["run", "workflow"], "remove-worker", &inputs).await;
    assert_eq!(code, Some(0), "{worker}: {}", harness.last_output());
    harness.sim.shared().lock().pods.retain(|pod| pod.node != worker);
}

/// Removes the Azure network between the machines, and records the change in the cluster.
async fn move_to_a_segment(sim: &Sim) {
    outside::patch(sim, SITE, &json!({ "spec": { "fabric": "l2", "azure": null } })).await;
    let mut world = sim.shared().lock();
    let speed = world.arm.speed; // not part of the state
    let mut arm = serde_json::to_value(&world.arm).unwrap();
    let group = format!("/resourcegroups/{DC_GROUP}/providers/microsoft.network/");
    for places in ["/resources", "/announced/nics"] {
        let places = arm.pointer_mut(places).unwrap().as_object_mut().unwrap();
        places.retain(|id, _| !id.to_lowercase().contains(&group));
    }
    world.arm = serde_json::from_value(arm).unwrap();
    world.arm.speed = speed;
    let pod = |(name, node, ip): (&str, &str, &str)| UnmanagedPod {
        name: name.into(),
        node: node.into(),
        ip: ip.parse().unwrap(),
    };
    world.pods = PODS.into_iter().map(pod).collect();
}

/// Counts the pairs of pods without a connection.
fn dead(sim: &Sim) -> usize {
    let plane = Plane::of(&sim.shared().peek());
    plane.matrix(plane.pods()).dead
}

/// Returns the machines whose kernel or files contain a prefix.
fn mentions(sim: &Sim, prefix: &str) -> Vec<String> {
    let world: &World = &sim.shared().peek();
    let whole = serde_json::to_value(&world.hosts.machines).unwrap();
    let machines = whole.as_object().unwrap().iter();
    let routes = |machine: &Value| machine["kernel_routes"].to_string().contains(&format!("\"{prefix}\""));
    let kept = |machine: &Value| {
        let files = machine["files"]["nodes"].as_object().unwrap().iter();
        files.filter(|(path, _)| path.contains("stargate")).any(|(_, file)| file.to_string().contains(prefix))
    };
    machines.filter(|(_, machine)| routes(machine) || kept(machine)).map(|(name, _)| name.clone()).collect()
}
