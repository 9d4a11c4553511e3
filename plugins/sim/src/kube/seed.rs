use jiff::Timestamp;
use serde_json::{Value, json};

use super::commit::add;
use super::control_plane::settle;
use super::resource::{RBAC, core};
use super::seed_roles::{BINDINGS, roles};
use super::state::{Kube, Kubelet, NodeFacts};

/// Field manager of objects of the server.
const SERVER: &str = "kube-apiserver";
/// Field manager of objects of the AKS add-ons.
const ADDONS: &str = "addon-manager";

/// Creates the objects that each cluster has initially. Existing objects remain unchanged.
pub(super) fn cluster(kube: &mut Kube, now: Timestamp) {
    for namespace in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        add(kube, &core("namespaces"), json!({ "metadata": { "name": namespace } }), (SERVER, now));
    }
    for (name, rules) in roles() {
        let metadata = json!({ "name": name, "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" } });
        add(kube, &core("clusterroles"), json!({ "metadata": metadata, "rules": rules }), (SERVER, now));
    }
    for (name, role, group) in BINDINGS {
        let metadata = json!({ "name": name, "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" } });
        let subject = json!({ "apiGroup": RBAC, "kind": "Group", "name": group });
        let role = json!({ "apiGroup": RBAC, "kind": "ClusterRole", "name": role });
        add(
            kube,
            &core("clusterrolebindings"),
            json!({ "metadata": metadata, "roleRef": role, "subjects": [subject] }),
            (SERVER, now),
        );
    }
    let ports = json!([{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": 443 }]);
    let service = json!({ "metadata": { "name": "kubernetes", "namespace": "default" }, "spec": { "clusterIP": "10.0.0.1", "ports": ports } });
    add(kube, &core("services"), service, (SERVER, now));
}

/// Cluster address of the DNS service of AKS.
pub(crate) const DNS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 0, 0, 10);

/// Creates the objects of AKS: the definitions of Cilium and of `NodeNetworkConfig`, the add-ons,
/// and two nodes.
pub(crate) fn aks(kube: &mut Kube, now: Timestamp) {
    cluster(kube, now);
    let policies = [cilium_policy(false), cilium_policy(true)];
    for definition in [cilium_node(), cilium_endpoint(), node_network_config()].into_iter().chain(policies) {
        add(kube, &core("customresourcedefinitions"), definition, (ADDONS, now));
    }
    for (name, replicas) in [("coredns", 2), ("konnectivity-agent", 2), ("metrics-server", 2)] {
        add(kube, &core("deployments"), deployment(name, replicas), (ADDONS, now));
    }
    let ports = json!([{ "name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53 }, { "name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53 }]);
    let spec = json!({ "clusterIP": DNS, "clusterIPs": [DNS], "selector": { "k8s-app": "coredns" }, "ports": ports });
    let metadata = json!({ "name": "kube-dns", "namespace": "kube-system", "labels": { "k8s-app": "kube-dns" } });
    add(kube, &core("services"), json!({ "metadata": metadata, "spec": spec }), (ADDONS, now));
    for name in ["cilium", "azure-cns", "cloud-node-manager"] {
        add(
            kube,
            &core("serviceaccounts"),
            json!({ "metadata": { "name": name, "namespace": "kube-system" } }),
            (ADDONS, now),
        );
        add(kube, &core("daemonsets"), daemon(name), (ADDONS, now));
    }
    add(kube, &core("configmaps"), cilium_config(), (ADDONS, now));
    let budget = json!({ "metadata": { "name": "coredns-pdb", "namespace": "kube-system" }, "spec": { "minAvailable": 1, "selector": { "matchLabels": { "k8s-app": "coredns" } } } });
    add(kube, &core("poddisruptionbudgets"), budget, (ADDONS, now));
    for index in 0_u8..2 {
        let name = format!("aks-nodepool1-41954725-vmss00000{index}");
        add_aks_node(kube, &name, &format!("10.224.0.{}", 4 + index), &format!("10.244.{index}.0/24"));
    }
}

/// Returns the configuration of the Cilium agents, as AKS sets it: the settings that decide about
/// packets between nodes.
fn cilium_config() -> Value {
    let data = json!({
        "auto-direct-node-routes": "false",
        "enable-endpoint-routes": "true",
        "enable-host-legacy-routing": "true",
        "enable-ipv4": "true",
        "enable-ipv4-masquerade": "false",
        "enable-ipv6": "false",
        "enable-ipv6-masquerade": "false",
        "ipam": "delegated-plugin",
        "local-router-ipv4": "169.254.23.0",
        "routing-mode": "native",
    });
    json!({ "metadata": { "name": "cilium-config", "namespace": "kube-system" }, "data": data })
}

/// Returns a deployment of an add-on in `kube-system`.
fn deployment(name: &str, replicas: u32) -> Value {
    let labels = json!({ "k8s-app": name });
    // AKS excludes nodes that it does not manage.
    let managed = json!({ "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "kubernetes.azure.com/cluster", "operator": "Exists" }, { "key": "kubernetes.azure.com/managed", "operator": "NotIn", "values": ["false"] }] }] });
    let spec = json!({
        "containers": [{ "name": name, "image": format!("mcr.microsoft.com/oss/kubernetes/{name}:v1"), "resources": { "requests": { "cpu": "100m" } } }],
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": managed } },
        "tolerations": [{ "key": "CriticalAddonsOnly", "operator": "Exists" }],
    });
    json!({
        "metadata": { "name": name, "namespace": "kube-system", "labels": labels },
        "spec": { "replicas": replicas, "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": spec } },
    })
}

/// Returns a daemon set of an add-on, restricted to nodes of AKS by labels.
fn daemon(name: &str) -> Value {
    let labels = json!({ "k8s-app": name });
    let selector = match name {
        "cilium" => json!({ "kubernetes.azure.com/ebpf-dataplane": "cilium" }),
        _ => json!({ "kubernetes.azure.com/nodepool-type": "VirtualMachineScaleSets" }),
    };
    let spec = json!({
        "containers": [{ "name": name, "image": format!("mcr.microsoft.com/containernetworking/{name}:v1"), "resources": { "requests": { "cpu": "50m" } } }],
        "hostNetwork": true,
        "serviceAccountName": name,
        "nodeSelector": selector,
        "tolerations": [{ "operator": "Exists" }],
    });
    json!({
        "metadata": { "name": name, "namespace": "kube-system", "labels": labels },
        "spec": { "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": spec } },
    })
}

/// Node of a scale set.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct AksNode {
    /// Name of the node, such as `aks-nodepool1-41954725-vmss000002`.
    pub name: String,
    /// Address in the subnet of the nodes.
    pub address: String,
    /// Prefix from which its pods get addresses.
    pub pod_cidr: String,
}

/// Adds a node of a scale set. The node is ready, its pods get addresses of `pod_cidr`, and a
/// `NodeNetworkConfig` reports the prefix.
pub fn add_aks_node(kube: &mut Kube, name: &str, address: &str, pod_cidr: &str) {
    let node = AksNode { name: name.to_owned(), address: address.to_owned(), pod_cidr: pod_cidr.to_owned() };
    add_aks_nodes(kube, &[node]);
}

/// Adds nodes of a scale set, all in one scale-out.
pub fn add_aks_nodes(kube: &mut Kube, nodes: &[AksNode]) {
    let now = Timestamp::now();
    for node in nodes {
        put_aks_node(kube, node, now);
    }
    settle(kube, now);
}

/// Creates a node with its kubelet, network configuration and lease. Labels and versions were
/// recorded on AKS.
fn put_aks_node(kube: &mut Kube, node: &AksNode, now: Timestamp) {
    let AksNode { name, address, pod_cidr } = node;
    let pool = name.rsplit_once('-').map_or(name.as_str(), |(pool, _)| pool);
    let scale_set = format!(
        "azure:///subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/{}/providers/Microsoft.Compute/virtualMachineScaleSets/{pool}-vmss",
        NODE_RESOURCE_GROUP.to_lowercase()
    );
    let facts = NodeFacts {
        name: name.clone(),
        address: address.clone(),
        version: "v1.33.5".to_owned(),
        runtime: Some("containerd://1.7.28-1".to_owned()),
        pod_cidr: Some(pod_cidr.clone()),
        kernel: "5.15.0-1096-azure".to_owned(),
        os_image: "Ubuntu 22.04.5 LTS".to_owned(),
        machine_id: crate::arm::uuid(&rand::random::<[u8; 16]>()).replace('-', ""),
        boot_id: crate::arm::uuid(&rand::random::<[u8; 16]>()),
        ..NodeFacts::default()
    };
    let node = json!({ "metadata": { "name": name, "labels": node_labels(name) }, "spec": { "providerID": scale_set }, "status": super::kubelet::status(&facts, now) });
    add(kube, &core("nodes"), node, ("kubelet", now));
    kube.kubelets
        .insert(name.clone(), Kubelet { running: true, pod_cidr: Some(pod_cidr.clone()), ..Kubelet::default() });
    network_config(kube, name, address, pod_cidr, now);
    lease(kube, name, now);
}

/// Resource group of the nodes, which AKS manages.
const NODE_RESOURCE_GROUP: &str = "MC_stargate-aks-e2e-7_stargate-aks-e2e-7_canadacentral";

/// Returns the labels of a node of a scale set.
fn node_labels(name: &str) -> Value {
    json!({
        "agentpool": "nodepool1",
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "failure-domain.beta.kubernetes.io/region": "canadacentral",
        "failure-domain.beta.kubernetes.io/zone": "0",
        "kubernetes.azure.com/agentpool": "nodepool1",
        "kubernetes.azure.com/cluster": NODE_RESOURCE_GROUP,
        "kubernetes.azure.com/ebpf-dataplane": "cilium",
        "kubernetes.azure.com/mode": "system",
        "kubernetes.azure.com/network-name": "aks-vnet-11486953",
        "kubernetes.azure.com/network-subnet": "aks-subnet",
        "kubernetes.azure.com/nodepool-type": "VirtualMachineScaleSets",
        "kubernetes.azure.com/os-sku": "Ubuntu",
        "kubernetes.azure.com/podnetwork-type": "overlay",
        "kubernetes.azure.com/role": "agent",
        "kubernetes.azure.com/storageprofile": "managed",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "Standard_D2s_v3",
        "topology.kubernetes.io/region": "canadacentral",
        "topology.kubernetes.io/zone": "0",
    })
}

/// Creates the lease of a node, as its kubelet does.
fn lease(kube: &mut Kube, name: &str, now: Timestamp) {
    let uid = kube.named("nodes", name).map(|node| super::json::uid_of(node).to_owned());
    let owner = json!([{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": uid }]);
    let renewed = now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let lease = json!({
        "metadata": { "name": name, "namespace": "kube-node-lease", "ownerReferences": owner },
        "spec": { "holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed },
    });
    add(kube, &core("leases"), lease, ("kubelet", now));
}

/// Creates the `NodeNetworkConfig` of a node, as the delegated network controller of Azure does.
fn network_config(kube: &mut Kube, name: &str, address: &str, pod_cidr: &str, now: Timestamp) {
    let Some(resource) = kube.resource("acn.azure.com", "v1alpha", "nodenetworkconfigs") else { return };
    let uid = kube.named("nodes", name).map(|node| super::json::uid_of(node).to_owned());
    let container = json!({
        "assignmentMode": "static",
        "id": crate::arm::uuid(&rand::random::<[u8; 16]>()),
        "nodeIP": address,
        "primaryIP": pod_cidr,
        "resourceGroupID": "",
        "status": "Available",
        "subnetAddressSpace": "10.244.0.0/16",
        "subnetName": "routingdomain",
        "type": "overlay",
        "version": 0,
    });
    let config = json!({
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "labels": { "kubernetes.azure.com/podnetwork-delegationguid": "" },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true }],
        },
        "spec": { "requestedIPCount": 256 },
        "status": { "assignedIPCount": 256, "networkContainers": [container], "scaler": { "batchSize": 16, "maxIPCount": 250, "releaseThresholdPercent": 150, "requestThresholdPercent": 50 }, "status": "Updated" },
    });
    add(kube, &resource, config, ("dnc-rc", now));
}

/// Removes a node, as a scale-in does, with the objects of its agents and its pods.
///
/// Returns false if there is no such node.
pub fn remove_node(kube: &mut Kube, name: &str) -> bool {
    let is_gone = kube.take(&core("nodes"), name).is_some();
    settle(kube, Timestamp::now());
    is_gone
}

/// Returns a definition with one version, which is served and stored.
fn definition(group: &str, version: &str, names: &Value, scope: &str, printed: &Value, schema: &Value) -> Value {
    let plural = names.get("plural").and_then(Value::as_str).unwrap_or_default().to_owned();
    json!({
        "metadata": { "name": format!("{plural}.{group}") },
        "spec": {
            "group": group,
            "names": names,
            "scope": scope,
            "versions": [{
                "name": version,
                "served": true,
                "storage": true,
                "additionalPrinterColumns": printed,
                "schema": { "openAPIV3Schema": schema },
                "subresources": { "status": {} },
            }],
        },
    })
}

/// Returns the schema of an object with `properties` at the top level.
fn top(properties: Value) -> Value {
    let mut properties = properties;
    for key in ["apiVersion", "kind"] {
        properties[key] = json!({ "type": "string" });
    }
    properties["metadata"] = json!({ "type": "object" });
    json!({ "type": "object", "properties": properties })
}

/// Returns the schema of an object with any fields.
fn open() -> Value {
    json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Returns the schema of a list of texts.
fn texts() -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

/// Returns the definition of `CiliumNode` with a part of its real schema.
fn cilium_node() -> Value {
    let names = json!({ "plural": "ciliumnodes", "singular": "ciliumnode", "kind": "CiliumNode", "listKind": "CiliumNodeList", "shortNames": ["cn", "ciliumn"], "categories": ["cilium"] });
    let printed = json!([
        { "name": "CiliumInternalIP", "type": "string", "jsonPath": ".spec.addresses[?(@.type==\"CiliumInternalIP\")].ip" },
        { "name": "InternalIP", "type": "string", "jsonPath": ".spec.addresses[?(@.type==\"InternalIP\")].ip" },
        { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
    ]);
    let address =
        json!({ "type": "object", "properties": { "ip": { "type": "string" }, "type": { "type": "string" } } });
    let number = json!({ "type": "integer", "minimum": 0 });
    let allocated = json!({ "type": "object", "required": ["pool"], "properties": { "pool": { "type": "string", "minLength": 1 }, "cidrs": texts() } });
    let ipam = json!({
        "type": "object",
        "properties": {
            "podCIDRs": texts(),
            "pool": { "type": "object", "additionalProperties": { "type": "object", "properties": { "owner": { "type": "string" }, "resource": { "type": "string" } } } },
            "ipv6-pool": open(),
            "pools": { "type": "object", "properties": { "allocated": { "type": "array", "items": allocated }, "requested": { "type": "array", "items": open() } } },
            "min-allocate": number, "pre-allocate": number, "max-allocate": number, "max-above-watermark": number,
            "static-ip-tags": { "type": "object", "additionalProperties": { "type": "string" } },
        },
    });
    let spec = json!({
        "type": "object",
        "properties": {
            "addresses": { "type": "array", "items": address },
            "alibaba-cloud": open(), "azure": open(), "eni": open(),
            "bootid": { "type": "string" },
            "encryption": { "type": "object", "properties": { "key": { "type": "integer" } } },
            "health": { "type": "object", "properties": { "ipv4": { "type": "string" }, "ipv6": { "type": "string" } } },
            "ingress": { "type": "object", "properties": { "ipv4": { "type": "string" }, "ipv6": { "type": "string" } } },
            "instance-id": { "type": "string" },
            "ipam": ipam,
            "nodeidentity": { "type": "integer" },
        },
    });
    let mut schema = top(json!({ "spec": spec, "status": open() }));
    schema["required"] = json!(["metadata", "spec"]);
    definition("cilium.io", "v2", &names, "Cluster", &printed, &schema)
}

/// Returns the definition of `CiliumEndpoint`, whose status accepts any fields.
fn cilium_endpoint() -> Value {
    let names = json!({ "plural": "ciliumendpoints", "singular": "ciliumendpoint", "kind": "CiliumEndpoint", "listKind": "CiliumEndpointList", "shortNames": ["cep", "ciliumep"], "categories": ["cilium"] });
    let printed = json!([
        { "name": "Endpoint State", "type": "string", "jsonPath": ".status.state" },
        { "name": "IPv4", "type": "string", "jsonPath": ".status.networking.addressing[0].ipv4" },
    ]);
    definition("cilium.io", "v2", &names, "Namespaced", &printed, &top(json!({ "status": open() })))
}

/// Returns the definition of `CiliumNetworkPolicy`, or of `CiliumClusterwideNetworkPolicy`, whose
/// rules accept any fields. The data plane does not evaluate them.
fn cilium_policy(is_clusterwide: bool) -> Value {
    let (kind, scope, short) = if is_clusterwide {
        ("CiliumClusterwideNetworkPolicy", "Cluster", json!(["ccnp"]))
    } else {
        ("CiliumNetworkPolicy", "Namespaced", json!(["cnp", "ciliumnp"]))
    };
    let singular = kind.to_lowercase();
    let plural = singular.replace("policy", "policies");
    let list = format!("{kind}List");
    let names = json!({ "plural": plural, "singular": singular, "kind": kind, "listKind": list, "shortNames": short, "categories": ["cilium", "ciliumpolicy"] });
    let printed = json!([{ "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" }]);
    let schema = top(json!({ "spec": open(), "specs": { "type": "array", "items": open() }, "status": open() }));
    definition("cilium.io", "v2", &names, scope, &printed, &schema)
}

/// Returns the definition of `NodeNetworkConfig` of Azure CNI.
fn node_network_config() -> Value {
    let names = json!({ "plural": "nodenetworkconfigs", "singular": "nodenetworkconfig", "kind": "NodeNetworkConfig", "listKind": "NodeNetworkConfigList", "shortNames": ["nnc"] });
    let printed = json!([
        { "name": "Requested IPs", "type": "integer", "jsonPath": ".spec.requestedIPCount" },
        { "name": "Allocated IPs", "type": "integer", "jsonPath": ".status.assignedIPCount" },
        { "name": "Subnet", "type": "string", "jsonPath": ".status.networkContainers[*].subnetName" },
        { "name": "Subnet CIDR", "type": "string", "jsonPath": ".status.networkContainers[*].subnetAddressSpace" },
        { "name": "NC ID", "type": "string", "jsonPath": ".status.networkContainers[*].id" },
    ]);
    let spec = json!({ "type": "object", "properties": { "requestedIPCount": { "type": "integer" }, "ipsNotInUse": texts() } });
    definition(
        "acn.azure.com",
        "v1alpha",
        &names,
        "Namespaced",
        &printed,
        &top(json!({ "spec": spec, "status": open() })),
    )
}
