use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, FailureKind, Nature, Permission, Preview, Recovery,
    RequiredPermissions,
};

use crate::{
    actions::{
        nat_gateway::NatGatewayInput,
        route_table::RouteTableInput,
        security_group::SecurityGroupInput,
        subnet::{SUBNET, subnet_permissions},
    },
    arm_resource::ArmResource,
    client::{ArmClient, ArmObject, Precondition, RESOURCE_GROUP, ResourceId, ResourceType},
    owned_resources::{Owned, OwnedResourcesInput, TYPES, others, read_permissions},
    permission::{arm, on},
};

/// Types whose resources subnets refer to, with the property of the subnet.
const SUBNET_REFERENCES: [(ResourceType, &str); 3] = [
    (SecurityGroupInput::TYPE, "networkSecurityGroup"),
    (RouteTableInput::TYPE, "routeTable"),
    (NatGatewayInput::TYPE, "natGateway"),
];

/// Action `azure.resources.delete`: deletes the resources of an owner in a group, and the group if
/// nothing else is in it.
///
/// Owned resources are those that the steps with this `owner` have created. What existed before is
/// kept. If a resource of another owner uses one of them, nothing is deleted.
pub(crate) struct ResourcesDelete(pub(crate) ArmClient);

/// Resources that were deleted, and those that were not.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ResourcesDeleteOutput {
    /// Ids of the objects that this attempt deleted; empty if none existed.
    pub deleted: Vec<String>,
    /// Ids of the resources that are left in the group; empty without `delete_group`.
    pub kept: Vec<String>,
}

impl ResourcesDelete {
    /// Deletes one resource as it was read, after the subnets' references to it.
    async fn delete(&self, cx: &ActionContext, object: &ArmObject) -> Result<(), ActionError> {
        let property = SUBNET_REFERENCES.iter().find(|(it, _)| object.id.is(it.kind)).map(|(_, property)| property);
        for subnet in object.items("/properties/subnets").iter().filter_map(|item| ArmObject::part(item, SUBNET)) {
            if let Some(property) = property {
                self.detach(cx, &subnet.id, property, &object.id).await?;
            }
        }
        // Its list entry can be older than the deletion of what used it.
        let Some(current) = self.0.get_settled(cx, &object.id).await? else { return Ok(()) };
        let deletion = self.0.delete(cx, &current.id, Precondition::unchanged(&current)).await;
        deletion.map_err(|error| with_transient_use(error).context(current.id.label()))?;
        cx.changed(format!("- {}", current.id.label()));
        Ok(())
    }

    /// Removes a subnet's reference to `target`. Another reference is kept.
    async fn detach(
        &self,
        cx: &ActionContext,
        subnet: &ResourceId,
        property: &str,
        target: &ResourceId,
    ) -> Result<(), ActionError> {
        let _guard = self.0.lock_for_write(cx, &[&subnet.parent()]).await?;
        let Some(mut actual) = self.0.get_settled(cx, subnet).await? else { return Ok(()) };
        if actual.id_at(&format!("/properties/{property}/id")).as_ref() != Some(target) {
            return Ok(());
        }
        let precondition = Precondition::unchanged(&actual);
        if let Some(properties) = actual.body["properties"].as_object_mut() {
            properties.remove(property);
        }
        self.0.put(cx, subnet, actual.body, precondition).await?;
        cx.changed(format!("{}: - {}", subnet.label(), target.label()));
        Ok(())
    }

    /// Deletes the group if it has no resource any more. Returns the ids of those that it has.
    async fn delete_group(
        &self,
        cx: &ActionContext,
        group: &ArmObject,
        deleted: &mut Vec<String>,
    ) -> Result<Vec<String>, ActionError> {
        let others = others(&self.0, cx, &group.id, &[]).await?;
        if others.is_empty() {
            self.0.delete(cx, &group.id, None).await?;
            cx.changed(format!("- {}", group.id.label()));
            deleted.push(group.id());
        }
        Ok(others)
    }
}

impl Action for ResourcesDelete {
    type Input = OwnedResourcesInput;
    type Output = ResourcesDeleteOutput;
    const NAME: &'static str = "azure.resources.delete";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Repeat;
    const DELETES: Option<&'static str> = Some("machine");
    const SUMMARY: &'static str =
        "Deletes the resources that were created for an owner, and their group if nothing else is in it.";

    async fn run(&self, cx: &ActionContext, input: &OwnedResourcesInput) -> Result<ResourcesDeleteOutput, ActionError> {
        if let Some(checkpoint) = cx.checkpoint() {
            let types: Vec<ResourceType> = TYPES.into_iter().chain([SUBNET, RESOURCE_GROUP]).collect();
            self.0.resume(cx, checkpoint, &types).await?;
        }
        let owned = Owned::read(&self.0, cx, input).await?;
        let mut deleted = Vec::new();
        for resource in &owned.resources {
            self.delete(cx, resource).await?;
            deleted.push(resource.id());
        }
        let kept = match &owned.group {
            Some(group) => self.delete_group(cx, group, &mut deleted).await?,
            None => owned.others,
        };
        if let Some(first) = kept.first() {
            let group = self.0.group(&input.resource_group).label();
            let number = kept.len();
            cx.log(format!("warning: {group} is kept, with resources of others: {number}, such as {first}"));
        }
        Ok(ResourcesDeleteOutput { deleted, kept })
    }

    async fn preview(&self, cx: &ActionContext, input: &OwnedResourcesInput) -> Result<Preview, ActionError> {
        let owned = Owned::read(&self.0, cx, input).await?;
        let group = owned.group.iter().filter(|_| owned.others.is_empty());
        let deletion = |object: &ArmObject| Difference::new(object.id.label(), "exists", Value::Null);
        let differences: Vec<Difference> = owned.resources.iter().chain(group).map(deletion).collect();
        if differences.is_empty() {
            return Preview::unchanged(&ResourcesDeleteOutput { deleted: Vec::new(), kept: owned.others });
        }
        Ok(Preview::changes(differences))
    }
}

impl RequiredPermissions for ResourcesDelete {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(_: &Value) -> Vec<Permission> {
        let each = TYPES.into_iter().map(|it| on(it, "delete"));
        let others = [on(RESOURCE_GROUP, "delete"), arm("Microsoft.Compute/locations/operations/read")];
        read_permissions().chain(each).chain(others).chain(subnet_permissions()).collect()
    }
}

/// Makes an error of a deletion `Transient` if Azure answers that the resource is in use: its users
/// were deleted before, which Azure shows with a delay.
fn with_transient_use(mut error: ActionError) -> ActionError {
    if error.kind == FailureKind::Permanent && error.code.as_deref().is_some_and(|code| code.contains("InUse")) {
        error.kind = FailureKind::Transient;
    }
    error
}
