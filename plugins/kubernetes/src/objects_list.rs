use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    api::Api,
    object_get::shown,
    permission::{OF_INPUT, on_object},
};

/// `kubernetes.objects.list`.
pub(crate) struct ObjectsList(pub(crate) Arc<Api>);

/// Which objects.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListInput {
    /// Such as `v1` or `apps/v1`.
    api_version: String,
    /// Such as `ConfigMap`.
    kind: String,
    /// The namespace; all of them by default.
    #[serde(default)]
    namespace: Option<String>,
    /// A label selector; all objects by default.
    #[serde(default)]
    selector: Option<String>,
}

/// The objects.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ListOutput {
    /// As the server lists them, without their records of field owners. Secrets come without their data.
    pub objects: Vec<Value>,
}

impl Action for ObjectsList {
    type Input = ListInput;
    type Output = ListOutput;
    const NAME: &'static str = "kubernetes.objects.list";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Lists objects of a kind.";

    async fn run(&self, cx: &ActionContext, input: &ListInput) -> Result<ListOutput, ActionError> {
        let unknown =
            || ActionError::permanent(format!("the cluster has no kind {} in {}", input.kind, input.api_version));
        let kind = self.0.kinds.find(&self.0, cx, &input.api_version, &input.kind).await?.ok_or_else(unknown)?;
        let filter = input.selector.as_deref().map(|selector| ("labelSelector", selector));
        let listed = self.0.list(cx, &kind, input.namespace.as_deref(), filter).await?.unwrap_or_default();
        let whole = |mut object: Value| {
            // What is in a list does not repeat what the list is of.
            object["apiVersion"] = input.api_version.clone().into();
            object["kind"] = input.kind.clone().into();
            shown(object)
        };
        Ok(ListOutput { objects: listed.into_iter().map(whole).collect() })
    }

    async fn preview(&self, cx: &ActionContext, input: &ListInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ObjectsList {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        on_object(&["list"], with, &OF_INPUT)
    }
}
