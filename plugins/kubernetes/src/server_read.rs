use std::{net::Ipv4Addr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    api::Api,
    host::{Host, way_in},
    inventory::{Inventory, Role},
    permission::may,
    prefix::Prefix,
};

/// `kubernetes.server.read`.
pub(crate) struct ServerRead(pub(crate) Arc<Api>);

/// Which worker.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerInput {
    /// Name of its Server object.
    name: String,
}

/// A worker.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ServerOutput {
    /// Its name.
    pub name: String,
    /// Name of its site.
    pub site: String,
    /// What it is for: `worker`.
    pub role: Role,
    /// Its address in the site's subnet.
    #[schemars(with = "String")]
    pub ip: Ipv4Addr,
    /// Its pod block.
    pub pod_cidr: Prefix,
    /// How to log in, through the site's router.
    pub host: Host,
}

impl Action for ServerRead {
    type Input = ServerInput;
    type Output = ServerOutput;
    const NAME: &'static str = "kubernetes.server.read";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads what is registered of a worker.";

    async fn run(&self, cx: &ActionContext, input: &ServerInput) -> Result<ServerOutput, ActionError> {
        let inventory = Inventory::read(&self.0, cx).await?;
        let server = inventory.server(&input.name)?;
        let no_worker = || ActionError::permanent(format!("Server {:?} is a router and has no pods", input.name));
        Ok(ServerOutput {
            name: input.name.clone(),
            site: server.site.clone(),
            role: server.role,
            ip: server.ip,
            pod_cidr: server.pod_cidr.ok_or_else(no_worker)?,
            host: way_in(&inventory, server),
        })
    }

    async fn preview(&self, cx: &ActionContext, input: &ServerInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ServerRead {
    const PERMISSIONS: &'static [Permission] = &[may("list sites.stargate.io"), may("list servers.stargate.io")];
}
