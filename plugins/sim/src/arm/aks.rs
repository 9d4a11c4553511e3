use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::call::{Answer, Reply};
use crate::arm::error::ArmError;
use crate::arm::group;
use crate::arm::instance::{Instance, build_instance};
use crate::arm::json::{Object, default, drop_keys, field, object, objects};
use crate::arm::kind::Kind;
use crate::arm::store::{Arm, ClusterAccess, Resource, group_of, name_of, parent_id};
use crate::arm::write::{Child, Draft, Place};

/// The version that a cluster gets which does not ask for one.
const DEFAULT_VERSION: &str = "1.33.5";

/// Numbers that AKS puts into the names of what it makes.
#[derive(Debug, Clone)]
pub(crate) struct ClusterNames {
    /// In the names of the network and of its security group.
    pub(crate) network: String,
    /// In the names of scale sets.
    pub(crate) pools: String,
}

pub(crate) fn prepare(arm: &mut Arm, place: &Place, top: Object, properties: Object) -> Result<Draft, ArmError> {
    match place.kind {
        Kind::AgentPool => Ok(prepare_pool(arm, place, properties)),
        _ => prepare_cluster(arm, place, top, properties),
    }
}

fn prepare_pool(arm: &Arm, place: &Place, mut properties: Object) -> Draft {
    let version = arm
        .find(parent_id(&place.id))
        .and_then(|cluster| field(&cluster.properties, "kubernetesVersion"))
        .unwrap_or(DEFAULT_VERSION);
    pool_defaults(&mut properties, version);
    Draft { properties, ..Draft::default() }
}

fn prepare_cluster(arm: &mut Arm, place: &Place, mut top: Object, mut properties: Object) -> Result<Draft, ArmError> {
    let held = place.existing.as_ref().map(|cluster| cluster.properties.clone()).unwrap_or_default();
    let name = name_of(&place.id);
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
        children.push(Child { kind: Kind::AgentPool, name, properties: pool });
    }
    drop_keys(
        &mut properties,
        &["agentPoolProfiles", "powerState", "fqdn", "azurePortalFQDN", "currentKubernetesVersion", "identityProfile"],
    );
    let fqdn = match field(&held, "fqdn") {
        Some(fqdn) => fqdn.to_owned(),
        None => format!("{}-{}.hcp.{}.azmk8s.io", prefix.to_ascii_lowercase(), &arm.guid()[..8], place.location),
    };
    let node_group = format!("MC_{}_{name}_{}", group_of(&place.id), place.location);
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
    Ok(Draft { top, properties, hidden: Object::new(), children })
}

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

/// A cluster or a pool as AKS shows it.
pub(crate) fn render(arm: &Arm, resource: &Resource, mut properties: Object) -> Value {
    if resource.kind == Kind::AgentPool {
        add_pool_state(resource, &mut properties);
        return json!({ "id": resource.id, "name": resource.name, "type": resource.kind.type_name(), "properties": properties });
    }
    properties.insert("powerState".to_owned(), json!({ "code": "Running" }));
    let pools: Vec<Value> = arm.below(&resource.id, Kind::AgentPool).into_iter().map(flat_pool).collect();
    properties.insert("agentPoolProfiles".to_owned(), json!(pools));
    properties.insert("resourceUID".to_owned(), json!(resource.guid.replace('-', "")[..24]));
    let mut body = json!({ "id": resource.id, "name": resource.name, "type": resource.kind.type_name() });
    for (key, value) in &resource.top {
        body[key] = value.clone();
    }
    super::compute::describe_identity(&mut body);
    body["properties"] = Value::Object(properties);
    body
}

fn add_pool_state(pool: &Resource, properties: &mut Object) {
    properties.insert("provisioningState".to_owned(), json!(pool.state));
    properties.insert("powerState".to_owned(), json!({ "code": "Running" }));
    let version = properties.get("orchestratorVersion").cloned().unwrap_or_default();
    properties.insert("currentOrchestratorVersion".to_owned(), version);
    properties.insert("nodeImageVersion".to_owned(), json!("AKSUbuntu-2204gen2containerd-202511.07.0"));
}

fn flat_pool(pool: &Resource) -> Value {
    let mut flat = object(json!({ "name": pool.name }));
    flat.extend(pool.properties.clone());
    add_pool_state(pool, &mut flat);
    Value::Object(flat)
}

/// What is true once a cluster was created: its node group with network and machines.
pub(crate) fn finish_create(arm: &mut Arm, id: &str) {
    let number = |guid: &str| {
        guid.bytes().filter(u8::is_ascii_hexdigit).take(8).map(|byte| char::from(b'0' + byte % 10)).collect::<String>()
    };
    let names = ClusterNames { network: number(&arm.guid()), pools: number(&arm.guid()) };
    let now = arm.find(id).map_or(Timestamp::UNIX_EPOCH, |cluster| cluster.created);
    build_cluster(arm, id, &names, now);
}

/// Makes the node group of a cluster, as AKS does.
pub(crate) fn build_cluster(arm: &mut Arm, id: &str, names: &ClusterNames, now: Timestamp) {
    let Some(cluster) = arm.find(id).cloned() else { return };
    let location = cluster.location().to_owned();
    let node_group = field(&cluster.properties, "nodeResourceGroup").unwrap_or_default().to_owned();
    group::create(arm, &node_group, &location, None, Some(cluster.id.clone()));
    let base = format!("/subscriptions/{}/resourceGroups/{node_group}/providers", arm.subscription);
    let security = format!("{base}/Microsoft.Network/networkSecurityGroups/aks-agentpool-{}-nsg", names.network);
    let network = format!("{base}/Microsoft.Network/virtualNetworks/aks-vnet-{}", names.network);
    let subnet = format!("{network}/subnets/aks-subnet");
    place(arm, &security, Kind::SecurityGroup, &location, Object::new(), now);
    let space = json!({ "addressSpace": { "addressPrefixes": ["10.224.0.0/12"] }, "privateEndpointVNetPolicies": "Disabled", "enableDdosProtection": false });
    place(arm, &network, Kind::VirtualNetwork, &location, object(space), now);
    let inner = json!({
        "addressPrefix": "10.224.0.0/16",
        "networkSecurityGroup": { "id": security },
        "delegations": [],
        "privateEndpointNetworkPolicies": "Disabled",
        "privateLinkServiceNetworkPolicies": "Enabled",
    });
    place(arm, &subnet, Kind::Subnet, "", object(inner), now);
    let pools: Vec<Resource> = arm.below(id, Kind::AgentPool).into_iter().cloned().collect();
    for pool in pools {
        build_pool(arm, &base, &pool, &subnet, &location, names, now);
    }
}

fn build_pool(
    arm: &mut Arm,
    base: &str,
    pool: &Resource,
    subnet: &str,
    location: &str,
    names: &ClusterNames,
    now: Timestamp,
) {
    let size = field(&pool.properties, "vmSize").unwrap_or_default().to_owned();
    let count = pool.properties.get("count").and_then(Value::as_u64).unwrap_or_default();
    let name = format!("aks-{}-{}-vmss", pool.name, names.pools);
    let set = format!("{base}/Microsoft.Compute/virtualMachineScaleSets/{name}");
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
    place(arm, &set, Kind::ScaleSet, location, object(profile), now);
    if let Some(resource) = arm.find_mut(&set) {
        resource.top.insert("sku".to_owned(), json!({ "name": size, "tier": "Standard", "capacity": count }));
        resource.top.insert("tags".to_owned(), json!({ "aks-managed-poolName": pool.name }));
    }
    for index in 0..count {
        build_instance(arm, &Instance { set: &set, name: &name, index, subnet, size: &size, location }, now);
    }
}

/// Puts a new resource in.
pub(super) fn place(arm: &mut Arm, id: &str, kind: Kind, location: &str, properties: Object, now: Timestamp) {
    let mut resource = arm.fresh(id.to_owned(), kind, now);
    if !location.is_empty() {
        resource.top.insert("location".to_owned(), json!(location));
    }
    resource.properties = properties;
    arm.insert(resource);
}

/// The node group goes with its cluster.
pub(crate) fn after_delete(arm: &mut Arm, cluster: &Resource) {
    if let Some(node_group) = field(&cluster.properties, "nodeResourceGroup") {
        group::remove(arm, node_group);
    }
}

pub(crate) fn action(arm: &mut Arm, method: &str, id: &str, verb: &str) -> Answer {
    let cluster = arm.find(id).cloned().ok_or_else(|| ArmError::child_not_found(id))?;
    match (method, verb) {
        ("POST", "listclusterusercredential") => Ok(credentials(arm, &cluster, "clusterUser")),
        ("POST", "listclusteradmincredential") => Ok(credentials(arm, &cluster, "clusterAdmin")),
        ("GET", "availableagentpoolversions") => {
            let version = json!({ "default": true, "kubernetesVersion": DEFAULT_VERSION });
            let id = format!("{id}/availableAgentPoolVersions");
            Ok(Reply::json(
                200,
                json!({ "id": id, "name": "default", "properties": { "agentPoolVersions": [version] } }),
            ))
        }
        (method, _) => Err(ArmError::method_not_allowed(method)),
    }
}

fn credentials(arm: &mut Arm, cluster: &Resource, role: &str) -> Reply {
    let name = &cluster.name;
    let user = format!("{role}_{}_{name}", group_of(&cluster.id));
    // A cluster that is not served has an address and a token all the same, as one that is stopped.
    let access = arm.cluster.clone().unwrap_or_else(|| ClusterAccess {
        server: format!("https://{}:443", field(&cluster.properties, "fqdn").unwrap_or_default()),
        authority: String::new(),
        token: arm.guid().replace('-', ""),
    });
    let config = access.kubeconfig(name, &user);
    Reply::json(200, json!({ "kubeconfigs": [{ "name": role, "value": STANDARD.encode(config) }] }))
}

pub(crate) fn versions() -> Reply {
    let version = |text: &str, default: bool| {
        let patch = format!("{text}.5");
        json!({ "version": text, "isDefault": default, "patchVersions": { patch: { "upgrades": [] } } })
    };
    Reply::json(200, json!({ "values": [version("1.33", true), version("1.32", false)] }))
}

/// Makes a cluster with two nodes, Azure CNI overlay and Cilium, without its node group, and gives its id.
pub(crate) fn place_cluster(arm: &mut Arm, group: &str, name: &str, location: &str, now: Timestamp) -> String {
    group::create(arm, group, location, None, None);
    let id = format!(
        "/subscriptions/{}/resourcegroups/{group}/providers/{}/managedClusters/{name}",
        arm.subscription,
        Kind::ManagedCluster.namespace()
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
    place(arm, &id, Kind::ManagedCluster, location, properties, now);
    if let Some(cluster) = arm.find_mut(&id) {
        cluster.top.insert("sku".to_owned(), json!({ "name": "Base", "tier": "Free" }));
        cluster.top.insert("identity".to_owned(), json!({ "type": "SystemAssigned" }));
    }
    let mut pool = object(json!({ "count": 2, "vmSize": "Standard_D2ads_v5" }));
    pool_defaults(&mut pool, DEFAULT_VERSION);
    place(arm, &format!("{id}/agentPools/nodepool1"), Kind::AgentPool, "", pool, now);
    id
}
