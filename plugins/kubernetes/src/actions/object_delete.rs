use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_client::{Backoff, WaitState, poll_until};
use stargate_kubernetes_client::{KubeClient, ObjectRef, ResolvedObject, json::uid, unknown_kind_error};
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Nature, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::permission::{OF_INPUT, on_object};

/// Finalizers take seconds; most objects have none and are gone after the first read.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Action `kubernetes.object.delete`: deletes an object and waits until it is gone.
///
/// The uid is a precondition of the request, so that an object which was created under the same
/// name in between is kept. An object with finalizers is gone only when their controllers have
/// removed them; until then the action waits.
pub(crate) struct ObjectDelete(pub(crate) Arc<KubeClient>);

/// The object to delete.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ObjectDeleteInput {
    /// Kind and name of the object.
    #[serde(flatten)]
    object: ObjectRef,
    /// True if a missing object is not an error.
    #[serde(default)]
    if_exists: bool,
}

/// Result of the deletion.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ObjectDeleteOutput {
    /// False if there was no object to delete.
    pub deleted: bool,
}

impl ObjectDelete {
    /// Deletes the object with this uid and waits until it is gone. An object that was created
    /// under its name is not touched.
    async fn delete(&self, cx: &ActionContext, object: &ResolvedObject, uid_read: &str) -> Result<(), ActionError> {
        let (kind, name) = (&object.kind, object.object_name()?);
        let options = json!({"propagationPolicy": "Background"});
        if self.0.delete(cx, kind, name, uid_read, options).await? {
            cx.changed(format!("- {} {}", kind.plural, object.name));
        }
        poll_until(cx, BACKOFF, || async {
            let actual = self.0.get(cx, kind, name).await?;
            let exists = actual.is_some_and(|actual| uid(&actual) == uid_read);
            let reason = || format!("{} {}: waiting for its finalizers", kind.plural, object.name);
            Ok(if exists { WaitState::pending(reason()) } else { WaitState::Ready(()) })
        })
        .await
    }
}

impl Action for ObjectDelete {
    type Input = ObjectDeleteInput;
    type Output = ObjectDeleteOutput;
    const NAME: &'static str = "kubernetes.object.delete";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Deletes an object and waits until it is gone.";

    async fn run(&self, cx: &ActionContext, input: &ObjectDeleteInput) -> Result<ObjectDeleteOutput, ActionError> {
        let Some(object) = self.0.resolve(cx, &input.object).await? else {
            return if input.if_exists {
                Ok(ObjectDeleteOutput { deleted: false })
            } else {
                Err(unknown_kind_error(&input.object))
            };
        };
        // An earlier attempt has chosen the object; the name may belong to another one by now.
        if let Some(uid) = cx.checkpoint().as_ref().and_then(|c| c["uid"].as_str()) {
            self.delete(cx, &object, uid).await?;
            return Ok(ObjectDeleteOutput { deleted: true });
        }
        match self.0.get(cx, &object.kind, object.object_name()?).await? {
            Some(actual) => {
                cx.save_checkpoint(json!({"uid": uid(&actual)})).await?;
                self.delete(cx, &object, uid(&actual)).await?;
                Ok(ObjectDeleteOutput { deleted: true })
            }
            None if input.if_exists => Ok(ObjectDeleteOutput { deleted: false }),
            None => Err(ActionError::permanent(format!("{}: not found", input.object))
                .with_hint("set `if_exists: true` if it may be gone already")),
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &ObjectDeleteInput) -> Result<Preview, ActionError> {
        let actual = match self.0.resolve(cx, &input.object).await? {
            Some(object) => self.0.get(cx, &object.kind, object.object_name()?).await?,
            None => None,
        };
        if actual.is_none() {
            return Preview::unchanged(&ObjectDeleteOutput { deleted: false });
        }
        let difference = Difference::new(input.object.to_string(), "exists", Value::Null);
        Ok(Preview::changes(vec![difference]))
    }
}

impl RequiredPermissions for ObjectDelete {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        on_object(&["get", "delete"], with, &OF_INPUT)
    }
}
