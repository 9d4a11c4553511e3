use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_kubernetes_client::{
    KubeClient, NODES, SERVERS, SITES,
    json::{name, text},
    permission,
};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    actions::worker_find::AzureMachine,
    inventory::{MachineRole, ServerSpec, SiteType, SshHost, direct_host, host_through},
    node::is_ready,
    pod_cidr::store,
};

/// Action `kubernetes.site.find`: finds the traces of a site in the cluster, for its removal.
///
/// A site that is registered in part, because a run was interrupted, is found as well.
pub(crate) struct SiteFind(pub(crate) Arc<KubeClient>);

/// The site to find.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteFindInput {
    /// Name of the site. A site that is not registered has no traces.
    name: String,
    /// Type that the site must have.
    #[serde(rename = "type")]
    kind: SiteType,
    /// True if the machines are permanently gone. Refused if a node of the site is ready.
    #[serde(default)]
    machines_are_gone: bool,
}

/// Traces of the site in the cluster.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SiteFindOutput {
    /// True if the site is registered.
    pub registered: bool,
    /// Subnet of its router, if the site is registered.
    pub subnet: Option<String>,
    /// Names of all registered machines of the site.
    pub servers: Vec<String>,
    /// Workers of the site.
    pub workers: Vec<SiteWorker>,
    /// Devices of the site's routers in the tailnet.
    pub devices: Vec<SiteDevice>,
    /// Machines that are kept, in the order in which they are left: workers, then routers. Empty
    /// for a site in Azure, whose machines are deleted, and if the machines are gone.
    pub kept_machines: Vec<KeptMachine>,
    /// Resources in Azure: one entry if the site has any, else none.
    pub azure: Vec<SiteResources>,
    /// Names of the workers for which a pod CIDR is recorded; also of those that are not
    /// registered.
    pub with_pod_cidrs: Vec<String>,
    /// Names of the registered sites of type `datacenter`, without this one.
    pub other_datacenters: Vec<String>,
    /// One line if the site is not registered, else none.
    pub warnings: Vec<String>,
}

/// Worker of the site.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SiteWorker {
    /// Name of the worker.
    pub name: String,
    /// True if the worker is a node of the cluster.
    pub is_node: bool,
    /// Virtual machine in Azure: one entry if the site is in Azure, else none.
    pub machines: Vec<AzureMachine>,
}

/// Device of a router in the tailnet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SiteDevice {
    /// Name of the router, which is the host name of the device.
    pub name: String,
    /// Node id of the device.
    pub node_id: String,
}

/// Machine of a site that is removed, which itself is kept.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct KeptMachine {
    /// Name of the machine.
    pub name: String,
    /// Role of the machine.
    pub role: MachineRole,
    /// SSH access, to a worker through the router of the site.
    pub host: SshHost,
}

/// Resources in Azure of a site.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SiteResources {
    /// Name of the resource group.
    pub resource_group: String,
    /// Name of the virtual network.
    pub virtual_network: String,
    /// Name of the subnet of router and workers.
    pub subnet: String,
    /// Prefix of that subnet.
    pub prefix: String,
}

/// Objects of the cluster from which the traces are found.
struct SiteTraces {
    sites: Vec<Value>,
    servers: BTreeMap<String, ServerSpec>,
    nodes: Vec<Value>,
    with_pod_cidrs: Vec<String>,
}

impl SiteFind {
    async fn read(&self, cx: &ActionContext, input: &SiteFindInput) -> Result<SiteTraces, ActionError> {
        let servers = self.0.list(cx, &SERVERS, None, None).await?.unwrap_or_default();
        let registry = store::read(&self.0, cx).await?.registry;
        Ok(SiteTraces {
            sites: self.0.list(cx, &SITES, None, None).await?.unwrap_or_default(),
            servers: servers_of(&servers, &input.name)?,
            nodes: self.0.list(cx, &NODES, None, None).await?.unwrap_or_default(),
            with_pod_cidrs: registry
                .get(&input.name)
                .into_iter()
                .flat_map(|site| site.allocations.keys().cloned())
                .collect(),
        })
    }
}

/// Registered machines of a site.
///
/// # Errors
/// `Permanent`, for an object that cannot be read.
fn servers_of(servers: &[Value], site: &str) -> Result<BTreeMap<String, ServerSpec>, ActionError> {
    let own = servers.iter().filter(|server| text(server, "/spec/site") == Some(site));
    own.map(|server| {
        let spec = ServerSpec::deserialize(&server["spec"]).map_err(|error| {
            ActionError::permanent(format!("Server {:?} of the cluster: spec: {error}", name(server)))
                .with_hint(format!("`kubectl delete servers.stargate.io {}` deletes it", name(server)))
        })?;
        Ok((name(server).to_owned(), spec))
    })
    .collect()
}

impl SiteTraces {
    fn site(&self, input: &SiteFindInput) -> Option<&Value> {
        self.sites.iter().find(|site| name(site) == input.name)
    }

    fn node(&self, worker: &str) -> Option<&Value> {
        self.nodes.iter().find(|node| name(node) == worker)
    }

    /// Refuses a site of another type, and machines that are not gone.
    fn check(&self, input: &SiteFindInput) -> Result<(), ActionError> {
        let kind = self.site(input).and_then(|site| SiteType::deserialize(&site["spec"]["type"]).ok());
        if let Some(kind) = kind.filter(|kind| *kind != input.kind) {
            let (actual, workflow) = match kind {
                SiteType::Aks => ("the cluster's own network", "remove-aks-router"),
                SiteType::Datacenter => ("a datacenter", "remove-site"),
            };
            return Err(ActionError::permanent(format!("site {:?} is {actual}", input.name))
                .with_hint(format!("`stargate run workflow {workflow}` removes it")));
        }
        let ready = self.workers().find(|(worker, _)| self.node(worker).is_some_and(is_ready));
        match ready.filter(|_| input.machines_are_gone) {
            None => Ok(()),
            Some((worker, _)) => {
                Err(ActionError::permanent(format!("node {worker:?} is ready, so its machine is not gone"))
                    .with_hint("leave `machines_are_gone` out, or wait until the nodes are not ready"))
            }
        }
    }

    fn workers(&self) -> impl Iterator<Item = (&String, &ServerSpec)> {
        self.servers.iter().filter(|(_, server)| server.role == MachineRole::Worker)
    }

    fn routers(&self) -> impl Iterator<Item = (&String, &ServerSpec)> {
        self.servers.iter().filter(|(_, server)| server.role == MachineRole::Router)
    }

    fn resources(&self, input: &SiteFindInput) -> Option<SiteResources> {
        let site = self.site(input)?;
        let part = |name: &str| Some(site["spec"]["azure"][name].as_str()?.to_owned());
        Some(SiteResources {
            resource_group: part("resourceGroup")?,
            virtual_network: part("virtualNetwork")?,
            subnet: part("subnet")?,
            prefix: text(site, "/spec/subnet")?.to_owned(),
        })
    }

    fn kept_machines(&self) -> Vec<KeptMachine> {
        let jump = self.routers().next().map(|(_, router)| router);
        let worker = |(name, server): (&String, &ServerSpec)| KeptMachine {
            name: name.clone(),
            role: server.role,
            host: jump.map_or_else(|| direct_host(server), |jump| host_through(server, jump)),
        };
        let router = |(name, server): (&String, &ServerSpec)| KeptMachine {
            name: name.clone(),
            role: server.role,
            host: direct_host(server),
        };
        self.workers().map(worker).chain(self.routers().map(router)).collect()
    }

    /// Warning of a site that is not registered, with the names of those that are.
    fn warning(&self, input: &SiteFindInput) -> Option<String> {
        let known: Vec<&str> = self.sites.iter().map(name).collect();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        let is_missing = self.site(input).is_none();
        is_missing.then(|| format!("site {:?} is not registered in the cluster; registered are: {known}", input.name))
    }

    fn output(&self, input: &SiteFindInput) -> SiteFindOutput {
        let azure = self.resources(input);
        let worker = |(name, server): (&String, &ServerSpec)| SiteWorker {
            name: name.clone(),
            is_node: self.node(name).is_some(),
            machines: azure.iter().map(|azure| azure_machine(azure, server)).collect(),
        };
        let device = |(name, server): (&String, &ServerSpec)| {
            Some(SiteDevice { name: name.clone(), node_id: server.node_id.clone()? })
        };
        let is_other = |site: &&Value| name(site) != input.name && text(site, "/spec/type") == Some("datacenter");
        let keeps_machines = azure.is_none() && !input.machines_are_gone && input.kind == SiteType::Datacenter;
        SiteFindOutput {
            registered: self.site(input).is_some(),
            subnet: self.site(input).and_then(|site| text(site, "/spec/subnet")).map(str::to_owned),
            servers: self.servers.keys().cloned().collect(),
            workers: self.workers().map(worker).collect(),
            devices: self.routers().filter_map(device).collect(),
            kept_machines: if keeps_machines { self.kept_machines() } else { Vec::new() },
            with_pod_cidrs: self.with_pod_cidrs.clone(),
            other_datacenters: self.sites.iter().filter(is_other).map(|site| name(site).to_owned()).collect(),
            warnings: self.warning(input).into_iter().collect(),
            azure: azure.into_iter().collect(),
        }
    }
}

fn azure_machine(azure: &SiteResources, server: &ServerSpec) -> AzureMachine {
    AzureMachine {
        resource_group: azure.resource_group.clone(),
        host_key: server.ssh.host_key.clone(),
        private_ip: server.ip,
    }
}

impl Action for SiteFind {
    type Input = SiteFindInput;
    type Output = SiteFindOutput;
    const NAME: &'static str = "kubernetes.site.find";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Finds the traces of a site in the cluster, also of one that is registered in part.";

    async fn run(&self, cx: &ActionContext, input: &SiteFindInput) -> Result<SiteFindOutput, ActionError> {
        let traces = self.read(cx, input).await?;
        traces.check(input)?;
        Ok(traces.output(input))
    }

    async fn preview(&self, cx: &ActionContext, input: &SiteFindInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for SiteFind {
    const PERMISSIONS: &'static [Permission] = &[
        permission("list sites.stargate.io"),
        permission("list servers.stargate.io"),
        permission("list nodes"),
        permission("get configmaps/stargate-pod-cidrs -n kube-system"),
    ];
}
