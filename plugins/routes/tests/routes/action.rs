use std::sync::Arc;

use serde_json::json;
use stargate_routes::register;
use stargate_sdk::{ActionContext, FailureKind, Recovery, Registry, Secrets};

use crate::facts::log;

async fn run(facts: serde_json::Value) -> Result<serde_json::Value, stargate_sdk::ActionError> {
    let mut registry = Registry::default();
    register(&mut registry);
    let action = registry.find("routes.desired.compute").unwrap();
    assert_eq!(action.recovery(), Recovery::Repeat);
    action.run(&ActionContext::detached("routes", Arc::new(Secrets::default())), facts).await
}

#[tokio::test]
async fn the_action_accepts_the_nodes_as_they_are_listed() {
    let mut facts = serde_json::to_value(log()).unwrap();
    facts["aks"]["nodes"][0]["ready"] = json!(true);
    let desired = run(facts).await.unwrap();
    assert_eq!(desired["router_routes"][0], json!({ "prefix": "10.244.0.0/24", "next_hop_ip": "10.224.0.4" }));
    assert_eq!(desired["advertise"]["dc"]["dc"][0], json!("10.50.1.0/24"));
}

#[tokio::test]
async fn a_conflict_is_permanent_and_has_a_hint() {
    let mut facts = serde_json::to_value(log()).unwrap();
    facts["sites"][0]["workers"][1]["internal_ip"] = json!("10.50.1.5");
    let error = run(facts).await.expect_err("refused");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert_eq!(error.message, "worker worker-1 and worker worker-2 have the same address, 10.50.1.5");
    assert_eq!(error.hint.unwrap(), "one of the two is stale or misconfigured: drop it from the list, or renumber it");
}
