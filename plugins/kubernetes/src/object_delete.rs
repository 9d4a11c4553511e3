use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Recovery, RequiredPermissions};

use crate::{
    api::Api,
    field::uid,
    object_ref::{ObjectRef, Place, unknown_kind},
    permission::{OF_INPUT, on_object},
};

/// Finalizers are done within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// `kubernetes.object.delete`.
pub(crate) struct ObjectDelete(pub(crate) Arc<Api>);

/// Which object to delete.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct DeleteInput {
    /// Which object.
    #[serde(flatten)]
    object: ObjectRef,
    /// Whether an object that is not there is fine.
    #[serde(default)]
    if_exists: bool,
}

/// What was deleted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DeleteOutput {
    /// Whether there was anything to delete.
    pub deleted: bool,
}

impl ObjectDelete {
    /// Deletes the object with this uid and waits until it is gone: one that took its name is left alone.
    async fn delete(&self, cx: &ActionContext, place: &Place, doomed: &str) -> Result<(), ActionError> {
        let options = json!({"propagationPolicy": "Background"});
        if self.0.delete(cx, &place.kind, place.at(), doomed, options).await? {
            cx.changed(format!("- {} {}", place.kind.plural, place.name));
        }
        let mut pause = Duration::from_millis(50);
        while let Some(object) = self.0.get(cx, &place.kind, place.at()).await? {
            if uid(&object) != doomed {
                break;
            }
            cx.progress(format!("{} {}: waits for its finalizers", place.kind.plural, place.name));
            cx.sleep(pause).await.map_err(|e| e.context(format_args!("{} is not gone yet", place.name)))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }
}

impl Action for ObjectDelete {
    type Input = DeleteInput;
    type Output = DeleteOutput;
    const NAME: &'static str = "kubernetes.object.delete";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Deletes an object and waits until it is gone.";

    async fn run(&self, cx: &ActionContext, input: &DeleteInput) -> Result<DeleteOutput, ActionError> {
        let Some(place) = self.0.place(cx, &input.object).await? else {
            return if input.if_exists {
                Ok(DeleteOutput { deleted: false })
            } else {
                Err(unknown_kind(&input.object))
            };
        };
        // An earlier attempt has chosen which object it is: what has its name by now may be its successor.
        if let Some(doomed) = cx.checkpoint().as_ref().and_then(|c| c["uid"].as_str()) {
            self.delete(cx, &place, doomed).await?;
            return Ok(DeleteOutput { deleted: true });
        }
        match self.0.get(cx, &place.kind, place.at()).await? {
            Some(object) => {
                cx.save_checkpoint(json!({"uid": uid(&object)})).await?;
                self.delete(cx, &place, uid(&object)).await?;
                Ok(DeleteOutput { deleted: true })
            }
            None if input.if_exists => Ok(DeleteOutput { deleted: false }),
            None => Err(ActionError::permanent(format!("{}: not found", input.object))
                .with_hint("say `if_exists: true` if it may be gone already")),
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &DeleteInput) -> Result<stargate_sdk::Preview, ActionError> {
        let object = match self.0.place(cx, &input.object).await? {
            Some(place) => self.0.get(cx, &place.kind, place.at()).await?,
            None => None,
        };
        Ok(match object {
            Some(_) => {
                let difference = stargate_sdk::Difference::new(input.object.to_string(), "there", Value::Null);
                stargate_sdk::Preview::Changes { differences: vec![difference] }
            }
            None => stargate_sdk::Preview::Unchanged { output: json!({"deleted": false}) },
        })
    }
}

impl RequiredPermissions for ObjectDelete {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        on_object(&["get", "delete"], with, &OF_INPUT)
    }
}
