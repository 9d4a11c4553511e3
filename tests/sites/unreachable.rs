//! A machine or a site that does not respond fails its own steps only.

use serde_json::json;

use crate::{
    deployment::{
        AKS_NODES, Datacenter, EAST, NORTH, add_aks_node, dead, failures, group, only_dead, output, prefixes, run,
        sync, two_datacenters,
    },
    inputs::{CLUSTER, NODE_GROUP},
    outside,
    world::Harness,
};

const NODE_TABLE: &str = "stargate-workers-rt";

/// Asserts that steps of this site and no other ones failed.
#[track_caller]
fn only_failed(harness: &Harness, names: &[&str]) {
    let failures = failures(harness);
    assert!(!failures.is_empty(), "{}", output(harness));
    for (step, error) in &failures {
        assert!(names.iter().any(|name| step.ends_with(&format!("[{name}]"))), "{step}: {error}");
    }
}

async fn refuse_ssh(harness: &Harness, site: &Datacenter) {
    let rule = format!("networkSecurityGroups/{}-nsg/securityRules/stargate-ssh", site.router());
    let path = outside::network(&harness.sim, &site.group(), &rule);
    outside::change_azure(&harness.sim, "DELETE", &path, json!(null)).await;
}

#[tokio::test]
async fn a_router_without_ssh_does_not_keep_a_new_node_from_the_other_site() {
    let mut harness = two_datacenters().await;
    refuse_ssh(&harness, &NORTH).await;
    add_aks_node(&harness.sim).await;
    outside::withdraw_approval(&harness.sim, &EAST.router());
    outside::delete_route(&harness.sim, NODE_GROUP, NODE_TABLE).await;
    outside::stop_forwarding(&harness.sim, "east-w1");
    let (code, _) = sync(&mut harness, &[]).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    only_failed(&harness, &["dc-north-gw", "north-w1"]);
    only_dead(&harness.sim, &[]).await;
    let north = group(&harness, "site dc-north");
    assert!(north["failed"].as_array().unwrap().contains(&json!("router_kernel[dc-north-gw]")), "{north}");
    let east = group(&harness, "site dc-east");
    for step in ["worker_kernel[east-w1]", "approved[dc-east-gw]"] {
        assert!(east["changed"].as_array().unwrap().contains(&json!(step)), "{step}: {east}");
    }
    assert_eq!((&east["failed"], &east["not_run"]), (&json!([]), &json!([])), "{east}");
}

#[tokio::test]
async fn a_site_whose_resource_group_was_deleted_does_not_keep_the_other_one_from_its_route() {
    let mut harness = two_datacenters().await;
    let group = format!(
        "/subscriptions/{}/resourceGroups/{}?api-version=2024-07-01",
        harness.sim.subscription(),
        NORTH.group()
    );
    outside::change_azure(&harness.sim, "DELETE", &group, json!(null)).await;
    outside::wait_until_deleted(&harness.sim, &group).await;
    only_dead(&harness.sim, &["north-w1"]).await;
    let deleted = outside::delete_route(&harness.sim, NODE_GROUP, NODE_TABLE).await;
    let (code, _) = sync(&mut harness, &[]).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    only_failed(&harness, &["dc-north", "dc-north-gw", "north-w1"]);
    only_dead(&harness.sim, &["north-w1"]).await;
    assert!(prefixes(&harness.sim, NODE_GROUP, NODE_TABLE).await.contains(&deleted));
}

#[tokio::test]
async fn a_worker_whose_machine_is_gone_does_not_keep_the_others_from_their_routes() {
    let mut harness = two_datacenters().await;
    let machine = outside::network(&harness.sim, &EAST.group(), "virtualMachines/east-w2");
    let machine = machine.replace("Microsoft.Network", "Microsoft.Compute").replace("2024-01-01", "2024-07-01");
    outside::change_azure(&harness.sim, "DELETE", &machine, json!(null)).await;
    outside::wait_until_deleted(&harness.sim, &machine).await;
    outside::delete_route(&harness.sim, NODE_GROUP, NODE_TABLE).await;
    outside::turn_forwarding_off(&harness.sim, &EAST.group(), "east-w1-nic").await;
    let (code, said) = sync(&mut harness, &[]).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    only_failed(&harness, &["dc-east", "east-w2"]);
    assert!(said.contains("belongs to a machine \\\"east-w2\\\""), "{said}");
    only_dead(&harness.sim, &["east-w2"]).await;

    let inputs = json!({ "cluster": CLUSTER, "cluster_resource_group": CLUSTER, "worker": "east-w2" });
    let (code, _) = run(&mut harness, "remove-worker", inputs, &[("host_is_gone", "true")]).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
}

#[tokio::test]
async fn a_worker_leaves_while_one_of_another_site_does_not_respond() {
    let mut harness = two_datacenters().await;
    let dead_rule = json!({ "properties": { "priority": 900, "direction": "Inbound", "access": "Deny", "protocol": "Tcp",
        "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "10.72.3.11",
        "destinationPortRange": "22" } });
    let rule = format!("networkSecurityGroups/{}-nsg/securityRules/dead", NORTH.router());
    let path = outside::network(&harness.sim, &NORTH.group(), &rule);
    outside::change_azure(&harness.sim, "PUT", &path, dead_rule).await;

    let inputs = json!({ "cluster": CLUSTER, "cluster_resource_group": CLUSTER, "worker": "east-w1" });
    let (code, _) = run(&mut harness, "remove-worker", inputs, &[("force", "true")]).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    only_failed(&harness, &["north-w1"]);
    let routes = prefixes(&harness.sim, &EAST.group(), "dc-east-gw-rt").await;
    assert!(!routes.contains(&"10.244.64.0/24".to_owned()), "{routes:?}");
    let servers = outside::list(&harness.sim, "/apis/stargate.io/v1alpha1/servers").await;
    assert!(servers.iter().all(|server| server["metadata"]["name"] != "east-w1"));
    let registry = outside::list(&harness.sim, "/api/v1/namespaces/kube-system/configmaps").await;
    let registry = registry.iter().find(|map| map["metadata"]["name"] == "stargate-pod-cidrs").unwrap();
    let east = registry["data"]["dc-east"].as_str().unwrap();
    assert!(east.contains("\"released\":{\"east-w1\""), "its pod CIDR is released: {east}");
    harness.sim.shared().lock().pods.retain(|pod| pod.node != "east-w1");
    assert_eq!(dead(&harness.sim), [""; 0], "{AKS_NODES:?}");
}
