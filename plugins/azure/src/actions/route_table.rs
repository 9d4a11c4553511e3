use azure_mgmt_network::package_2024_03::models::{RouteTable, RouteTablePropertiesFormat};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use stargate_sdk::{ActionError, Difference};

use crate::{
    arm_resource::{ArmResource, ResourceOutput},
    client::{ArmClient, ArmObject, GroupName, Location, NetworkName, Owner, ResourceId, ResourceType, body},
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
    /// Owner of the resource, if this step creates it. `azure.resources.delete` deletes the
    /// resources of an owner.
    #[serde(default)]
    owner: Option<Owner>,
}

impl ArmResource for RouteTableInput {
    type Output = ResourceOutput;
    const NAME: &'static str = "azure.route_table.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a route table exists, and leaves its routes alone.";
    const TYPE: ResourceType = ResourceType::new("Microsoft.Network/routeTables", "2024-01-01", "route table");

    fn id(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(Self::TYPE, &self.name)
    }

    // A PUT of a route table replaces its routes.
    fn lock(&self, id: &ResourceId) -> Option<ResourceId> {
        Some(id.clone())
    }

    fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    fn essence(&self) -> String {
        self.location.to_string()
    }

    fn diff(&self, actual: &ArmObject) -> Result<Vec<Difference>, ActionError> {
        actual.check_location(&self.location).map(|()| Vec::new())
    }

    fn immutable(&self, actual: &ArmObject) -> Vec<Difference> {
        actual.location_difference(&self.location).into_iter().collect()
    }

    fn body(&self) -> Value {
        body(&RouteTable {
            resource: body::in_location(&self.location),
            properties: Some(RouteTablePropertiesFormat::default()),
            etag: None,
        })
    }

    fn update(&self, _: &mut ArmObject) {}

    fn output(actual: &ArmObject) -> Result<ResourceOutput, ActionError> {
        Ok(actual.into())
    }
}
