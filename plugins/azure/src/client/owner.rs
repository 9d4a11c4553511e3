use serde_json::Value;

use crate::client::{ArmObject, Owner};

/// Tag of a resource that names its owner. It is written once, when the resource is created: a
/// resource that existed before never has it.
const OWNER_TAG: &str = "stargate-owner";

/// Adds the owner's tag to the body of a PUT that creates a resource.
pub(crate) fn with_owner(mut body: Value, owner: Option<&Owner>) -> Value {
    if let Some(owner) = owner {
        body["tags"][OWNER_TAG] = owner.as_str().into();
    }
    body
}

impl ArmObject {
    /// True if the resource was created for `owner`, in any case: Azure's own names of groups and
    /// clusters have none.
    pub(crate) fn is_owned_by(&self, owner: &Owner) -> bool {
        let tags = self.body["tags"].as_object();
        let tag = tags.and_then(|tags| tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(OWNER_TAG)));
        tag.and_then(|(_, value)| value.as_str()).is_some_and(|value| value.eq_ignore_ascii_case(owner.as_str()))
    }
}
