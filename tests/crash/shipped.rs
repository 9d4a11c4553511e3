//! The workflows that ship, each with the log's values for its inputs.

use serde_json::{Map, Value, json};

/// A workflow that is killed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shipped {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    inputs: fn(&str) -> Value,
}

/// Every one.
pub(crate) const ALL: &[Shipped] = &[
    Shipped {
        name: "provision-aks-router",
        text: include_str!("../../workflows/provision-aks-router.yaml"),
        inputs: aks_router,
    },
    Shipped { name: "provision-dc", text: include_str!("../../workflows/provision-dc.yaml"), inputs: datacenter },
];

impl Shipped {
    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|shipped| shipped.name == name).copied()
    }

    pub(crate) fn inputs(self, ssh_public_key: &str) -> Map<String, Value> {
        let Value::Object(inputs) = (self.inputs)(ssh_public_key) else { unreachable!("it is an object") };
        inputs
    }
}

fn aks_router(ssh_public_key: &str) -> Value {
    json!({
        "cluster": "stargate-aks-e2e-7",
        "resource_group": "stargate-aks-e2e-7",
        "router": "stargate-aks-e2e-7-router",
        "router_subnet": "10.237.0.0/24",
        "datacenter_prefixes": ["10.50.0.0/16", "10.60.0.0/16"],
        "ssh_public_key": ssh_public_key,
    })
}

fn datacenter(ssh_public_key: &str) -> Value {
    json!({
        "cluster": "stargate-aks-e2e-7",
        "cluster_resource_group": "stargate-aks-e2e-7",
        "aks_router_ip": "10.237.0.4",
        "aks_router_subnet": "10.237.0.0/24",
        "aks_nodes": [
            { "ip": "10.224.0.4", "pod_cidr": "10.244.0.0/24" },
            { "ip": "10.224.0.5", "pod_cidr": "10.244.1.0/24" },
        ],
        "resource_group": "stargate-aks-e2e-7-dc",
        "location": "westeurope",
        "router": "stargate-aks-e2e-7-dc-router",
        "workers": [
            { "name": "worker-1", "private_ip": "10.50.1.5" },
            { "name": "worker-2", "private_ip": "10.50.1.6" },
        ],
        "pod_cidrs": { "worker-1": "10.244.64.0/24", "worker-2": "10.244.65.0/24" },
        "ssh_public_key": ssh_public_key,
    })
}
