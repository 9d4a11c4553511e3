use std::{net::Ipv4Addr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::Prefix;
use stargate_kubernetes_client::{KubeClient, permission};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::inventory::{Inventory, MachineRole, SshHost, ssh_host};

/// Action `kubernetes.server.read`: reads a registered worker.
pub(crate) struct ServerRead(pub(crate) Arc<KubeClient>);

/// The worker to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerReadInput {
    /// Name of its `Server` object.
    name: String,
}

/// The registered worker.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ServerReadOutput {
    /// Name of the worker.
    pub name: String,
    /// Name of its site.
    pub site: String,
    /// Role of the machine: `worker`.
    pub role: MachineRole,
    /// Address in the subnet of the site.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
    /// Pod CIDR of the worker.
    pub pod_cidr: Prefix,
    /// SSH access, through the router of the site.
    pub host: SshHost,
}

impl Action for ServerRead {
    type Input = ServerReadInput;
    type Output = ServerReadOutput;
    const NAME: &'static str = "kubernetes.server.read";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads a worker that is registered in the cluster.";

    async fn run(&self, cx: &ActionContext, input: &ServerReadInput) -> Result<ServerReadOutput, ActionError> {
        let inventory = Inventory::read(&self.0, cx).await?;
        let server = inventory.server(&input.name)?;
        let router_error = || ActionError::permanent(format!("Server {:?} is a router and has no pods", input.name));
        Ok(ServerReadOutput {
            name: input.name.clone(),
            site: server.site.clone(),
            role: server.role,
            ip: server.ip,
            pod_cidr: server.pod_cidr.ok_or_else(router_error)?,
            host: ssh_host(&inventory, server),
        })
    }

    async fn preview(&self, cx: &ActionContext, input: &ServerReadInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ServerRead {
    const PERMISSIONS: &'static [Permission] =
        &[permission("list sites.stargate.io"), permission("list servers.stargate.io")];
}
