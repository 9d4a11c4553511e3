use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stargate_kubernetes_client::{
    AUTHORITY, KubeClient, ObjectRef,
    json::{text, text_or_empty},
};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    manifest::has_merged,
    permission::{OF_INPUT, on_object},
};

/// Action `kubernetes.object.patch`: makes fields of an existing object equal a merge patch.
///
/// The patch is sent whole and can be repeated: a field that has its value does not change. A list
/// that another manager extends at the same time is overwritten, as by any merge patch.
pub(crate) struct ObjectPatch(pub(crate) Arc<KubeClient>);

/// Desired state of fields of an object.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ObjectPatchInput {
    /// Kind and name of the object, which must exist.
    #[serde(flatten)]
    object: ObjectRef,
    /// JSON merge patch: `null` removes a field, a list replaces the whole list.
    patch: Map<String, Value>,
    /// Subresource to patch, such as `status` [default: the object itself].
    #[serde(default)]
    subresource: Option<String>,
}

/// The object after the patch.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ObjectPatchOutput {
    /// Uid of the object.
    pub uid: String,
    /// Version of the object, which changes with each write.
    pub resource_version: String,
}

impl Resource for ObjectPatch {
    type Desired = ObjectPatchInput;
    type Actual = Value;
    type Output = ObjectPatchOutput;
    const NAME: &'static str = "kubernetes.object.patch";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes fields of an existing object equal a merge patch.";

    async fn read(&self, cx: &ActionContext, desired: &ObjectPatchInput) -> Result<Option<Value>, ActionError> {
        let object = self.0.resolve_known(cx, &desired.object).await?;
        match self.0.get(cx, &object.kind, object.object_name()?).await? {
            Some(actual) => Ok(Some(actual)),
            None => Err(ActionError::permanent(format!("{}: not found", desired.object))),
        }
    }

    fn diff(&self, desired: &ObjectPatchInput, actual: Option<&Value>) -> Result<Vec<Difference>, ActionError> {
        let mut differences = Vec::new();
        for (key, patch) in &desired.patch {
            let before = actual.map_or(&Value::Null, |object| &object[key]);
            add_differences(key, before, patch, &mut differences);
        }
        Ok(differences)
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &ObjectPatchInput,
        _: Option<&Value>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let object = self.0.resolve_known(cx, &desired.object).await?;
        let (patch, subresource) = (Value::Object(desired.patch.clone()), desired.subresource.as_deref());
        self.0.merge(cx, &object.kind, object.object_name()?, subresource, patch).await?;
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &ObjectPatchInput,
        actual: &Value,
    ) -> Result<ObjectPatchOutput, ActionError> {
        Ok(ObjectPatchOutput {
            uid: text_or_empty(actual, "/metadata/uid"),
            resource_version: text_or_empty(actual, "/metadata/resourceVersion"),
        })
    }
}

impl RequiredPermissions for ObjectPatch {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        let option = text(with, "/subresource").map(|name| format!(" --subresource={name}")).unwrap_or_default();
        let mut permissions = on_object(&["get"], with, &OF_INPUT);
        let patches = on_object(&["patch"], with, &OF_INPUT).into_iter();
        permissions.extend(patches.map(|patch| Permission::of(AUTHORITY, format!("{patch}{option}"))));
        permissions
    }
}

/// Adds one difference for each leaf of the patch that the object does not have yet.
///
/// A missing parent counts as an empty object, so the removal of a field in it changes nothing.
fn add_differences(field: &str, before: &Value, patch: &Value, differences: &mut Vec<Difference>) {
    if has_merged(before, patch) || (before.is_null() && has_merged(&Value::Object(Map::new()), patch)) {
        return;
    }
    let Value::Object(patch) = patch else {
        differences.push(Difference::new(field, before.clone(), patch.clone()));
        return;
    };
    for (key, patch) in patch {
        add_differences(&format!("{field}.{key}"), &before[key], patch, differences);
    }
}
