use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    api::Api,
    compare::has_merged,
    field::{owned, text},
    object_ref::ObjectRef,
    permission::{AUTHORITY, OF_INPUT, on_object},
};

/// `kubernetes.object.patch`.
pub(crate) struct ObjectPatch(pub(crate) Arc<Api>);

/// How an object is to be.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct PatchInput {
    /// Which object.
    #[serde(flatten)]
    object: ObjectRef,
    /// A JSON merge patch: `null` removes, a list replaces the whole list.
    patch: Map<String, Value>,
    /// The subresource to patch, such as `status`.
    #[serde(default)]
    subresource: Option<String>,
}

/// The object.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PatchOutput {
    /// Its uid.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
}

impl Resource for ObjectPatch {
    type Desired = PatchInput;
    type Actual = Value;
    type Output = PatchOutput;
    const NAME: &'static str = "kubernetes.object.patch";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that fields of an existing object have values, by a merge patch.";

    async fn read(&self, cx: &ActionContext, wanted: &PatchInput) -> Result<Option<Value>, ActionError> {
        let place = self.0.known_place(cx, &wanted.object).await?;
        match self.0.get(cx, &place.kind, place.at()).await? {
            Some(object) => Ok(Some(object)),
            None => Err(ActionError::permanent(format!("{}: not found", wanted.object))),
        }
    }

    fn diff(&self, wanted: &PatchInput, actual: Option<&Value>) -> Result<Vec<Difference>, ActionError> {
        let mut differences = Vec::new();
        for (key, patch) in &wanted.patch {
            let before = actual.map_or(&Value::Null, |object| &object[key]);
            compare(key, before, patch, &mut differences);
        }
        Ok(differences)
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &PatchInput,
        _: Option<&Value>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let place = self.0.known_place(cx, &wanted.object).await?;
        let (patch, subresource) = (Value::Object(wanted.patch.clone()), wanted.subresource.as_deref());
        self.0.merge(cx, &place.kind, place.at(), subresource, patch).await?;
        Ok(())
    }

    fn output(&self, _: &ActionContext, _: &PatchInput, actual: &Value) -> Result<PatchOutput, ActionError> {
        Ok(PatchOutput {
            uid: owned(actual, "/metadata/uid"),
            resource_version: owned(actual, "/metadata/resourceVersion"),
        })
    }
}

impl RequiredPermissions for ObjectPatch {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        let below = text(with, "/subresource").map(|name| format!(" --subresource={name}")).unwrap_or_default();
        let mut permissions = on_object(&["get"], with, &OF_INPUT);
        let patches = on_object(&["patch"], with, &OF_INPUT).into_iter();
        permissions.extend(patches.map(|patch| Permission::of(AUTHORITY, format!("{patch}{below}"))));
        permissions
    }
}

/// Tells what the patch changes, field by field, and nothing of what it leaves alone.
fn compare(field: &str, before: &Value, patch: &Value, differences: &mut Vec<Difference>) {
    if has_merged(before, patch) || (before.is_null() && has_merged(&Value::Object(Map::new()), patch)) {
        return;
    }
    match patch {
        Value::Object(patch) => {
            patch.iter().for_each(|(key, patch)| compare(&format!("{field}.{key}"), &before[key], patch, differences));
        }
        _ => differences.push(Difference::new(field, before.clone(), patch.clone())),
    }
}
