//! `stargate plan` tells the truth: what a run would change, and nothing when nothing would; and it changes nothing itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod world;

use serde_json::{Value, json};
use world::Stage;

const NIC: &str = "/subscriptions/44654aed-2753-4b88-9142-af7132933b6b/resourceGroups/\
    MC_stargate-aks-e2e-7_stargate-aks-e2e-7_canadacentral/providers/Microsoft.Network/networkInterfaces/\
    stargate-aks-e2e-7-router-nic?api-version=2024-01-01";

fn last_said(stage: &Stage) -> String {
    let mut standard_outputs = stage.said.iter().filter(|(name, _)| name.starts_with("standard output"));
    String::from_utf8(standard_outputs.next_back().unwrap().1.clone()).unwrap()
}

fn writes(stage: &Stage) -> u64 {
    stage.sim.shared().lock().traffic.mutating()
}

/// A third party turns the NIC's IP forwarding off.
async fn turn_forwarding_off(stage: &Stage) {
    let client = reqwest::Client::new();
    let url = format!("{}{NIC}", stage.sim.http_url());
    let mut nic: Value = client.get(url).bearer_auth(stage.sim.token()).send().await.unwrap().json().await.unwrap();
    nic["properties"]["enableIPForwarding"] = false.into();
    let drift = json!({ "method": "PUT", "path": NIC, "body": nic });
    let url = format!("{}/_world/drift", stage.sim.http_url());
    client.post(url).json(&drift).send().await.unwrap().error_for_status().unwrap();
}

#[tokio::test]
async fn plan_says_what_a_run_would_change_before_it_after_it_and_after_drift() {
    let mut stage = Stage::new(&[]).await;
    assert_eq!(stage.router(&["plan"]).await, Some(2), "{}", last_said(&stage));
    assert!(last_said(&stage).contains("10.237.0.0/24"), "the subnet that is missing: {}", last_said(&stage));
    assert_eq!(writes(&stage), 0);

    assert_eq!(stage.router(&["run", "workflow"]).await, Some(0));
    let before = writes(&stage);
    assert_eq!(stage.router(&["plan"]).await, Some(0), "{}", last_said(&stage));

    turn_forwarding_off(&stage).await;
    assert_eq!(stage.router(&["plan"]).await, Some(2), "{}", last_said(&stage));
    assert!(last_said(&stage).contains("forwarding"), "{}", last_said(&stage));
    assert_eq!(writes(&stage), before, "looking changes nothing");

    assert_eq!(stage.router(&["run", "workflow"]).await, Some(0));
    assert_eq!(writes(&stage), before + 1, "and the run changes what plan said, and only that");
    assert_eq!(stage.router(&["plan"]).await, Some(0), "{}", last_said(&stage));
}
