//! A datacenter whose machines share one Ethernet segment: no cloud routes for them, so their kernels have to.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "the tests use a part of it each")]
mod outside;
mod world;

use inputs::{DC_GROUP, DC_ROUTER, Surroundings};
use serde_json::{Value, json};
use stargate_sim::{
    Sim, World,
    dataplane::{Plane, Pod},
};
use world::Stage;

const SITE: &str = "/apis/stargate.io/v1alpha1/sites/dc";
const PODS: [(&str, &str, &str); 4] = [
    ("aks-1", "aks-nodepool1-41954725-vmss000000", "10.244.0.9"),
    ("aks-2", "aks-nodepool1-41954725-vmss000001", "10.244.1.9"),
    ("dc-1", "worker-1", "10.244.64.9"),
    ("dc-2", "worker-2", "10.244.65.9"),
];

#[tokio::test]
async fn kernels_on_a_segment_get_their_routes_and_lose_those_of_a_worker_that_is_gone() {
    let mut stage = Stage::new(&[]).await;
    stage.done("provision-aks-router").await;
    stage.done("provision-dc").await;
    move_to_a_segment(&stage.sim).await;
    assert!(dead(&stage.sim) > 0, "nothing has told the kernels yet");

    stage.done("sync-pod-routes").await;
    assert_eq!(dead(&stage.sim), 0, "{}", stage.last_words());
    let before = stage.sim.shared().peek().traffic.mutating();
    stage.done("sync-pod-routes").await;
    assert_eq!(stage.sim.shared().peek().traffic.mutating(), before, "a second run writes nothing");
    assert_eq!(mentions(&stage.sim, "10.244.65.0/24"), [DC_ROUTER, "worker-1"]);

    remove(&mut stage, "worker-2").await;
    assert_eq!(mentions(&stage.sim, "10.244.65.0/24"), [""; 0], "neither in force nor at boot");
    assert_eq!(mentions(&stage.sim, "10.244.64.0/24"), [DC_ROUTER], "the machine that has left routes nothing");
    assert_eq!(dead(&stage.sim), 0);

    remove(&mut stage, "worker-1").await;
    assert_eq!(mentions(&stage.sim, "10.244.64.0/24"), [""; 0], "the router keeps no route to the last one either");
}

async fn remove(stage: &mut Stage, worker: &str) {
    let mut inputs = inputs::of("remove-worker", &Surroundings::of(&stage.sim).await);
    inputs.insert("worker".into(), worker.into());
    let code = stage.with_inputs(&["run", "workflow"], "remove-worker", &inputs).await;
    assert_eq!(code, Some(0), "{worker}: {}", stage.last_words());
    stage.sim.shared().lock().pods.retain(|pod| pod.node != worker);
}

/// The machines stay as they are, and the network between them is none of Azure's any more; the cluster is told so.
async fn move_to_a_segment(sim: &Sim) {
    outside::patch(sim, SITE, &json!({ "spec": { "fabric": "l2", "azure": null } })).await;
    let mut world = sim.shared().lock();
    let mut arm = serde_json::to_value(&world.arm).unwrap();
    let group = format!("/resourcegroups/{DC_GROUP}/providers/microsoft.network/");
    for places in ["/resources", "/announced/nics"] {
        let places = arm.pointer_mut(places).unwrap().as_object_mut().unwrap();
        places.retain(|id, _| !id.to_lowercase().contains(&group));
    }
    world.arm = serde_json::from_value(arm).unwrap();
    let pod =
        |(name, node, ip): (&str, &str, &str)| Pod { name: name.into(), node: node.into(), ip: ip.parse().unwrap() };
    world.pods = PODS.into_iter().map(pod).collect();
}

/// Pairs of pods that do not reach each other.
fn dead(sim: &Sim) -> usize {
    let plane = Plane::of(&sim.shared().peek());
    plane.matrix(plane.pods()).dead
}

/// The machines whose kernel or files have a prefix.
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
