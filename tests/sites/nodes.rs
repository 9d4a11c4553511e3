//! Nodes of AKS that are not complete, or conflict with the deployment.

use std::time::Duration;

use serde_json::json;
use stargate_sim::Sim;

use crate::{
    deployment::{SYNC, add_aks_node, dead, failures, only_dead, output, prefixes, sync, two_datacenters},
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

/// A node pool can be in another subnet, and AKS can reach the pod CIDR of a site.
#[tokio::test]
async fn nodes_that_conflict_with_the_deployment_are_named_and_all_else_is_done() {
    let mut harness = two_datacenters().await;
    let (elsewhere, in_site) = ("aks-pool2-41954725-vmss000000", NODE);
    let nodes = json!([
        { "name": elsewhere, "address": "10.225.0.4", "pod_cidr": "10.244.16.0/24" },
        { "name": in_site, "address": "10.224.0.17", "pod_cidr": "10.244.70.0/24" },
    ]);
    outside::add_aks_nodes(&harness.sim, &nodes).await;
    outside::leave_stale_route(&harness.sim, "10.99.0.0/16").await;
    add_aks_node(&harness.sim).await;
    outside::withdraw_approval(&harness.sim, "dc-east-gw");

    let code = harness.run_shipped(&["plan"], SYNC).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    let (code, _) = sync(&mut harness, &[]).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    let failures = failures(&harness);
    assert_eq!(failures.len(), 1, "{failures:?}");
    let (step, words) = &failures[0];
    assert_eq!(step, "routed");
    for expected in [
        format!("node {elsewhere}: address 10.225.0.4 of AKS node {elsewhere} is outside the AKS node subnet"),
        format!("node {in_site}: pod CIDR of AKS node {in_site}, 10.244.70.0/24, is inside pod CIDR of site dc-east"),
    ] {
        assert!(words.contains(&expected), "{expected:?} is missing: {words}");
    }
    // The agents of the two nodes have addresses that no route leads to.
    only_dead_agents(&harness.sim).await;
    let stale = "10.99.0.0/16".to_owned();
    assert!(prefixes(&harness.sim, NODE_GROUP, "stargate-workers-rt").await.contains(&stale), "nothing is pruned");
}

/// Waits until no pair of pods is dead, but for those with an agent of a node.
async fn only_dead_agents(sim: &Sim) {
    let is_agent = |pair: &String| pair.contains("kube-system/");
    let reached = async {
        while !dead(sim).iter().all(is_agent) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), reached).await.is_ok(), "dead: {:?}", dead(sim));
}
