use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission};

use crate::{
    actions::{
        route_table::RouteTableInput,
        subnet::{SUBNET, subnet_permissions},
        virtual_network::VirtualNetworkInput,
    },
    arm_resource::{ArmEnsure, ArmResource},
    client::{ArmClient, ArmObject, GroupName, NetworkName, Precondition, ResourceId, ResourceType, VnetName},
};

/// JSON pointer to the id of a subnet's route table; absent if it has none.
const TABLE_ID: &str = "/properties/routeTable/id";

/// Desired route table of a subnet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubnetAssociationInput {
    /// Resource group of the virtual network.
    resource_group: GroupName,
    /// Name of the virtual network.
    virtual_network: VnetName,
    /// Name of the subnet.
    subnet: NetworkName,
    /// Id of the route table.
    route_table_id: ResourceId,
    /// True if another route table may be replaced; its routes then no longer apply to the subnet.
    #[serde(default)]
    replace: bool,
}

/// Subnet with its route table.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubnetAssociationOutput {
    /// Id of the subnet.
    pub subnet_id: String,
    /// Id of the route table.
    pub route_table_id: String,
}

impl SubnetAssociationInput {
    /// Id of the virtual network, whose write lock a write of its subnet requires.
    fn network(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(VirtualNetworkInput::TYPE, &self.virtual_network)
    }
}

impl ArmEnsure for SubnetAssociationInput {
    type Actual = ArmObject;
    type Output = SubnetAssociationOutput;
    const NAME: &'static str = "azure.subnet.associate";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a subnet has a route table, and leaves the rest of it alone.";
    const TYPES: &'static [ResourceType] = &[SUBNET];

    fn permissions() -> Vec<Permission> {
        subnet_permissions()
    }

    async fn read(&self, cx: &ActionContext, arm: &ArmClient) -> Result<Option<ArmObject>, ActionError> {
        let id = self.network(arm).child(SUBNET, &self.subnet);
        let subnet = arm.get_settled(cx, &id).await?;
        subnet.map(Some).ok_or_else(|| ActionError::permanent("not found").context(id.label()))
    }

    fn diff(&self, _: &ArmClient, actual: Option<&ArmObject>) -> Result<Vec<Difference>, ActionError> {
        let table = &self.route_table_id;
        table.check_type("route_table_id", RouteTableInput::TYPE)?;
        let before = actual.and_then(|subnet| subnet.text(TABLE_ID));
        let difference = Difference::new("route table", before, table.to_string());
        match (before, actual.and_then(|subnet| subnet.id_at(TABLE_ID))) {
            (_, Some(id)) if id == *table => Ok(actual.and_then(ArmObject::failed_state).into_iter().collect()),
            (Some(other), _) if !self.replace => Err(other_table_error(self, other)),
            _ => Ok(vec![difference]),
        }
    }

    // Two locks: the write of the subnet refers to the route table, which ARM refuses to change
    // meanwhile.
    async fn apply(&self, cx: &ActionContext, arm: &ArmClient, _: Option<&ArmObject>) -> Result<(), ActionError> {
        let _guard = arm.lock_for_write(cx, &[&self.network(arm), &self.route_table_id]).await?;
        let Some(subnet) = self.read(cx, arm).await? else { return Ok(()) };
        if self.diff(arm, Some(&subnet))?.is_empty() {
            return Ok(());
        }
        let precondition = Precondition::unchanged(&subnet);
        let mut body = subnet.body;
        body["properties"]["routeTable"] = json!({ "id": self.route_table_id });
        arm.put(cx, &subnet.id, body, precondition).await
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &ArmClient,
        subnet: &ArmObject,
    ) -> Result<SubnetAssociationOutput, ActionError> {
        Ok(SubnetAssociationOutput { subnet_id: subnet.id(), route_table_id: subnet.required(TABLE_ID)?.into() })
    }

    fn certain(&self, arm: &ArmClient) -> Value {
        let subnet = self.network(arm).child(SUBNET, &self.subnet);
        json!({ "subnet_id": subnet.to_string(), "route_table_id": self.route_table_id.to_string() })
    }
}

/// Error of a subnet with another route table, which is replaced on demand only.
///
/// Replacing it would take its routes, such as that to an egress firewall, from the subnet's
/// machines.
fn other_table_error(desired: &SubnetAssociationInput, other: &str) -> ActionError {
    ActionError::permanent(format!("its route table is {other}, not {}", desired.route_table_id))
        .context(format_args!("subnet \"{}\"", desired.subnet))
        .with_hint(
            "name that table instead: stargate adds its routes to the existing ones (the input `workers_route_table` of the workflows \
             that ship); or set the action's `replace: true` to exchange it",
        )
}
