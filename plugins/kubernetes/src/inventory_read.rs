use std::{net::Ipv4Addr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    api::Api,
    host::{Host, way_in},
    inventory::{AzureNames, Fabric, Inventory, Role, Server, Site, SiteType},
    permission::may,
    prefix::Prefix,
};

/// `kubernetes.inventory.read`.
pub(crate) struct InventoryRead(pub(crate) Arc<Api>);

/// Nothing to say: all there is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InventoryInput {}

/// The sites and machines that are registered. Every list is in the order of names.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InventoryOutput {
    /// The cluster's own side.
    pub aks: AksSide,
    /// The datacenters, as `routes.desired.compute` takes them.
    pub sites: Vec<DatacenterOutput>,
    /// Where the resources of datacenters in Azure are.
    pub azure_sites: Vec<AzureSite>,
    /// The router of every site.
    pub routers: Vec<RouterOutput>,
    /// Every worker.
    pub workers: Vec<WorkerOutput>,
    /// Router and workers of datacenters that are one Ethernet segment each: there, the machines' own kernels route.
    pub segment_machines: Vec<SegmentMachine>,
}

/// A machine on an Ethernet segment.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SegmentMachine {
    /// Its name.
    pub name: String,
    /// Name of its site.
    pub site: String,
    /// What it is for.
    pub role: Role,
    /// Its address on the segment.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
    /// How to log in; to a worker through the site's router.
    pub host: Host,
}

/// The cluster's own side.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AksSide {
    /// Name of the site.
    pub name: String,
    /// Subnet of its router.
    pub router_subnet: Prefix,
    /// Address space of its virtual network.
    pub virtual_network: Vec<Prefix>,
    /// Its router.
    pub router: Machine,
}

/// A machine and its address in its site's subnet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Machine {
    /// Its name.
    pub name: String,
    /// Its address.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
}

/// A datacenter.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DatacenterOutput {
    /// Name of the site.
    pub name: String,
    /// What carries packets inside it.
    pub fabric: Fabric,
    /// Subnet of its router and workers.
    pub subnet: Prefix,
    /// Address space of its virtual network.
    pub virtual_network: Vec<Prefix>,
    /// What its workers' pod blocks are from.
    pub pod_block: Prefix,
    /// Its router.
    pub router: Machine,
    /// Its workers.
    pub workers: Vec<Worker>,
}

/// A worker's address and pod block.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Worker {
    /// Its name.
    pub name: String,
    /// Its address.
    #[schemars(with = "String")]
    pub internal_ip: Ipv4Addr,
    /// Its pod block.
    pub pod_cidr: Prefix,
}

/// Where the resources of a datacenter in Azure are.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AzureSite {
    /// Name of the site.
    pub name: String,
    /// Its resource group.
    pub resource_group: String,
    /// Its region.
    pub location: String,
    /// Its virtual network.
    pub virtual_network: String,
    /// The subnet of router and workers.
    pub subnet: String,
    /// The subnet's route table.
    pub route_table: String,
    /// Names of router and workers.
    pub machines: Vec<String>,
    /// Their addresses in the subnet, in the same order.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<Ipv4Addr>,
}

/// A router.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RouterOutput {
    /// Its name.
    pub name: String,
    /// Name of its site.
    pub site: String,
    /// What kind of side that is.
    #[serde(rename = "type")]
    pub kind: SiteType,
    /// Its address in the site's subnet.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
    /// Its stable id in the tailnet.
    pub node_id: String,
    /// Its address in the tailnet.
    #[schemars(with = "String")]
    pub tailscale_ip: Ipv4Addr,
    /// How to log in.
    pub host: Host,
}

/// A worker.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WorkerOutput {
    /// Its name.
    pub name: String,
    /// Name of its site.
    pub site: String,
    /// Its address in the site's subnet.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
    /// Its pod block.
    pub pod_cidr: Prefix,
    /// How to log in, through the site's router.
    pub host: Host,
}

impl Action for InventoryRead {
    type Input = InventoryInput;
    type Output = InventoryOutput;
    const NAME: &'static str = "kubernetes.inventory.read";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads which sites, routers and workers are registered in the cluster.";

    async fn run(&self, cx: &ActionContext, _: &InventoryInput) -> Result<InventoryOutput, ActionError> {
        told(&Inventory::read(&self.0, cx).await?)
    }

    async fn preview(&self, cx: &ActionContext, input: &InventoryInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for InventoryRead {
    const PERMISSIONS: &'static [Permission] = &[may("list sites.stargate.io"), may("list servers.stargate.io")];
}

fn told(inventory: &Inventory) -> Result<InventoryOutput, ActionError> {
    let (name, own) = inventory.aks()?;
    let aks = AksSide {
        name: name.clone(),
        router_subnet: own.subnet,
        virtual_network: own.virtual_network.clone(),
        router: machine(inventory.router(own)),
    };
    let datacenters = || inventory.of_kind(SiteType::Datacenter);
    Ok(InventoryOutput {
        aks,
        sites: datacenters().map(|(name, site)| datacenter(inventory, name, site)).collect(),
        azure_sites: datacenters()
            .filter_map(|(name, site)| Some(azure_site(inventory, name, site, site.azure.as_ref()?)))
            .collect(),
        routers: inventory.sites.iter().map(|(name, site)| router(inventory, name, site)).collect(),
        workers: datacenters().flat_map(|(name, _)| workers(inventory, name)).collect(),
        segment_machines: datacenters()
            .filter(|(_, site)| site.fabric == Fabric::L2)
            .flat_map(|(name, site)| segment(inventory, name, site))
            .collect(),
    })
}

fn machine((name, server): (&String, &Server)) -> Machine {
    Machine { name: name.clone(), ip: server.ip }
}

fn datacenter(inventory: &Inventory, name: &str, site: &Site) -> DatacenterOutput {
    let worker = |(name, server): (&String, &Server)| Worker {
        name: name.clone(),
        internal_ip: server.ip,
        pod_cidr: block_of(server),
    };
    DatacenterOutput {
        name: name.to_owned(),
        fabric: site.fabric,
        subnet: site.subnet,
        virtual_network: site.virtual_network.clone(),
        pod_block: site.pod_block.expect("a datacenter without a pod block was refused"),
        router: machine(inventory.router(site)),
        workers: inventory.workers(name).map(worker).collect(),
    }
}

fn block_of(worker: &Server) -> Prefix {
    worker.pod_cidr.expect("a worker without a pod block was refused")
}

fn azure_site(inventory: &Inventory, name: &str, site: &Site, names: &AzureNames) -> AzureSite {
    let machines = || std::iter::once(inventory.router(site)).chain(inventory.workers(name));
    AzureSite {
        name: name.to_owned(),
        resource_group: names.resource_group.clone(),
        location: names.location.clone(),
        virtual_network: names.virtual_network.clone(),
        subnet: names.subnet.clone(),
        route_table: names.route_table.clone(),
        machines: machines().map(|(name, _)| name.clone()).collect(),
        addresses: machines().map(|(_, server)| server.ip).collect(),
    }
}

fn segment<'a>(
    inventory: &'a Inventory,
    site_name: &'a str,
    site: &'a Site,
) -> impl Iterator<Item = SegmentMachine> + 'a {
    let machines = std::iter::once(inventory.router(site)).chain(inventory.workers(site_name));
    machines.map(|(name, server)| SegmentMachine {
        name: name.clone(),
        site: site_name.to_owned(),
        role: server.role,
        ip: server.ip,
        host: way_in(inventory, server),
    })
}

fn router(inventory: &Inventory, site_name: &str, site: &Site) -> RouterOutput {
    let (name, server) = inventory.router(site);
    let in_tailnet = "a router that is not in the tailnet was refused";
    RouterOutput {
        name: name.clone(),
        site: site_name.to_owned(),
        kind: site.kind,
        ip: server.ip,
        node_id: server.node_id.clone().expect(in_tailnet),
        tailscale_ip: server.tailscale_ip.expect(in_tailnet),
        host: way_in(inventory, server),
    }
}

fn workers<'a>(inventory: &'a Inventory, site_name: &'a str) -> impl Iterator<Item = WorkerOutput> + 'a {
    inventory.workers(site_name).map(|(name, server)| WorkerOutput {
        name: name.clone(),
        site: site_name.to_owned(),
        ip: server.ip,
        pod_cidr: block_of(server),
        host: way_in(inventory, server),
    })
}
