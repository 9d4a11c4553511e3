use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_kubernetes_client::{KubeClient, ObjectRef, unknown_kind_error};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::permission::{OF_INPUT, on_object};

/// Action `kubernetes.object.get`: reads an object.
pub(crate) struct ObjectGet(pub(crate) Arc<KubeClient>);

/// The object to read.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ObjectGetInput {
    /// Kind and name of the object.
    #[serde(flatten)]
    object: ObjectRef,
    /// True if a missing object is a result and not an error.
    #[serde(default)]
    if_exists: bool,
}

/// The object that was read.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ObjectGetOutput {
    /// False if the object does not exist.
    pub exists: bool,
    /// The object without `metadata.managedFields`, or `null`. A Secret has no `data` here.
    pub object: Value,
}

impl Action for ObjectGet {
    type Input = ObjectGetInput;
    type Output = ObjectGetOutput;
    const NAME: &'static str = "kubernetes.object.get";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads an object.";

    async fn run(&self, cx: &ActionContext, input: &ObjectGetInput) -> Result<ObjectGetOutput, ActionError> {
        let resolved = self.0.resolve(cx, &input.object).await?;
        let object = match &resolved {
            Some(resolved) => self.0.get(cx, &resolved.kind, resolved.object_name()?).await?,
            None => None,
        };
        match (object, resolved) {
            (Some(object), _) => Ok(ObjectGetOutput { exists: true, object: for_output(object) }),
            (None, _) if input.if_exists => Ok(ObjectGetOutput { exists: false, object: Value::Null }),
            (None, None) => Err(unknown_kind_error(&input.object)),
            (None, Some(_)) => Err(ActionError::permanent(format!("{}: not found", input.object))),
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &ObjectGetInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ObjectGet {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        on_object(&["get"], with, &OF_INPUT)
    }
}

/// The object as outputs contain it: without `metadata.managedFields`, and without the data of a
/// Secret, because outputs are stored in the journal.
pub(super) fn for_output(mut object: Value) -> Value {
    let is_secret = object["kind"] == "Secret";
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    if let Some(fields) = object.as_object_mut().filter(|_| is_secret) {
        fields.remove("data");
    }
    object
}
