use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::aks::instance::{FreeAddresses, NewInstance, new_instance};
use crate::arm::behaviour::{Consequences, NewGroup, NewResource};
use crate::arm::json::{Object, field, object};
use crate::arm::store::{Arm, ArmResourceType, StoredResource};

/// Numbers in the names of resources that AKS creates.
#[derive(Debug, Clone)]
pub(crate) struct ClusterNames {
    /// Digits in the names of the network and its security group.
    pub(crate) network: String,
    /// Digits in the names of scale sets.
    pub(crate) pools: String,
}

/// Returns the consequences of a cluster's creation: its node group. A change of a cluster has
/// none.
pub(crate) fn finish_cluster(arm: &Arm, cluster: &StoredResource, created: bool) -> Consequences {
    if !created {
        return Consequences::default();
    }
    let number = |guid: &str| {
        guid.bytes().filter(u8::is_ascii_hexdigit).take(8).map(|byte| char::from(b'0' + byte % 10)).collect::<String>()
    };
    let names = ClusterNames { network: number(&cluster.guid), pools: number(&cluster.etag) };
    node_group(arm, cluster, &names, cluster.created)
}

/// Returns the node group of a cluster as AKS creates it: a network with one subnet, and a scale
/// set for each pool.
pub(crate) fn node_group(
    arm: &Arm,
    cluster: &StoredResource,
    names: &ClusterNames,
    created: Timestamp,
) -> Consequences {
    let location = cluster.location();
    let group = field(&cluster.properties, "nodeResourceGroup").unwrap_or_default();
    let base = format!("/subscriptions/{}/resourceGroups/{group}/providers", arm.subscription);
    let security = format!("{base}/Microsoft.Network/networkSecurityGroups/aks-agentpool-{}-nsg", names.network);
    let network = format!("{base}/Microsoft.Network/virtualNetworks/aks-vnet-{}", names.network);
    let subnet = format!("{network}/subnets/aks-subnet");
    let space = json!({ "addressSpace": { "addressPrefixes": ["10.224.0.0/12"] }, "privateEndpointVNetPolicies": "Disabled", "enableDdosProtection": false });
    let inner = json!({
        "addressPrefix": "10.224.0.0/16",
        "networkSecurityGroup": { "id": security },
        "delegations": [],
        "privateEndpointNetworkPolicies": "Disabled",
        "privateLinkServiceNetworkPolicies": "Enabled",
    });
    let mut new = vec![
        NewResource::new(&security, ArmResourceType::SecurityGroup, location, Object::new(), created),
        NewResource::new(&network, ArmResourceType::VirtualNetwork, location, object(space), created),
        NewResource::new(&subnet, ArmResourceType::Subnet, "", object(inner), created),
    ];
    let mut addresses = FreeAddresses::of(arm, &subnet);
    for pool in arm.below(&cluster.id, ArmResourceType::AgentPool) {
        let name = format!("aks-{}-{}-vmss", pool.name, names.pools);
        let set = format!("{base}/Microsoft.Compute/virtualMachineScaleSets/{name}");
        new.extend(pool_resources(
            pool,
            &Scale { set: &set, name: &name, subnet: &subnet, location },
            &mut addresses,
            created,
        ));
    }
    let group =
        NewGroup { name: group.to_owned(), location: location.to_owned(), managed_by: Some(cluster.id.clone()) };
    Consequences { new_groups: vec![group], new, ..Consequences::default() }
}

/// Names of a pool's scale set.
struct Scale<'a> {
    /// Id of the scale set.
    set: &'a str,
    name: &'a str,
    /// Id of its subnet.
    subnet: &'a str,
    location: &'a str,
}

/// Returns a pool's scale set with its instances.
fn pool_resources(
    pool: &StoredResource,
    scale: &Scale<'_>,
    addresses: &mut FreeAddresses,
    created: Timestamp,
) -> Vec<NewResource> {
    let Scale { set, name, subnet, location } = *scale;
    let size = field(&pool.properties, "vmSize").unwrap_or_default();
    let count = pool.properties.get("count").and_then(Value::as_u64).unwrap_or_default();
    let profile = json!({
        "singlePlacementGroup": false,
        "orchestrationMode": "Uniform",
        "upgradePolicy": { "mode": "Manual" },
        "overprovision": false,
        "virtualMachineProfile": {
            "osProfile": { "computerNamePrefix": name, "adminUsername": "azureuser" },
            "networkProfile": { "networkInterfaceConfigurations": [{
                "name": name,
                "properties": { "primary": true, "enableIPForwarding": true, "ipConfigurations": [{ "name": "ipconfig1", "properties": { "subnet": { "id": subnet } } }] },
            }] },
        },
    });
    let mut scale_set = NewResource::new(set, ArmResourceType::ScaleSet, location, object(profile), created);
    scale_set.top.insert("sku".to_owned(), json!({ "name": size, "tier": "Standard", "capacity": count }));
    scale_set.top.insert("tags".to_owned(), json!({ "aks-managed-poolName": pool.name }));
    let instances = (0..count).filter_map(|index| {
        let instance = NewInstance { set, name, index, subnet, size, location };
        addresses.take().map(|address| new_instance(&instance, &instance.computer_name(), address, created))
    });
    std::iter::once(scale_set).chain(instances.flatten()).collect()
}

/// Returns the consequences of a cluster's deletion: its node group goes.
pub(crate) fn after_delete(_: &Arm, cluster: &StoredResource) -> Consequences {
    let group = field(&cluster.properties, "nodeResourceGroup").map(str::to_owned);
    Consequences { gone_groups: group.into_iter().collect(), ..Consequences::default() }
}
