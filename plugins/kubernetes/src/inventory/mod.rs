//! Sites, routers and workers that are registered in the cluster as `Site` and `Server` objects.

mod advertised_unit;
mod definitions;
mod registered;
mod ssh_host;

pub(crate) use advertised_unit::{AdvertisedUnit, STRATEGY_ANNOTATION, aks_site_object};
pub(crate) use definitions::check_definitions;
pub(crate) use registered::{
    AzureSiteNames, FabricType, InvalidObject, Inventory, MachineRole, ServerSpec, SiteSpec, SiteType,
};
pub(crate) use ssh_host::{SshHost, direct_host, host_through, ssh_host};
