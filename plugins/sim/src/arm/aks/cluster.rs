use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::assemble::add_type_and_top;
use crate::arm::behaviour::{Consequences, Draft, DraftChild, NewGroup, NewResource, WriteTarget};
use crate::arm::error::ArmError;
use crate::arm::json::{Object, default, drop_keys, field, object, objects};
use crate::arm::store::{Arm, ArmResourceType, StoredResource, group_of, name_of, parent_id};

/// Kubernetes version of a cluster that requests none.
pub(crate) const DEFAULT_VERSION: &str = "1.33.5";

/// Adds the defaults of a pool, with the version of its cluster.
pub(crate) fn prepare_pool(arm: &Arm, target: &WriteTarget, mut properties: Object) -> Draft {
    let version = arm
        .find(parent_id(&target.id))
        .and_then(|cluster| field(&cluster.properties, "kubernetesVersion"))
        .unwrap_or(DEFAULT_VERSION);
    pool_defaults(&mut properties, version);
    Draft { properties, ..Draft::default() }
}

/// Checks a cluster, with the pools in its body, and adds the defaults.
pub(crate) fn prepare_cluster(
    arm: &mut Arm,
    target: &WriteTarget,
    mut top: Object,
    mut properties: Object,
) -> Result<Draft, ArmError> {
    let held = target.existing.as_ref().map(|cluster| cluster.properties.clone()).unwrap_or_default();
    let name = name_of(&target.id);
    let prefix = field(&properties, "dnsPrefix").map_or_else(|| name.to_owned(), str::to_owned);
    let version = field(&properties, "kubernetesVersion").unwrap_or(DEFAULT_VERSION).to_owned();
    let pools: Vec<Object> = objects(&properties, "agentPoolProfiles").into_iter().cloned().collect();
    if pools.is_empty() {
        return Err(ArmError::new(400, "InvalidParameter", "Required parameter agentPoolProfiles is missing (null)."));
    }
    let mut children = Vec::new();
    for mut pool in pools {
        let name = field(&pool, "name").ok_or_else(|| ArmError::missing("agentPoolProfile.name"))?.to_owned();
        drop_keys(&mut pool, &["name", "id", "type", "eTag"]);
        pool_defaults(&mut pool, &version);
        children.push(DraftChild { kind: ArmResourceType::AgentPool, name, properties: pool });
    }
    drop_keys(
        &mut properties,
        &["agentPoolProfiles", "powerState", "fqdn", "azurePortalFQDN", "currentKubernetesVersion", "identityProfile"],
    );
    let fqdn = match field(&held, "fqdn") {
        Some(fqdn) => fqdn.to_owned(),
        None => format!("{}-{}.hcp.{}.azmk8s.io", prefix.to_ascii_lowercase(), &arm.guid()[..8], target.location),
    };
    let node_group = format!("MC_{}_{name}_{}", group_of(&target.id), target.location);
    for (key, value) in [
        ("kubernetesVersion", json!(version)),
        ("currentKubernetesVersion", json!(version)),
        ("dnsPrefix", json!(prefix)),
        ("fqdn", json!(fqdn)),
        ("azurePortalFQDN", json!(fqdn.replacen(".hcp.", ".portal.hcp.", 1))),
        ("nodeResourceGroup", json!(node_group)),
        ("enableRBAC", json!(true)),
        ("supportPlan", json!("KubernetesOfficial")),
        ("maxAgentPools", json!(100)),
        ("servicePrincipalProfile", json!({ "clientId": "msi" })),
        ("oidcIssuerProfile", json!({ "enabled": false })),
    ] {
        default(&mut properties, key, value);
    }
    network_profile(&mut properties);
    default(&mut top, "sku", json!({ "name": "Base", "tier": "Free" }));
    Ok(Draft { top, properties, children, ..Draft::default() })
}

/// Adds the defaults of the network profile: Azure CNI overlay.
fn network_profile(properties: &mut Object) {
    let mut profile = properties.get("networkProfile").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in [
        ("networkPlugin", json!("azure")),
        ("networkPluginMode", json!("overlay")),
        ("networkPolicy", json!("none")),
        ("networkDataplane", json!("azure")),
        ("loadBalancerSku", json!("standard")),
        ("podCidr", json!("10.244.0.0/16")),
        ("serviceCidr", json!("10.0.0.0/16")),
        ("dnsServiceIP", json!("10.0.0.10")),
        ("outboundType", json!("loadBalancer")),
        ("ipFamilies", json!(["IPv4"])),
    ] {
        default(&mut profile, key, value);
    }
    let pods = profile.get("podCidr").cloned().unwrap_or_default();
    let services = profile.get("serviceCidr").cloned().unwrap_or_default();
    default(&mut profile, "podCidrs", json!([pods]));
    default(&mut profile, "serviceCidrs", json!([services]));
    properties.insert("networkProfile".to_owned(), Value::Object(profile));
}

/// Adds the defaults of a pool.
fn pool_defaults(pool: &mut Object, version: &str) {
    drop_keys(pool, &["provisioningState", "powerState", "currentOrchestratorVersion", "nodeImageVersion"]);
    for (key, value) in [
        ("count", json!(3)),
        ("vmSize", json!("Standard_D2s_v3")),
        ("osDiskSizeGB", json!(128)),
        ("osDiskType", json!("Managed")),
        ("kubeletDiskType", json!("OS")),
        ("maxPods", json!(250)),
        ("type", json!("VirtualMachineScaleSets")),
        ("enableAutoScaling", json!(false)),
        ("scaleDownMode", json!("Delete")),
        ("orchestratorVersion", json!(version)),
        ("enableNodePublicIP", json!(false)),
        ("mode", json!("System")),
        ("osType", json!("Linux")),
        ("osSKU", json!("Ubuntu")),
        ("upgradeSettings", json!({ "maxSurge": "10%" })),
        ("enableFIPS", json!(false)),
    ] {
        default(pool, key, value);
    }
}

/// Builds the JSON of a pool as AKS shows it.
pub(crate) fn assemble_pool(_: &Arm, pool: &StoredResource, mut properties: Object) -> Value {
    add_pool_state(pool, &mut properties);
    json!({ "id": pool.id, "name": pool.name, "type": pool.kind.type_name(), "properties": properties })
}

/// Builds the JSON of a cluster as AKS shows it, with its pools flattened.
pub(crate) fn assemble(arm: &Arm, cluster: &StoredResource, mut properties: Object) -> Value {
    properties.insert("powerState".to_owned(), json!({ "code": "Running" }));
    let pools: Vec<Value> = arm.below(&cluster.id, ArmResourceType::AgentPool).into_iter().map(flat_pool).collect();
    properties.insert("agentPoolProfiles".to_owned(), json!(pools));
    properties.insert("resourceUID".to_owned(), json!(cluster.guid.replace('-', "")[..24]));
    let mut body = json!({ "id": cluster.id, "name": cluster.name });
    add_type_and_top(cluster, &mut body);
    body["properties"] = Value::Object(properties);
    body
}

/// Adds the states and versions that AKS computes.
fn add_pool_state(pool: &StoredResource, properties: &mut Object) {
    properties.insert("provisioningState".to_owned(), json!(pool.state));
    properties.insert("powerState".to_owned(), json!({ "code": "Running" }));
    let version = properties.get("orchestratorVersion").cloned().unwrap_or_default();
    properties.insert("currentOrchestratorVersion".to_owned(), version);
    properties.insert("nodeImageVersion".to_owned(), json!("AKSUbuntu-2204gen2containerd-202511.07.0"));
}

/// Returns a pool as its cluster shows it: the properties follow the name.
fn flat_pool(pool: &StoredResource) -> Value {
    let mut flat = object(json!({ "name": pool.name }));
    flat.extend(pool.properties.clone());
    add_pool_state(pool, &mut flat);
    Value::Object(flat)
}

/// Returns a cluster with two nodes, Azure CNI overlay and Cilium, its id and its group, without
/// its node group.
pub(crate) fn new_cluster(
    arm: &Arm,
    group: &str,
    name: &str,
    location: &str,
    now: Timestamp,
) -> (String, Consequences) {
    let id = format!(
        "/subscriptions/{}/resourcegroups/{group}/providers/{}/managedClusters/{name}",
        arm.subscription,
        ArmResourceType::ManagedCluster.namespace()
    );
    let mut properties = object(json!({
        "kubernetesVersion": DEFAULT_VERSION,
        "currentKubernetesVersion": DEFAULT_VERSION,
        "dnsPrefix": name,
        "fqdn": format!("{name}-6f2k1x9a.hcp.{location}.azmk8s.io"),
        "azurePortalFQDN": format!("{name}-6f2k1x9a.portal.hcp.{location}.azmk8s.io"),
        "nodeResourceGroup": format!("MC_{group}_{name}_{location}"),
        "enableRBAC": true,
        "supportPlan": "KubernetesOfficial",
        "maxAgentPools": 100,
        "servicePrincipalProfile": { "clientId": "msi" },
        "oidcIssuerProfile": { "enabled": false },
        "networkProfile": { "networkPolicy": "cilium", "networkDataplane": "cilium" },
    }));
    network_profile(&mut properties);
    let cluster = NewResource {
        top: object(json!({
            "location": location,
            "sku": { "name": "Base", "tier": "Free" },
            "identity": { "type": "SystemAssigned" },
        })),
        ..NewResource::new(&id, ArmResourceType::ManagedCluster, "", properties, now)
    };
    let mut properties = object(json!({ "count": 2, "vmSize": "Standard_D2ads_v5" }));
    pool_defaults(&mut properties, DEFAULT_VERSION);
    let pool = NewResource::new(&format!("{id}/agentPools/nodepool1"), ArmResourceType::AgentPool, "", properties, now);
    let new_group = NewGroup { name: group.to_owned(), location: location.to_owned(), managed_by: None };
    let consequences =
        Consequences { new_groups: vec![new_group], new: vec![cluster, pool], ..Consequences::default() };
    (id, consequences)
}
