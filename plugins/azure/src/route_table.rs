use azure_mgmt_network::package_2024_03::models::{
    Resource as NetworkResource, RouteTable as RouteTableModel, RouteTablePropertiesFormat,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    ArmClient, ResourceId,
    arm::Condition,
    body::body,
    live::Live,
    name::{GroupName, Location, NetworkName},
    permission::{NETWORK_OPERATIONS, arm},
};

pub(crate) const ROUTE_TABLE: &str = "Microsoft.Network/routeTables";

/// `azure.route_table.ensure`.
pub(crate) struct RouteTable(pub(crate) ArmClient);

/// How a route table is to be. Its routes are not spoken of: each is a matter of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteTableInput {
    /// Resource group of the route table.
    resource_group: GroupName,
    /// Name of the route table.
    name: NetworkName,
    /// Its region.
    location: Location,
}

/// A route table.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RouteTableOutput {
    /// Resource id.
    pub id: String,
    /// Name of the route table.
    pub name: String,
}

impl RouteTable {
    fn id(&self, wanted: &RouteTableInput) -> ResourceId {
        self.0.group(&wanted.resource_group).resource(ROUTE_TABLE, &wanted.name)
    }
}

impl Resource for RouteTable {
    type Desired = RouteTableInput;
    type Actual = Live;
    type Output = RouteTableOutput;
    const NAME: &'static str = "azure.route_table.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a route table exists, and leaves its routes alone.";

    async fn read(&self, cx: &ActionContext, wanted: &RouteTableInput) -> Result<Option<Live>, ActionError> {
        self.0.get_settled(cx, &self.id(wanted)).await
    }

    fn diff(&self, wanted: &RouteTableInput, actual: Option<&Live>) -> Result<Vec<Difference>, ActionError> {
        let Some(live) = actual else {
            return Ok(vec![Difference::missing(self.id(wanted).label(), wanted.location.as_str())]);
        };
        live.check_location(&wanted.location)?;
        Ok(live.failed_state().into_iter().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &RouteTableInput,
        _: Option<&Live>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let id = self.id(wanted);
        let _writer = self.0.hold(cx, &[&id]).await?;
        // Read again: a PUT of a table replaces its routes, and one may have been added while this step waited.
        match self.read(cx, wanted).await? {
            None => self.0.put(cx, &id, new(wanted), Some(Condition::Absent)).await,
            Some(live) if live.has_failed() => {
                let condition = Condition::unchanged(&live);
                self.0.put(cx, &id, live.body, condition).await
            }
            Some(_) => Ok(()),
        }
    }

    fn output(&self, _: &ActionContext, _: &RouteTableInput, live: &Live) -> Result<RouteTableOutput, ActionError> {
        Ok(RouteTableOutput { id: live.id(), name: live.name().into() })
    }

    async fn resume(&self, cx: &ActionContext, _: &RouteTableInput, checkpoint: Value) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for RouteTable {
    const PERMISSIONS: &'static [Permission] =
        &[arm("Microsoft.Network/routeTables/read"), arm("Microsoft.Network/routeTables/write"), NETWORK_OPERATIONS];
}

fn new(wanted: &RouteTableInput) -> Value {
    body(&RouteTableModel {
        resource: NetworkResource { location: Some(wanted.location.to_string()), ..NetworkResource::default() },
        properties: Some(RouteTablePropertiesFormat::default()),
        etag: None,
    })
}
