use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionError, Difference};

use crate::{
    arm_resource::{ArmResource, ResourceOutput},
    client::{
        ArmClient, ArmObject, GroupName, Location, Owner, Precondition, RESOURCE_GROUP, ResourceId, ResourceType,
    },
};

/// Desired state of a resource group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceGroupInput {
    /// Name of the resource group.
    name: GroupName,
    /// Region of the resource group.
    location: Location,
    /// Tags that the group must have; others are kept.
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// Owner of the resource, if this step creates it. `azure.resources.delete` deletes the
    /// resources of an owner.
    #[serde(default)]
    owner: Option<Owner>,
}

/// Resource group in its desired state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ResourceGroupOutput {
    /// Id and name of the resource group.
    #[serde(flatten)]
    pub resource: ResourceOutput,
    /// Region of the resource group.
    pub location: String,
}

impl ArmResource for ResourceGroupInput {
    type Output = ResourceGroupOutput;
    const NAME: &'static str = "azure.resource_group.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a resource group exists in a region and has some tags.";
    const TYPE: ResourceType = RESOURCE_GROUP;

    fn id(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.name)
    }

    fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    fn essence(&self) -> String {
        self.location.to_string()
    }

    fn diff(&self, actual: &ArmObject) -> Result<Vec<Difference>, ActionError> {
        actual.check_location(&self.location)?;
        let tags = self.tags.iter().filter_map(|(name, value)| {
            Difference::between(&format!("tag {name}"), actual.body["tags"][name.as_str()].clone(), value.as_str())
        });
        Ok(tags.collect())
    }

    fn immutable(&self, actual: &ArmObject) -> Vec<Difference> {
        actual.location_difference(&self.location).into_iter().collect()
    }

    fn body(&self) -> Value {
        json!({ "location": self.location, "tags": self.tags })
    }

    fn update(&self, actual: &mut ArmObject) {
        // A PUT replaces all tags, so the existing ones are sent again.
        let mut tags = actual.body["tags"].as_object().cloned().unwrap_or_default();
        tags.extend(self.tags.iter().map(|(name, value)| (name.clone(), json!(value))));
        let location = actual.text("/location").unwrap_or(self.location.as_str());
        actual.body = json!({ "location": location, "tags": tags });
    }

    fn precondition(_: Option<&ArmObject>) -> Option<Precondition> {
        None // a group has no ETag
    }

    fn output(actual: &ArmObject) -> Result<ResourceGroupOutput, ActionError> {
        Ok(ResourceGroupOutput { resource: actual.into(), location: actual.required("/location")?.into() })
    }
}
