use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_kubernetes_client::KubeClient;
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use super::object_get::for_output;
use crate::permission::{OF_INPUT, on_object};

/// Action `kubernetes.objects.list`: lists objects of a kind.
pub(crate) struct ObjectsList(pub(crate) Arc<KubeClient>);

/// The objects to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectsListInput {
    /// Group and version, such as `v1` or `apps/v1`.
    api_version: String,
    /// Kind, such as `ConfigMap`.
    kind: String,
    /// Namespace [default: all namespaces].
    #[serde(default)]
    namespace: Option<String>,
    /// Label selector [default: all objects].
    #[serde(default)]
    selector: Option<String>,
}

/// Objects that match the input.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ObjectsListOutput {
    /// The objects in the order of the server, without `metadata.managedFields`. Secrets have no
    /// `data` here.
    pub objects: Vec<Value>,
}

impl Action for ObjectsList {
    type Input = ObjectsListInput;
    type Output = ObjectsListOutput;
    const NAME: &'static str = "kubernetes.objects.list";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Lists objects of a kind.";

    async fn run(&self, cx: &ActionContext, input: &ObjectsListInput) -> Result<ObjectsListOutput, ActionError> {
        let unknown =
            || ActionError::permanent(format!("the cluster has no kind {} in {}", input.kind, input.api_version));
        let kind = self.0.find_kind(cx, &input.api_version, &input.kind).await?.ok_or_else(unknown)?;
        let filter = input.selector.as_deref().map(|selector| ("labelSelector", selector));
        let objects = self.0.list(cx, &kind, input.namespace.as_deref(), filter).await?.unwrap_or_default();
        let complete = |mut object: Value| {
            // The server leaves both fields out of the elements of a list.
            object["apiVersion"] = input.api_version.clone().into();
            object["kind"] = input.kind.clone().into();
            for_output(object)
        };
        Ok(ObjectsListOutput { objects: objects.into_iter().map(complete).collect() })
    }

    async fn preview(&self, cx: &ActionContext, input: &ObjectsListInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ObjectsList {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        on_object(&["list"], with, &OF_INPUT)
    }
}
