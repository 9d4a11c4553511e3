use std::{fmt, iter::once, net::Ipv4Addr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::Prefix;
use stargate_kubernetes_client::{KubeClient, permission};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::inventory::{
    AdvertisedUnit, AzureSiteNames, FabricType, InvalidObject, Inventory, MachineRole, ServerSpec, SiteSpec, SiteType,
    SshHost, ssh_host,
};

/// Action `kubernetes.inventory.read`: reads all registered sites, routers and workers.
pub(crate) struct InventoryRead(pub(crate) Arc<KubeClient>);

/// No input: the whole inventory is read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InventoryReadInput {}

/// The registered sites and machines. All lists are sorted by site, and by machine within a site.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InventoryReadOutput {
    /// Site of the cluster.
    pub aks: RegisteredAksSite,
    /// Recorded unit in which the datacenters' pod CIDRs are advertised.
    pub strategy: AdvertisedUnit,
    /// The datacenters, in the form of the input of `routes.desired.compute`.
    pub sites: Vec<DatacenterSite>,
    /// Resources of the datacenters that are in Azure.
    pub azure_sites: Vec<AzureSite>,
    /// Routers of all sites.
    pub routers: Vec<RegisteredRouter>,
    /// Workers of all datacenters.
    pub workers: Vec<RegisteredWorker>,
    /// Routers and workers of the datacenters that are one Ethernet segment each. There, the
    /// kernels of the machines have the routes.
    pub segment_machines: Vec<SegmentMachine>,
    /// Objects that cannot be used, such as a site whose router is not registered. They and their
    /// machines are in no other list.
    #[serde(default)]
    pub invalid: Vec<InvalidRegistration>,
    /// Names of the sites that are being removed. They and their machines are in no other list.
    #[serde(default)]
    pub leaving: Vec<String>,
    /// Node ids of the routers of these sites in the tailnet.
    #[serde(default)]
    pub leaving_devices: Vec<String>,
}

/// Registered object that cannot be used.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InvalidRegistration {
    /// Kind of the object: `Site` or `Server`.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Reason for which it cannot be used.
    pub reason: String,
}

/// Site of the cluster.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RegisteredAksSite {
    /// Name of the site.
    pub name: String,
    /// Subnet of its router.
    pub router_subnet: Prefix,
    /// Address space of its virtual network.
    pub virtual_network: Vec<Prefix>,
    /// Router of the site.
    pub router: MachineAddress,
    /// Prefixes of datacenters behind the router that are not registered as sites.
    pub datacenter_prefixes: Vec<Prefix>,
}

/// A machine and its address.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MachineAddress {
    /// Name of the machine.
    pub name: String,
    /// Address in the subnet of its site.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
}

/// A datacenter with its router and workers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DatacenterSite {
    /// Name of the site.
    pub name: String,
    /// Network between the machines of the site.
    pub fabric: FabricType,
    /// Subnet of its router and workers.
    pub subnet: Prefix,
    /// Address space of its virtual network.
    pub virtual_network: Vec<Prefix>,
    /// Site pod CIDR: prefix from which pod CIDRs of its workers are allocated.
    pub pod_block: Prefix,
    /// Router of the site.
    pub router: MachineAddress,
    /// Workers of the site.
    pub workers: Vec<WorkerAddress>,
}

/// A worker with its address and pod CIDR.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WorkerAddress {
    /// Name of the worker.
    pub name: String,
    /// Address in the subnet of its site.
    #[schemars(with = "String")]
    pub internal_ip: Ipv4Addr,
    /// Pod CIDR of the worker.
    pub pod_cidr: Prefix,
}

/// Resources in Azure of a datacenter.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AzureSite {
    /// Name of the site.
    pub name: String,
    /// Name of its resource group.
    pub resource_group: String,
    /// Azure region, such as `westeurope`.
    pub location: String,
    /// Name of its virtual network.
    pub virtual_network: String,
    /// Name of the subnet of router and workers.
    pub subnet: String,
    /// Name of the route table of the subnet.
    pub route_table: String,
    /// Names of router and workers.
    pub machines: Vec<String>,
    /// Addresses of router and workers in the subnet, in the order of `machines`.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<Ipv4Addr>,
}

/// A router with its addresses and SSH access.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RegisteredRouter {
    /// Name of the router.
    pub name: String,
    /// Name of its site.
    pub site: String,
    /// Type of its site.
    #[serde(rename = "type")]
    pub kind: SiteType,
    /// Address in the subnet of its site.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
    /// Node id in the tailnet.
    pub node_id: String,
    /// Address in the tailnet.
    #[schemars(with = "String")]
    pub tailscale_ip: Ipv4Addr,
    /// SSH access to the router.
    pub host: SshHost,
}

/// A worker with its address, pod CIDR and SSH access.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RegisteredWorker {
    /// Name of the worker.
    pub name: String,
    /// Name of its site.
    pub site: String,
    /// Address in the subnet of its site.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
    /// Pod CIDR of the worker.
    pub pod_cidr: Prefix,
    /// SSH access, through the router of the site.
    pub host: SshHost,
}

/// A machine on an Ethernet segment.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SegmentMachine {
    /// Name of the machine.
    pub name: String,
    /// Name of its site.
    pub site: String,
    /// Role of the machine.
    pub role: MachineRole,
    /// Address on the segment.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
    /// SSH access; to a worker through the router of the site.
    pub host: SshHost,
}

impl Action for InventoryRead {
    type Input = InventoryReadInput;
    type Output = InventoryReadOutput;
    const NAME: &'static str = "kubernetes.inventory.read";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads the sites, routers and workers that are registered in the cluster.";

    async fn run(&self, cx: &ActionContext, _: &InventoryReadInput) -> Result<InventoryReadOutput, ActionError> {
        output(&Inventory::read(&self.0, cx).await?)
    }

    async fn preview(&self, cx: &ActionContext, input: &InventoryReadInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for InventoryRead {
    const PERMISSIONS: &'static [Permission] =
        &[permission("list sites.stargate.io"), permission("list servers.stargate.io")];
}

fn output(inventory: &Inventory) -> Result<InventoryReadOutput, ActionError> {
    let (name, aks) = inventory.aks()?;
    let aks = RegisteredAksSite {
        name: name.clone(),
        router_subnet: aks.subnet,
        virtual_network: aks.virtual_network.clone(),
        router: machine_address(inventory.router(aks)),
        datacenter_prefixes: aks.datacenter_prefixes.clone(),
    };
    let datacenters = || inventory.of_type(SiteType::Datacenter);
    Ok(InventoryReadOutput {
        aks,
        strategy: inventory.strategy,
        sites: datacenters().map(|(name, site)| datacenter(inventory, name, site)).collect(),
        azure_sites: datacenters()
            .filter_map(|(name, site)| Some(azure_site(inventory, name, site, site.azure.as_ref()?)))
            .collect(),
        routers: inventory.sites.iter().map(|(name, site)| router(inventory, name, site)).collect(),
        workers: datacenters().flat_map(|(name, _)| workers(inventory, name)).collect(),
        segment_machines: datacenters()
            .filter(|(_, site)| site.fabric == FabricType::L2)
            .flat_map(|(name, site)| segment_machines(inventory, name, site))
            .collect(),
        invalid: inventory.invalid.iter().map(InvalidRegistration::from).collect(),
        leaving: inventory.leaving.clone(),
        leaving_devices: inventory.leaving_devices.clone(),
    })
}

impl fmt::Display for InvalidRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.kind, self.name, self.reason)
    }
}

impl From<&InvalidObject> for InvalidRegistration {
    fn from(object: &InvalidObject) -> Self {
        Self { kind: object.kind.to_owned(), name: object.name.clone(), reason: object.reason.clone() }
    }
}

fn machine_address((name, server): (&String, &ServerSpec)) -> MachineAddress {
    MachineAddress { name: name.clone(), ip: server.ip }
}

fn datacenter(inventory: &Inventory, name: &str, site: &SiteSpec) -> DatacenterSite {
    let worker = |(name, server): (&String, &ServerSpec)| WorkerAddress {
        name: name.clone(),
        internal_ip: server.ip,
        pod_cidr: pod_cidr(server),
    };
    DatacenterSite {
        name: name.to_owned(),
        fabric: site.fabric,
        subnet: site.subnet,
        virtual_network: site.virtual_network.clone(),
        pod_block: site.pod_block.expect("a datacenter without a site pod CIDR is invalid"),
        router: machine_address(inventory.router(site)),
        workers: inventory.workers(name).map(worker).collect(),
    }
}

fn pod_cidr(worker: &ServerSpec) -> Prefix {
    worker.pod_cidr.expect("a worker without a pod CIDR is invalid")
}

/// Router and workers of a site, in this order.
fn machines<'a>(
    inventory: &'a Inventory,
    site_name: &'a str,
    site: &'a SiteSpec,
) -> impl Iterator<Item = (&'a String, &'a ServerSpec)> {
    once(inventory.router(site)).chain(inventory.workers(site_name))
}

fn azure_site(inventory: &Inventory, name: &str, site: &SiteSpec, azure: &AzureSiteNames) -> AzureSite {
    AzureSite {
        name: name.to_owned(),
        resource_group: azure.resource_group.clone(),
        location: azure.location.clone(),
        virtual_network: azure.virtual_network.clone(),
        subnet: azure.subnet.clone(),
        route_table: azure.route_table.clone(),
        machines: machines(inventory, name, site).map(|(name, _)| name.clone()).collect(),
        addresses: machines(inventory, name, site).map(|(_, server)| server.ip).collect(),
    }
}

fn segment_machines<'a>(
    inventory: &'a Inventory,
    site_name: &'a str,
    site: &'a SiteSpec,
) -> impl Iterator<Item = SegmentMachine> {
    machines(inventory, site_name, site).map(|(name, server)| SegmentMachine {
        name: name.clone(),
        site: site_name.to_owned(),
        role: server.role,
        ip: server.ip,
        host: ssh_host(inventory, server),
    })
}

fn router(inventory: &Inventory, site_name: &str, site: &SiteSpec) -> RegisteredRouter {
    let (name, server) = inventory.router(site);
    let in_tailnet = "a router that is not in the tailnet is invalid";
    RegisteredRouter {
        name: name.clone(),
        site: site_name.to_owned(),
        kind: site.kind,
        ip: server.ip,
        node_id: server.node_id.clone().expect(in_tailnet),
        tailscale_ip: server.tailscale_ip.expect(in_tailnet),
        host: ssh_host(inventory, server),
    }
}

fn workers<'a>(inventory: &'a Inventory, site_name: &'a str) -> impl Iterator<Item = RegisteredWorker> {
    inventory.workers(site_name).map(|(name, server)| RegisteredWorker {
        name: name.clone(),
        site: site_name.to_owned(),
        ip: server.ip,
        pod_cidr: pod_cidr(server),
        host: ssh_host(inventory, server),
    })
}
