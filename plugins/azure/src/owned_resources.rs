use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError, Permission};

use crate::{
    actions::{
        nat_gateway::NatGatewayInput, network_interface::NETWORK_INTERFACE, public_ip::PublicIpInput,
        route_table::RouteTableInput, security_group::SecurityGroupInput, virtual_machine::VIRTUAL_MACHINE,
        virtual_network::VirtualNetworkInput,
    },
    arm_resource::ArmResource,
    client::{ArmClient, ArmObject, GroupName, Owner, RESOURCE_GROUP, ResourceId, ResourceType},
    permission::{arm, on},
};

/// API version in which the resources of a group are listed.
const RESOURCES_VERSION: &str = "2024-07-01";

/// Types of the resources that this crate creates, in the order in which Azure lets them go: each
/// is used only by resources before it.
pub(crate) const TYPES: [ResourceType; 7] = [
    VIRTUAL_MACHINE,
    NETWORK_INTERFACE,
    VirtualNetworkInput::TYPE,
    SecurityGroupInput::TYPE,
    RouteTableInput::TYPE,
    NatGatewayInput::TYPE,
    PublicIpInput::TYPE,
];

/// Resources of an owner in a group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnedResourcesInput {
    /// Resource group of the resources.
    pub(crate) resource_group: GroupName,
    /// Owner for which they were created.
    pub(crate) owner: Owner,
    /// True if the group is deleted as well, provided that it was created for the owner and that
    /// nothing else is in it.
    #[serde(default)]
    pub(crate) delete_group: bool,
}

/// Resources of an owner in a group, and the group itself.
pub(crate) struct Owned {
    /// In the order in which they can be deleted.
    pub(crate) resources: Vec<ArmObject>,
    /// The group, if it is deleted once it is empty.
    pub(crate) group: Option<ArmObject>,
    /// Ids of the group's other resources, if the group is deleted without them.
    pub(crate) others: Vec<String>,
}

impl Owned {
    /// Reads the owner's resources and checks that no other resource uses them.
    ///
    /// # Errors
    /// `Permanent`, with the resource that uses one of them.
    pub(crate) async fn read(
        arm: &ArmClient,
        cx: &ActionContext,
        input: &OwnedResourcesInput,
    ) -> Result<Self, ActionError> {
        let id = arm.group(&input.resource_group);
        let Some(group) = arm.get(cx, &id).await? else {
            return Ok(Self { resources: Vec::new(), group: None, others: Vec::new() });
        };
        let mut resources = Vec::new();
        for resource_type in TYPES {
            let existing = arm.list_in(cx, &id, resource_type).await?;
            resources.extend(existing.into_iter().filter(|it| it.is_owned_by(&input.owner)));
        }
        resources.iter().try_for_each(|network| check_users(network, &resources))?;
        let group = Some(group).filter(|group| input.delete_group && group.is_owned_by(&input.owner));
        let others = if input.delete_group { others(arm, cx, &id, &resources).await? } else { Vec::new() };
        Ok(Self { resources, group, others })
    }
}

/// Reads the ids of the resources in a group that are neither `owned` nor parts of them.
///
/// # Errors
/// If they cannot be listed.
pub(crate) async fn others(
    arm: &ArmClient,
    cx: &ActionContext,
    group: &ResourceId,
    owned: &[ArmObject],
) -> Result<Vec<String>, ActionError> {
    let path = format!("{}/resources", group.path());
    let items = arm.list(cx, &path, RESOURCES_VERSION).await.map_err(|e| e.context(group.label()))?;
    let ids = items.iter().filter_map(|item| item["id"].as_str());
    Ok(ids.filter(|id| !owned.iter().any(|owned| is_part_of(id, owned))).map(str::to_owned).collect())
}

/// Permissions to read the resources of an owner.
pub(crate) fn read_permissions() -> impl Iterator<Item = Permission> {
    let list = arm("Microsoft.Resources/subscriptions/resourceGroups/resources/read");
    TYPES.into_iter().chain([RESOURCE_GROUP]).map(|it| on(it, "read")).chain([list])
}

/// Checks that only owned network interfaces have addresses in the subnets of an owned network.
///
/// # Errors
/// `Permanent`, with the other user. Azure would refuse to delete the network, after the machines
/// in it were deleted.
fn check_users(network: &ArmObject, owned: &[ArmObject]) -> Result<(), ActionError> {
    let subnets = network.items("/properties/subnets").iter();
    let subnets = subnets.filter(|_| network.id.is(VirtualNetworkInput::TYPE.kind));
    let mut users = subnets.filter_map(|it| it.pointer("/properties/ipConfigurations")?.as_array()).flatten();
    let is_foreign = |user: &&Value| {
        let id = user["id"].as_str().unwrap_or_default();
        !owned.iter().any(|owned| is_part_of(id, owned))
    };
    match users.find(is_foreign) {
        None => Ok(()),
        Some(user) => {
            let id = user["id"].as_str().unwrap_or("another resource");
            Err(ActionError::permanent(format!("{id} uses it, which was not created for the same owner"))
                .with_hint("delete that resource first, or move it to another network; nothing was deleted")
                .context(network.id.label()))
        }
    }
}

/// True if `id` is that of the resource, or of a part or child of it, such as an address
/// configuration. A machine's disk is a part of it.
fn is_part_of(id: &str, owned: &ArmObject) -> bool {
    let (id, own) = (id.to_lowercase(), owned.id.key());
    let is_child = || id.strip_prefix(&own).is_some_and(|rest| rest.starts_with('/'));
    let disk = owned.id_at("/properties/storageProfile/osDisk/managedDisk/id");
    id == own || is_child() || disk.is_some_and(|disk| disk.key() == id)
}
