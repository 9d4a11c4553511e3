use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inventory::{Inventory, Login, Role, Server};

/// How to log in to a machine, as the `ssh.*` actions take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "a host key is called so")]
pub(crate) struct Host {
    /// What is in front of the machine's port of SSH.
    pub address: String,
    /// The account.
    pub user: String,
    /// The machine's public key.
    pub host_key: String,
    /// The port, where it is not 22.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The host to go through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
}

/// A host on the way to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Via {
    /// What is in front of the machine's port of SSH.
    pub address: String,
    /// The account.
    pub user: String,
    /// The machine's public key.
    pub host_key: String,
    /// The port, where it is not 22.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// The way into a machine: to a worker through its site's router.
pub(crate) fn way_in(inventory: &Inventory, server: &Server) -> Host {
    let Login { address, user, host_key, port } = server.ssh.clone();
    let via = (server.role == Role::Worker).then(|| through(inventory, server));
    Host { address, user, host_key, port, via }
}

fn through(inventory: &Inventory, worker: &Server) -> Via {
    let site = inventory.sites.get(&worker.site).expect("a machine of an unknown site was refused");
    let Login { address, user, host_key, port } = inventory.router(site).1.ssh.clone();
    Via { address, user, host_key, port }
}
