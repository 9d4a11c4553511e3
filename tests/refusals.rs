//! What must not be is refused before anything is made.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "world/inputs.rs"]
#[expect(dead_code, reason = "the tests use a part of it each")]
mod inputs;
mod world;

use inputs::Surroundings;
use serde_json::{Value, json};
use stargate_sim::Surface;
use world::Stage;

/// Requests so far that changed something in Azure.
fn azure_writes(stage: &Stage) -> usize {
    let world = stage.sim.shared().peek();
    world.traffic.log.iter().filter(|request| request.mutating && request.surface == Surface::Arm).count()
}

/// Runs provision-dc with other inputs than the good ones; it is to fail, and to say all of this.
async fn refused(stage: &mut Stage, other: &Value, said: &[&str]) {
    let mut inputs = inputs::of("provision-dc", &Surroundings::of(&stage.sim).await);
    inputs.extend(other.as_object().unwrap().clone());
    let before = azure_writes(stage);
    let code = stage.with_inputs(&["run", "workflow"], "provision-dc", &inputs).await;
    assert_eq!(code, Some(3), "{other}: {}", stage.last_words());
    let words = stage.last_words();
    for word in said {
        assert!(words.contains(word), "{word:?} is said of {other}: {words}");
    }
    assert_eq!(azure_writes(stage), before, "{other}: nothing was made in Azure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_addresses_collide_is_refused_before_anything_is_made() {
    let mut stage = Stage::new(&[]).await;
    stage.log = "warn";
    stage.done("provision-aks-router").await;
    let overlapping = json!({ "network_prefix": "10.237.0.0/16", "subnet_prefix": "10.237.0.0/24", "router_ip": "10.237.0.4", "workers": [] });
    refused(&mut stage, &overlapping, &["10.237.0.0/24", "dc"]).await;
    let twice = json!({ "workers": [
        { "name": "worker-1", "private_ip": "10.50.1.5" }, { "name": "worker-2", "private_ip": "10.50.1.5" }] });
    refused(&mut stage, &twice, &["worker worker-1 and worker worker-2 have one address, 10.50.1.5"]).await;
    let elsewhere = json!({ "workers": [{ "name": "worker-1", "private_ip": "10.99.1.5" }] });
    refused(&mut stage, &elsewhere, &["10.99.1.5"]).await;
    let services = json!({ "pod_block": "10.0.0.0/18" });
    refused(&mut stage, &services, &["10.0.0.0/16"]).await;
    stage.done("provision-dc").await;
}
