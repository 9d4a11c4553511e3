use std::{net::Ipv4Addr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    api::Api,
    host::{Host, way_in},
    inventory::{Inventory, Role},
    kind::{At, NODES},
    node_facts::{is_managed, is_ready},
    permission::may,
    pod_cidr_registry::{Registry, block_of, released_by},
    pod_cidr_store as store,
    prefix::Prefix,
};

/// `kubernetes.worker.find`.
pub(crate) struct WorkerFind(pub(crate) Arc<Api>);

/// Which worker.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindInput {
    /// Its name.
    name: String,
    /// Whether its machine is gone for good. A node that is ready says that it is not, and is refused.
    #[serde(default)]
    host_is_gone: bool,
}

/// What is left of a worker.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FindOutput {
    /// Name of its site, while it is registered.
    pub site: Option<String>,
    /// Its pod block, while it has one.
    pub pod_cidr: Option<Prefix>,
    /// How to log in: one way while it is registered and its machine is there, none otherwise.
    pub hosts: Vec<Host>,
    /// Whether it is a node of the cluster.
    pub is_node: bool,
    /// Its machine in Azure, while it is registered and its site is there; none otherwise.
    pub machines: Vec<AzureMachine>,
}

/// A machine in Azure, and how it is known.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AzureMachine {
    /// Its resource group.
    pub resource_group: String,
    /// Its SSH host key.
    pub host_key: String,
    /// Its address in the site's subnet.
    #[schemars(with = "String")]
    pub private_ip: Ipv4Addr,
}

/// What the cluster has of a name.
struct Found {
    inventory: Inventory,
    node: Option<Value>,
    registry: Registry,
}

impl WorkerFind {
    async fn look(&self, cx: &ActionContext, name: &str) -> Result<Found, ActionError> {
        Ok(Found {
            inventory: Inventory::read(&self.0, cx).await?,
            node: self.0.get(cx, &NODES, At::cluster(name)).await?,
            registry: store::read(&self.0, cx).await?.registry,
        })
    }
}

impl Found {
    /// Refuses what is no worker of ours.
    fn check(&self, input: &FindInput) -> Result<(), ActionError> {
        let FindInput { name, host_is_gone } = input;
        let server = self.inventory.servers.get(name);
        if server.is_some_and(|server| server.role == Role::Router) {
            return Err(ActionError::permanent(format!("{name:?} is a router: its site is reached through it"))
                .with_hint("name one of the site's workers"));
        }
        if self.node.as_ref().is_some_and(is_managed) {
            return Err(ActionError::permanent(format!("node {name:?} is AKS's own, and no worker of a datacenter"))
                .with_hint("nodes of AKS leave by `az aks nodepool`"));
        }
        if *host_is_gone && self.node.as_ref().is_some_and(is_ready) {
            return Err(ActionError::permanent(format!("node {name:?} is ready, so its machine is not gone"))
                .with_hint("leave `host_is_gone` out, or wait until the cluster has missed the node's kubelet"));
        }
        if server.is_some() || self.node.is_some() || self.has_had_a_block(name) {
            return Ok(());
        }
        let known: Vec<&str> = self.inventory.workers_of_all().map(String::as_str).collect();
        Err(ActionError::permanent(format!("no worker {name:?} is registered, and none has left under this name"))
            .with_hint(format!("registered are: {}", if known.is_empty() { "none".into() } else { known.join(", ") })))
    }

    fn has_had_a_block(&self, name: &str) -> bool {
        block_of(&self.registry, name).or(released_by(&self.registry, name)).is_some()
    }

    fn machine(&self, name: &str) -> Option<AzureMachine> {
        let server = self.inventory.servers.get(name)?;
        let azure = self.inventory.sites.get(&server.site)?.azure.as_ref()?;
        let (resource_group, host_key) = (azure.resource_group.clone(), server.ssh.host_key.clone());
        Some(AzureMachine { resource_group, host_key, private_ip: server.ip })
    }

    fn output(&self, input: &FindInput) -> FindOutput {
        let server = self.inventory.servers.get(&input.name);
        let registered = server.and_then(|server| server.pod_cidr);
        FindOutput {
            site: server.map(|server| server.site.clone()),
            pod_cidr: registered.or_else(|| block_of(&self.registry, &input.name)),
            hosts: server.filter(|_| !input.host_is_gone).map(|it| way_in(&self.inventory, it)).into_iter().collect(),
            is_node: self.node.is_some(),
            machines: self.machine(&input.name).into_iter().collect(),
        }
    }
}

impl Action for WorkerFind {
    type Input = FindInput;
    type Output = FindOutput;
    const NAME: &'static str = "kubernetes.worker.find";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Finds what the cluster has of a worker that is to leave, and refuses what is none.";

    async fn run(&self, cx: &ActionContext, input: &FindInput) -> Result<FindOutput, ActionError> {
        let found = self.look(cx, &input.name).await?;
        found.check(input)?;
        Ok(found.output(input))
    }

    async fn preview(&self, cx: &ActionContext, input: &FindInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for WorkerFind {
    const PERMISSIONS: &'static [Permission] = &[
        may("list sites.stargate.io"),
        may("list servers.stargate.io"),
        may("get nodes"),
        may("get configmaps/stargate-pod-cidrs -n kube-system"),
    ];
}
