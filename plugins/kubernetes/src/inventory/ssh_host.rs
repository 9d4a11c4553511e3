use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Inventory, MachineRole, ServerSpec, registered::SshLogin};

/// SSH access to a machine, in the form of the input of the `ssh.*` actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SshHost {
    /// Address or name of the machine.
    pub address: String,
    /// Name of the account.
    pub user: String,
    /// Public key of the machine: type and base64, as in `known_hosts`.
    pub host_key: String,
    /// TCP port; absent for 22.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Jump host; absent for a machine that is reached directly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<JumpHost>,
}

/// A host through which another one is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct JumpHost {
    /// Address or name of the machine.
    pub address: String,
    /// Name of the account.
    pub user: String,
    /// Public key of the machine: type and base64, as in `known_hosts`.
    pub host_key: String,
    /// TCP port; absent for 22.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// SSH access to a machine: to a worker through the router of its site.
pub(crate) fn ssh_host(inventory: &Inventory, server: &ServerSpec) -> SshHost {
    if server.role == MachineRole::Router {
        return direct_host(server);
    }
    let site = inventory.sites.get(&server.site).expect("a machine of an unknown site is invalid");
    host_through(server, inventory.router(site).1)
}

/// SSH access to a machine without a jump host.
pub(crate) fn direct_host(server: &ServerSpec) -> SshHost {
    let SshLogin { address, user, host_key, port } = server.ssh.clone();
    SshHost { address, user, host_key, port, via: None }
}

/// SSH access to a machine through a router.
pub(crate) fn host_through(server: &ServerSpec, router: &ServerSpec) -> SshHost {
    let SshLogin { address, user, host_key, port } = router.ssh.clone();
    SshHost { via: Some(JumpHost { address, user, host_key, port }), ..direct_host(server) }
}
