use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    ArmClient, ResourceId,
    arm::Condition,
    live::Live,
    name::{GroupName, NetworkName, VnetName},
    permission::{NETWORK_OPERATIONS, arm},
    route_table::ROUTE_TABLE,
    virtual_network::NETWORK,
};

const TABLE_ID: &str = "/properties/routeTable/id";

/// `azure.subnet.associate`.
pub(crate) struct SubnetAssociation(pub(crate) ArmClient);

/// Which route table a subnet is to follow.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubnetAssociationInput {
    /// Resource group of the virtual network.
    resource_group: GroupName,
    /// Name of the virtual network.
    virtual_network: VnetName,
    /// Name of the subnet.
    subnet: NetworkName,
    /// The route table.
    route_table_id: ResourceId,
    /// Whether another route table may be replaced: all its routes then no longer count for the subnet.
    #[serde(default)]
    replace: bool,
}

/// A subnet that follows a route table.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubnetAssociationOutput {
    /// Resource id of the subnet.
    pub subnet_id: String,
    /// Resource id of the route table.
    pub route_table_id: String,
}

impl SubnetAssociation {
    fn network(&self, wanted: &SubnetAssociationInput) -> ResourceId {
        self.0.group(&wanted.resource_group).resource(NETWORK, &wanted.virtual_network)
    }
}

impl Resource for SubnetAssociation {
    type Desired = SubnetAssociationInput;
    type Actual = Live;
    type Output = SubnetAssociationOutput;
    const NAME: &'static str = "azure.subnet.associate";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a subnet follows a route table, and leaves the rest of it alone.";

    async fn read(&self, cx: &ActionContext, wanted: &SubnetAssociationInput) -> Result<Option<Live>, ActionError> {
        let id = self.network(wanted).child("subnets", &wanted.subnet);
        let subnet = self.0.get_settled(cx, &id).await?;
        subnet.map(Some).ok_or_else(|| ActionError::permanent("not found").context(id.label()))
    }

    fn diff(&self, wanted: &SubnetAssociationInput, actual: Option<&Live>) -> Result<Vec<Difference>, ActionError> {
        let table = &wanted.route_table_id;
        if !table.is(ROUTE_TABLE) {
            return Err(ActionError::permanent(format!("route_table_id is {table}, which is no route table")));
        }
        let before = actual.and_then(|subnet| subnet.text(TABLE_ID));
        let difference = Difference::new("route table", before, table.to_string());
        match (before, actual.and_then(|subnet| subnet.id_at(TABLE_ID))) {
            (_, Some(id)) if id == *table => Ok(actual.and_then(Live::failed_state).into_iter().collect()),
            (Some(other), _) if !wanted.replace => Err(another_table(wanted, other)),
            _ => Ok(vec![difference]),
        }
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &SubnetAssociationInput,
        _: Option<&Live>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let _writer = self.0.hold(cx, &[&self.network(wanted), &wanted.route_table_id]).await?;
        let Some(subnet) = self.read(cx, wanted).await? else { return Ok(()) };
        if self.diff(wanted, Some(&subnet))?.is_empty() {
            return Ok(());
        }
        let condition = Condition::unchanged(&subnet);
        let mut body = subnet.body;
        body["properties"]["routeTable"] = json!({ "id": wanted.route_table_id });
        self.0.put(cx, &subnet.id, body, condition).await
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &SubnetAssociationInput,
        subnet: &Live,
    ) -> Result<SubnetAssociationOutput, ActionError> {
        Ok(SubnetAssociationOutput { subnet_id: subnet.id(), route_table_id: subnet.required(TABLE_ID)?.into() })
    }

    async fn resume(
        &self,
        cx: &ActionContext,
        _: &SubnetAssociationInput,
        checkpoint: Value,
    ) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for SubnetAssociation {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Network/virtualNetworks/subnets/read"),
        arm("Microsoft.Network/virtualNetworks/subnets/write"),
        arm("Microsoft.Network/routeTables/join/action"),
        arm("Microsoft.Network/networkSecurityGroups/join/action"),
        arm("Microsoft.Network/natGateways/join/action"),
        NETWORK_OPERATIONS,
    ];
}

fn another_table(wanted: &SubnetAssociationInput, other: &str) -> ActionError {
    ActionError::permanent(format!("it follows route table {other}, not {}", wanted.route_table_id))
        .context(format_args!("subnet \"{}\"", wanted.subnet))
        .with_hint(
            "name that table instead: routes are added to it beside its own (the input `workers_route_table` of the workflows \
             that ship); or set the action's `replace: true` to exchange it",
        )
}
