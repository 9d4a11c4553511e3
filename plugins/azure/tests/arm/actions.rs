use std::collections::BTreeSet;

use serde_json::{Value, json};
use stargate_sdk::{FailureKind, Permission};

use crate::fake::{FakeArm, FakeResponse, OperationStyle, TestAttempt, group_id, id};

/// Names that plans and journals refer to, with the operations of ARM that the action requires.
const ACTIONS: [(&str, &[&str]); 19] = [
    ("azure.forwarding.sync", INTERFACE_WRITES),
    ("azure.managed_cluster.read", &["Microsoft.ContainerService/managedClusters/read"]),
    (
        "azure.nat_gateway.ensure",
        &[
            "Microsoft.Network/locations/operations/read",
            "Microsoft.Network/natGateways/read",
            "Microsoft.Network/natGateways/write",
            "Microsoft.Network/publicIPAddresses/join/action",
        ],
    ),
    ("azure.network_interface.ensure", INTERFACE_WRITES),
    (
        "azure.network_security_group.ensure",
        &[
            "Microsoft.Network/locations/operations/read",
            "Microsoft.Network/networkSecurityGroups/read",
            "Microsoft.Network/networkSecurityGroups/write",
        ],
    ),
    (
        "azure.public_ip.ensure",
        &[
            "Microsoft.Network/locations/operations/read",
            "Microsoft.Network/publicIPAddresses/read",
            "Microsoft.Network/publicIPAddresses/write",
        ],
    ),
    (
        "azure.resource_group.ensure",
        &[
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/subscriptions/resourceGroups/write",
        ],
    ),
    (
        "azure.resources.check",
        &[
            "Microsoft.Compute/virtualMachines/read",
            "Microsoft.Network/natGateways/read",
            "Microsoft.Network/networkInterfaces/read",
            "Microsoft.Network/networkSecurityGroups/read",
            "Microsoft.Network/publicIPAddresses/read",
            "Microsoft.Network/routeTables/read",
            "Microsoft.Network/virtualNetworks/read",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/subscriptions/resourceGroups/resources/read",
        ],
    ),
    (
        "azure.route.ensure",
        &[
            "Microsoft.Network/locations/operations/read",
            "Microsoft.Network/routeTables/read",
            "Microsoft.Network/routeTables/routes/read",
            "Microsoft.Network/routeTables/routes/write",
        ],
    ),
    (
        "azure.route_table.ensure",
        &[
            "Microsoft.Network/locations/operations/read",
            "Microsoft.Network/routeTables/read",
            "Microsoft.Network/routeTables/write",
        ],
    ),
    (
        "azure.routes.sync",
        &[
            "Microsoft.Network/locations/operations/read",
            "Microsoft.Network/routeTables/read",
            "Microsoft.Network/routeTables/routes/delete",
            "Microsoft.Network/routeTables/routes/read",
            "Microsoft.Network/routeTables/routes/write",
            "Microsoft.Network/routeTables/write",
        ],
    ),
    (
        "azure.subnet.associate",
        &[
            "Microsoft.Network/locations/operations/read",
            "Microsoft.Network/natGateways/join/action",
            "Microsoft.Network/networkSecurityGroups/join/action",
            "Microsoft.Network/routeTables/join/action",
            "Microsoft.Network/virtualNetworks/subnets/read",
            "Microsoft.Network/virtualNetworks/subnets/write",
        ],
    ),
    (
        "azure.subnet.ensure",
        &[
            "Microsoft.Network/locations/operations/read",
            "Microsoft.Network/natGateways/join/action",
            "Microsoft.Network/networkSecurityGroups/join/action",
            "Microsoft.Network/routeTables/join/action",
            "Microsoft.Network/virtualNetworks/read",
            "Microsoft.Network/virtualNetworks/subnets/read",
            "Microsoft.Network/virtualNetworks/subnets/write",
        ],
    ),
    (
        "azure.virtual_machine.delete",
        &[
            "Microsoft.Compute/locations/operations/read",
            "Microsoft.Compute/virtualMachines/delete",
            "Microsoft.Compute/virtualMachines/read",
            "Microsoft.Network/locations/operations/read",
            "Microsoft.Network/networkInterfaces/delete",
            "Microsoft.Network/networkInterfaces/read",
        ],
    ),
    (
        "azure.virtual_machine.ensure",
        &[
            "Microsoft.Compute/disks/write",
            "Microsoft.Compute/locations/operations/read",
            "Microsoft.Compute/virtualMachines/read",
            "Microsoft.Compute/virtualMachines/write",
            "Microsoft.Network/networkInterfaces/join/action",
        ],
    ),
    (
        "azure.security_rules.ensure",
        &[
            "Microsoft.Network/locations/operations/read",
            "Microsoft.Network/networkSecurityGroups/read",
            "Microsoft.Network/networkSecurityGroups/write",
        ],
    ),
    (
        "azure.subnet.inspect",
        &[
            "Microsoft.Compute/virtualMachineScaleSets/networkInterfaces/read",
            "Microsoft.Compute/virtualMachineScaleSets/read",
            "Microsoft.Network/networkInterfaces/read",
            "Microsoft.Network/networkSecurityGroups/read",
            "Microsoft.Network/routeTables/read",
            "Microsoft.Network/virtualNetworks/read",
        ],
    ),
    (
        "azure.virtual_network.discover",
        &[
            "Microsoft.Compute/virtualMachineScaleSets/networkInterfaces/read",
            "Microsoft.Compute/virtualMachineScaleSets/read",
            "Microsoft.Network/routeTables/read",
            "Microsoft.Network/virtualNetworks/read",
        ],
    ),
    (
        "azure.virtual_network.ensure",
        &[
            "Microsoft.Network/locations/operations/read",
            "Microsoft.Network/virtualNetworks/read",
            "Microsoft.Network/virtualNetworks/write",
        ],
    ),
];

const INTERFACE_WRITES: &[&str] = &[
    "Microsoft.Network/locations/operations/read",
    "Microsoft.Network/networkInterfaces/read",
    "Microsoft.Network/networkInterfaces/write",
    "Microsoft.Network/publicIPAddresses/join/action",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
];

#[tokio::test]
async fn each_file_of_actions_has_one_registered_action() {
    let arm = FakeArm::start().await;
    let step = TestAttempt::first(&arm);
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/actions")).expect("a folder").count();
    assert_eq!(step.registry().iter().count(), files);
    assert!(step.registry().iter().all(|action| action.name().starts_with("azure.")));
}

#[tokio::test]
async fn each_action_keeps_its_name_and_its_required_permissions() {
    let arm = FakeArm::start().await;
    let step = TestAttempt::first(&arm);
    for (name, expected) in ACTIONS {
        let action = step.registry().find(name).expect(name);
        let permissions = action.permissions(&json!({}));
        assert!(permissions.iter().all(|permission| permission.authority() == "azure"), "{name}");
        let operations: BTreeSet<&str> = permissions.iter().map(Permission::operation).collect();
        assert_eq!(operations, expected.iter().copied().collect(), "{name}");
    }
}

#[tokio::test]
async fn every_action_has_a_closed_described_input_and_a_typed_output() {
    let arm = FakeArm::start().await;
    let step = TestAttempt::first(&arm);
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
    let arm = FakeArm::start().await;
    let input = json!({"name": "g", "location": "West Europe", "tags": {"owner": "stargate"}});
    let step = TestAttempt::first(&arm);
    let output = step.run("azure.resource_group.ensure", input.clone()).await.expect("created");
    assert_eq!(output["id"], group_id());
    arm.set(&group_id(), json!({"location": "westeurope", "tags": {"a": "b", "owner": "x"}, "properties": {"provisioningState": "Succeeded"}}));
    step.run("azure.resource_group.ensure", input.clone()).await.expect("updated");
    assert_eq!(arm.resource(&group_id())["tags"], json!({"a": "b", "owner": "stargate"}));
    step.run("azure.resource_group.ensure", input).await.expect("unchanged");
    assert_eq!(arm.puts().len(), 2);
    assert!(arm.seen().iter().all(|seen| seen.query == "api-version=2024-07-01"));
}

#[tokio::test]
async fn a_resource_group_in_another_region_is_refused() {
    let arm = FakeArm::start().await;
    arm.set(&group_id(), json!({"location": "eastus", "properties": {"provisioningState": "Succeeded"}}));
    let input = json!({"name": "g", "location": "westeurope"});
    let error =
        TestAttempt::first(&arm).run("azure.resource_group.ensure", input).await.expect_err("another region or subnet");
    assert_eq!(error.message, "resource group \"g\": it is in eastus, not in westeurope, and cannot be moved");
}

#[tokio::test]
async fn a_public_address_is_standard_and_static() {
    let arm = FakeArm::start().await;
    arm.style(OperationStyle::Status);
    let input = json!({"resource_group": "g", "name": "p", "location": "westeurope"});
    let output = TestAttempt::first(&arm).run("azure.public_ip.ensure", input).await.expect("created");
    assert_eq!(output, json!({"id": id("Network/publicIPAddresses/p"), "name": "p", "ip_address": "203.0.113.7"}));
    let body = &arm.puts()[0].body;
    assert_eq!(
        (&body["sku"]["name"], &body["properties"]["publicIPAllocationMethod"]),
        (&json!("Standard"), &json!("Static"))
    );
}

#[tokio::test]
async fn a_public_address_of_another_sku_is_refused() {
    let arm = FakeArm::start().await;
    let body =
        json!({"location": "westeurope", "sku": {"name": "Basic"}, "properties": {"provisioningState": "Succeeded"}});
    arm.set(&id("Network/publicIPAddresses/p"), body);
    let input = json!({"resource_group": "g", "name": "p", "location": "westeurope"});
    let error = TestAttempt::first(&arm).run("azure.public_ip.ensure", input).await.expect_err("basic");
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
    let arm = FakeArm::start().await;
    arm.hook(|seen| seen.is("GET", "/aks").then(|| FakeResponse::new(200, cluster())));
    let input = json!({"resource_group": "g", "name": "aks"});
    let output = TestAttempt::first(&arm).run("azure.managed_cluster.read", input).await.expect("read");
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
async fn a_missing_cluster_is_permanent() {
    let arm = FakeArm::start().await;
    let input = json!({"resource_group": "g", "name": "aks"});
    let error = TestAttempt::first(&arm).run("azure.managed_cluster.read", input).await.expect_err("missing");
    assert_eq!(
        (error.kind, error.message.as_str()),
        (FailureKind::Permanent, "cluster \"aks\": not found in resource group \"g\"")
    );
}
