use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    ArmClient, ResourceId,
    live::Live,
    name::{GroupName, Location},
    permission::arm,
};

/// `azure.resource_group.ensure`.
pub(crate) struct ResourceGroup(pub(crate) ArmClient);

/// How a resource group is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceGroupInput {
    /// Name of the resource group.
    name: GroupName,
    /// Its region.
    location: Location,
    /// Tags that it is to have, beside those it has.
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// A resource group.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ResourceGroupOutput {
    /// Resource id.
    pub id: String,
    /// Name of the resource group.
    pub name: String,
    /// Its region.
    pub location: String,
}

impl ResourceGroup {
    fn id(&self, wanted: &ResourceGroupInput) -> ResourceId {
        self.0.group(&wanted.name)
    }
}

impl Resource for ResourceGroup {
    type Desired = ResourceGroupInput;
    type Actual = Live;
    type Output = ResourceGroupOutput;
    const NAME: &'static str = "azure.resource_group.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a resource group exists in a region and has some tags.";

    async fn read(&self, cx: &ActionContext, wanted: &ResourceGroupInput) -> Result<Option<Live>, ActionError> {
        self.0.get_settled(cx, &self.id(wanted)).await
    }

    fn diff(&self, wanted: &ResourceGroupInput, actual: Option<&Live>) -> Result<Vec<Difference>, ActionError> {
        let Some(live) = actual else {
            return Ok(vec![Difference::missing(self.id(wanted).label(), wanted.location.as_str())]);
        };
        live.check_location(&wanted.location)?;
        let tag = |name: &String| live.body["tags"][name.as_str()].clone();
        let tags = wanted
            .tags
            .iter()
            .filter_map(|(name, value)| Difference::between(&format!("tag {name}"), tag(name), value.as_str()));
        Ok(tags.chain(live.failed_state()).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &ResourceGroupInput,
        actual: Option<&Live>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        // A group has no ETag; its PUT replaces the tags, so those that are there are sent again.
        let mut tags = actual.map_or(Value::Null, |live| live.body["tags"].clone());
        if !tags.is_object() {
            tags = json!({});
        }
        for (name, value) in &wanted.tags {
            tags[name.as_str()] = json!(value);
        }
        let location = actual.and_then(|live| live.text("/location")).unwrap_or(wanted.location.as_str());
        self.0.put(cx, &self.id(wanted), json!({ "location": location, "tags": tags }), None).await
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &ResourceGroupInput,
        live: &Live,
    ) -> Result<ResourceGroupOutput, ActionError> {
        Ok(ResourceGroupOutput {
            id: live.id(),
            name: live.name().into(),
            location: live.required("/location")?.into(),
        })
    }

    async fn resume(&self, cx: &ActionContext, _: &ResourceGroupInput, checkpoint: Value) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for ResourceGroup {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Resources/subscriptions/resourceGroups/read"),
        arm("Microsoft.Resources/subscriptions/resourceGroups/write"),
    ];
}
