//! A node that AKS is still creating.

use serde_json::json;

use crate::{
    deployment::{SYNC, add_aks_node, failures, only_dead, output, prefixes, sync, two_datacenters},
    inputs::NODE_GROUP,
    outside,
};

const NODE: &str = "aks-nodepool1-41954725-vmss000007";

#[tokio::test]
async fn a_node_without_an_address_is_named_and_all_else_is_done() {
    let mut harness = two_datacenters().await;
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": NODE }, "spec": {} });
    outside::create(&harness.sim, "/api/v1/nodes", &node).await;
    outside::leave_stale_route(&harness.sim, "10.99.0.0/16").await;
    add_aks_node(&harness.sim).await;
    outside::withdraw_approval(&harness.sim, "dc-east-gw");

    let code = harness.run_shipped(&["plan"], SYNC).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    let (code, _) = sync(&mut harness, &[]).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    let failures = failures(&harness);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].0, "routed");
    let expected = format!("node {NODE}: its Node has no InternalIP of IPv4");
    assert!(failures[0].1.contains(&expected), "{failures:?}");
    only_dead(&harness.sim, &[]).await;
    let stale = "10.99.0.0/16".to_owned();
    assert!(prefixes(&harness.sim, NODE_GROUP, "stargate-workers-rt").await.contains(&stale), "nothing is pruned");

    let site = crate::deployment::EAST.inputs(&harness.sim).await;
    let code = harness.run_with_inputs(&["run", "workflow"], "provision-dc", &site).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    assert!(output(&harness).contains(&expected));

    // AKS has completed the node.
    let address = json!({ "status": { "addresses": [{ "type": "InternalIP", "address": "10.224.0.17" }] } });
    outside::patch(&harness.sim, &format!("/api/v1/nodes/{NODE}/status"), &address).await;
    outside::patch(&harness.sim, &format!("/api/v1/nodes/{NODE}"), &json!({ "spec": { "podCIDR": "10.244.17.0/24" } }))
        .await;
    let (code, _) = sync(&mut harness, &[]).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    assert!(!prefixes(&harness.sim, NODE_GROUP, "stargate-workers-rt").await.contains(&stale), "pruned now");
    let pods = "10.244.17.0/24".to_owned();
    assert!(prefixes(&harness.sim, NODE_GROUP, "stargate-router-rt").await.contains(&pods));
}
