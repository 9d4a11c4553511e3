use azure_mgmt_network::package_2024_03::models::{Resource, RouteTable, RouteTablePropertiesFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionError, Difference};

use crate::{
    arm_resource::ArmResource,
    client::{ArmClient, ArmObject, GroupName, Location, NetworkName, ResourceId, body},
};

/// Desired state of a route table. Its routes are resources of their own and are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteTableInput {
    /// Resource group of the route table.
    resource_group: GroupName,
    /// Name of the route table.
    name: NetworkName,
    /// Region of the route table.
    location: Location,
}

/// Route table in its desired state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RouteTableOutput {
    /// Id of the route table.
    pub id: String,
    /// Name of the route table.
    pub name: String,
}

impl ArmResource for RouteTableInput {
    type Output = RouteTableOutput;
    const NAME: &'static str = "azure.route_table.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a route table exists, and leaves its routes alone.";
    const KIND: &'static str = "Microsoft.Network/routeTables";
    const API_VERSION: &'static str = "2024-01-01";
    const NOUN: &'static str = "route table";

    fn id(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(Self::TYPE, &self.name)
    }

    // A PUT of a route table replaces its routes.
    fn lock(&self, id: &ResourceId) -> Option<ResourceId> {
        Some(id.clone())
    }

    fn essence(&self) -> String {
        self.location.to_string()
    }

    fn diff(&self, actual: &ArmObject) -> Result<Vec<Difference>, ActionError> {
        actual.check_location(&self.location).map(|()| Vec::new())
    }

    fn body(&self) -> Value {
        body(&RouteTable {
            resource: Resource { location: Some(self.location.to_string()), ..Resource::default() },
            properties: Some(RouteTablePropertiesFormat::default()),
            etag: None,
        })
    }

    fn update(&self, _: &mut ArmObject) {}

    fn output(actual: &ArmObject) -> Result<RouteTableOutput, ActionError> {
        Ok(RouteTableOutput { id: actual.id(), name: actual.name().into() })
    }
}
