use std::{net::Ipv4Addr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::Prefix;
use stargate_kubernetes_client::{KubeClient, NODES, ObjectName, permission};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    inventory::{Inventory, MachineRole, SshHost, ssh_host},
    node::{is_managed, is_ready},
    pod_cidr::{PodCidrRegistry, pod_cidr_of, released_pod_cidr, store},
};

/// Action `kubernetes.worker.find`: finds the traces of a worker in the cluster, for its removal.
pub(crate) struct WorkerFind(pub(crate) Arc<KubeClient>);

/// The worker to find.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkerFindInput {
    /// Name of the worker.
    name: String,
    /// True if the machine is permanently gone. Refused if the node is ready, because then the
    /// machine is not gone.
    #[serde(default)]
    host_is_gone: bool,
}

/// Traces of the worker in the cluster.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WorkerFindOutput {
    /// Name of its site, if the worker is registered.
    pub site: Option<String>,
    /// Pod CIDR of the worker, if it has one.
    pub pod_cidr: Option<Prefix>,
    /// SSH access: one entry if the worker is registered and its machine is not gone, else none.
    pub hosts: Vec<SshHost>,
    /// True if the worker is a node of the cluster.
    pub is_node: bool,
    /// Virtual machine in Azure: one entry if the worker and its site are registered and the site
    /// is in Azure, else none.
    pub machines: Vec<AzureMachine>,
}

/// A virtual machine in Azure, with the properties that identify it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AzureMachine {
    /// Name of its resource group.
    pub resource_group: String,
    /// SSH host key of the machine.
    pub host_key: String,
    /// Address in the subnet of the site.
    #[schemars(with = "String")]
    pub private_ip: Ipv4Addr,
}

/// Objects of the cluster under the worker's name.
struct WorkerTraces {
    inventory: Inventory,
    node: Option<Value>,
    registry: PodCidrRegistry,
}

impl WorkerFind {
    async fn read(&self, cx: &ActionContext, name: &str) -> Result<WorkerTraces, ActionError> {
        Ok(WorkerTraces {
            inventory: Inventory::read(&self.0, cx).await?,
            node: self.0.get(cx, &NODES, ObjectName::cluster(name)?).await?,
            registry: store::read(&self.0, cx).await?.registry,
        })
    }
}

impl WorkerTraces {
    /// Refuses names that are not those of a datacenter's worker.
    fn check(&self, input: &WorkerFindInput) -> Result<(), ActionError> {
        let WorkerFindInput { name, host_is_gone } = input;
        self.inventory.check_server(name)?;
        let server = self.inventory.servers.get(name);
        if server.is_some_and(|server| server.role == MachineRole::Router) {
            return Err(ActionError::permanent(format!("{name:?} is a router: its site is reached through it"))
                .with_hint("name one of the site's workers"));
        }
        if self.node.as_ref().is_some_and(is_managed) {
            return Err(ActionError::permanent(format!("node {name:?} is managed by AKS, not a datacenter's worker"))
                .with_hint("remove nodes of AKS with `az aks nodepool`"));
        }
        if *host_is_gone && self.node.as_ref().is_some_and(is_ready) {
            return Err(ActionError::permanent(format!("node {name:?} is ready, so its machine is not gone"))
                .with_hint("leave `host_is_gone` out, or wait until the node is not ready"));
        }
        if server.is_some() || self.node.is_some() || self.has_had_pod_cidr(name) {
            return Ok(());
        }
        let known: Vec<&str> = self.inventory.worker_names().map(String::as_str).collect();
        Err(ActionError::permanent(format!("no worker {name:?} is registered, and none was removed under this name"))
            .with_hint(format!("registered are: {}", if known.is_empty() { "none".into() } else { known.join(", ") })))
    }

    fn has_had_pod_cidr(&self, name: &str) -> bool {
        pod_cidr_of(&self.registry, name).or(released_pod_cidr(&self.registry, name)).is_some()
    }

    fn machine(&self, name: &str) -> Option<AzureMachine> {
        let server = self.inventory.servers.get(name)?;
        let azure = self.inventory.sites.get(&server.site)?.azure.as_ref()?;
        let (resource_group, host_key) = (azure.resource_group.clone(), server.ssh.host_key.clone());
        Some(AzureMachine { resource_group, host_key, private_ip: server.ip })
    }

    fn output(&self, input: &WorkerFindInput) -> WorkerFindOutput {
        let server = self.inventory.servers.get(&input.name);
        let registered = server.and_then(|server| server.pod_cidr);
        let host = server.filter(|_| !input.host_is_gone).map(|server| ssh_host(&self.inventory, server));
        WorkerFindOutput {
            site: server.map(|server| server.site.clone()),
            pod_cidr: registered.or_else(|| pod_cidr_of(&self.registry, &input.name)),
            hosts: host.into_iter().collect(),
            is_node: self.node.is_some(),
            machines: self.machine(&input.name).into_iter().collect(),
        }
    }
}

impl Action for WorkerFind {
    type Input = WorkerFindInput;
    type Output = WorkerFindOutput;
    const NAME: &'static str = "kubernetes.worker.find";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Finds the traces of a worker in the cluster, and refuses names of other machines.";

    async fn run(&self, cx: &ActionContext, input: &WorkerFindInput) -> Result<WorkerFindOutput, ActionError> {
        let traces = self.read(cx, &input.name).await?;
        traces.check(input)?;
        Ok(traces.output(input))
    }

    async fn preview(&self, cx: &ActionContext, input: &WorkerFindInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for WorkerFind {
    const PERMISSIONS: &'static [Permission] = &[
        permission("list sites.stargate.io"),
        permission("list servers.stargate.io"),
        permission("get nodes"),
        permission("get configmaps/stargate-pod-cidrs -n kube-system"),
    ];
}
