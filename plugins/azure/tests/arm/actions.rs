use serde_json::{Value, json};
use stargate_sdk::FailureKind;

use crate::fake::{Answer, Arm, Attempt, Style, group_id, id};

#[tokio::test]
async fn every_action_has_a_closed_described_input_and_a_typed_output() {
    let arm = Arm::start().await;
    let step = Attempt::first(&arm);
    let names: Vec<_> = step.registry().iter().map(|action| action.name()).collect();
    assert_eq!(
        names,
        [
            "azure.forwarding.sync",
            "azure.managed_cluster.read",
            "azure.nat_gateway.ensure",
            "azure.network_interface.ensure",
            "azure.network_security_group.ensure",
            "azure.public_ip.ensure",
            "azure.resource_group.ensure",
            "azure.route.ensure",
            "azure.route_table.ensure",
            "azure.routes.sync",
            "azure.subnet.associate",
            "azure.subnet.ensure",
            "azure.virtual_machine.delete",
            "azure.virtual_machine.ensure",
            "azure.virtual_network.discover",
            "azure.virtual_network.ensure",
        ]
    );
    for action in step.registry().iter() {
        assert_eq!(action.input_schema()["additionalProperties"], false, "{}", action.name());
        for schema in [action.input_schema(), action.output_schema()] {
            let properties = schema["properties"].as_object().expect("an object");
            assert!(
                properties.values().all(|property| property["description"].is_string()),
                "{}: {schema}",
                action.name()
            );
        }
    }
}

#[tokio::test]
async fn a_resource_group_gets_its_tags_and_keeps_the_others() {
    let arm = Arm::start().await;
    let input = json!({"name": "g", "location": "West Europe", "tags": {"owner": "stargate"}});
    let step = Attempt::first(&arm);
    let output = step.run("azure.resource_group.ensure", input.clone()).await.expect("made");
    assert_eq!(output["id"], group_id());
    arm.set(&group_id(), json!({"location": "westeurope", "tags": {"a": "b", "owner": "x"}, "properties": {"provisioningState": "Succeeded"}}));
    step.run("azure.resource_group.ensure", input.clone()).await.expect("mended");
    assert_eq!(arm.resource(&group_id())["tags"], json!({"a": "b", "owner": "stargate"}));
    step.run("azure.resource_group.ensure", input).await.expect("in order");
    assert_eq!(arm.puts().len(), 2);
    assert!(arm.seen().iter().all(|seen| seen.query == "api-version=2024-07-01"));
}

#[tokio::test]
async fn a_resource_group_elsewhere_is_refused() {
    let arm = Arm::start().await;
    arm.set(&group_id(), json!({"location": "eastus", "properties": {"provisioningState": "Succeeded"}}));
    let input = json!({"name": "g", "location": "westeurope"});
    let error = Attempt::first(&arm).run("azure.resource_group.ensure", input).await.expect_err("elsewhere");
    assert_eq!(error.message, "resource group \"g\": it is in eastus, not in westeurope, and cannot be moved");
}

#[tokio::test]
async fn a_public_address_is_standard_and_static() {
    let arm = Arm::start().await;
    arm.style(Style::Status);
    let input = json!({"resource_group": "g", "name": "p", "location": "westeurope"});
    let output = Attempt::first(&arm).run("azure.public_ip.ensure", input).await.expect("made");
    assert_eq!(output, json!({"id": id("Network/publicIPAddresses/p"), "name": "p", "ip_address": "203.0.113.7"}));
    let body = &arm.puts()[0].body;
    assert_eq!(
        (&body["sku"]["name"], &body["properties"]["publicIPAllocationMethod"]),
        (&json!("Standard"), &json!("Static"))
    );
}

#[tokio::test]
async fn a_public_address_of_another_sku_is_refused() {
    let arm = Arm::start().await;
    let body =
        json!({"location": "westeurope", "sku": {"name": "Basic"}, "properties": {"provisioningState": "Succeeded"}});
    arm.set(&id("Network/publicIPAddresses/p"), body);
    let input = json!({"resource_group": "g", "name": "p", "location": "westeurope"});
    let error = Attempt::first(&arm).run("azure.public_ip.ensure", input).await.expect_err("basic");
    assert_eq!((error.kind, arm.puts().len()), (FailureKind::Permanent, 0));
}

fn cluster() -> Value {
    json!({"id": id("ContainerService/managedClusters/aks"), "name": "aks", "location": "westeurope", "properties": {
        "provisioningState": "Succeeded", "nodeResourceGroup": "MC_g_aks_westeurope", "kubernetesVersion": "1.33", "currentKubernetesVersion": "1.33.2",
        "networkProfile": {"networkPlugin": "azure", "networkPluginMode": "overlay", "networkDataplane": "cilium",
            "podCidrs": ["10.244.0.0/16"], "serviceCidr": "10.0.0.0/16", "dnsServiceIP": "10.0.0.10"}}})
}

#[tokio::test]
async fn a_private_clusters_network_is_read() {
    let arm = Arm::start().await;
    arm.hook(|seen| seen.is("GET", "/aks").then(|| Answer::new(200, cluster())));
    let input = json!({"resource_group": "g", "name": "aks"});
    let output = Attempt::first(&arm).run("azure.managed_cluster.read", input).await.expect("read");
    assert_eq!(
        output,
        json!({"id": id("ContainerService/managedClusters/aks"), "name": "aks", "location": "westeurope",
            "node_resource_group": "MC_g_aks_westeurope", "kubernetes_version": "1.33.2", "pod_cidr": "10.244.0.0/16",
            "service_cidr": "10.0.0.0/16", "dns_service_ip": "10.0.0.10", "network_plugin": "azure",
            "network_plugin_mode": "overlay", "network_dataplane": "cilium", "provisioning_state": "Succeeded"})
    );
    assert_eq!(arm.seen()[0].query, "api-version=2024-05-01");
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_permanent() {
    let arm = Arm::start().await;
    let input = json!({"resource_group": "g", "name": "aks"});
    let error = Attempt::first(&arm).run("azure.managed_cluster.read", input).await.expect_err("not there");
    assert_eq!(
        (error.kind, error.message.as_str()),
        (FailureKind::Permanent, "cluster \"aks\": not found in resource group \"g\"")
    );
}
