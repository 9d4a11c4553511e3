use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    api::Api,
    object_ref::{ObjectRef, unknown_kind},
    permission::{OF_INPUT, on_object},
};

/// `kubernetes.object.get`.
pub(crate) struct ObjectGet(pub(crate) Arc<Api>);

/// Which object to read.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct GetInput {
    /// Which object.
    #[serde(flatten)]
    object: ObjectRef,
    /// Whether an object that is not there is an answer rather than a failure.
    #[serde(default)]
    if_exists: bool,
}

/// The object.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GetOutput {
    /// Whether it is there.
    pub exists: bool,
    /// The object without its record of field owners, or `null`. A Secret comes without its data.
    pub object: Value,
}

impl Action for ObjectGet {
    type Input = GetInput;
    type Output = GetOutput;
    const NAME: &'static str = "kubernetes.object.get";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads an object.";

    async fn run(&self, cx: &ActionContext, input: &GetInput) -> Result<GetOutput, ActionError> {
        let place = self.0.place(cx, &input.object).await?;
        let object = match &place {
            Some(place) => self.0.get(cx, &place.kind, place.at()).await?,
            None => None,
        };
        match (object, place) {
            (Some(object), _) => Ok(GetOutput { exists: true, object: shown(object) }),
            (None, _) if input.if_exists => Ok(GetOutput { exists: false, object: Value::Null }),
            (None, None) => Err(unknown_kind(&input.object)),
            (None, Some(_)) => Err(ActionError::permanent(format!("{}: not found", input.object))),
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &GetInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ObjectGet {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        on_object(&["get"], with, &OF_INPUT)
    }
}

/// The object as outputs have it.
pub(crate) fn shown(mut object: Value) -> Value {
    let is_secret = object["kind"] == "Secret";
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    if let Some(fields) = object.as_object_mut().filter(|_| is_secret) {
        fields.remove("data");
    }
    object
}
