//! Sites, routers and workers that are registered in the cluster as `Site` and `Server` objects.

mod registered;
mod ssh_host;

pub(crate) use registered::{
    AzureSiteNames, FabricType, InvalidObject, Inventory, MachineRole, ServerSpec, SiteSpec, SiteType,
};
pub(crate) use ssh_host::{SshHost, ssh_host};
