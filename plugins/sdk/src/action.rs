use std::future::Future;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{ActionContext, ActionError, Difference};

/// How the engine leaves the state "this attempt may or may not have happened".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// Ask [`Action::find`] first: adopt what is there, else run again.
    Find,
    /// Run again under the same idempotency key; doing it twice is the same as once.
    Repeat,
    /// Stop and ask a person.
    Ask,
}

/// What [`Action::find`] saw.
#[derive(Debug, Clone, PartialEq)]
pub enum FindResult<T> {
    /// The effect is there, complete; this is the output it has.
    Present(T),
    /// The effect is not there, or not complete: run again.
    Absent,
    /// It cannot be told, for this reason: only a person can, and the step is left in doubt.
    Unclear(String),
}

/// What running an action would do, asked without doing it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Preview {
    /// Nothing to change; this would be the output.
    Unchanged {
        /// The output the step would have.
        output: serde_json::Value,
    },
    /// These differences would be changed.
    Changes {
        /// What would be changed.
        differences: Vec<Difference>,
    },
    /// The action cannot tell without running.
    Opaque,
}

impl Preview {
    /// What an action that only looks says of itself: nothing to change, and this is what it saw.
    pub fn unchanged(output: &impl Serialize) -> Result<Self, ActionError> {
        let output = serde_json::to_value(output);
        output
            .map(|output| Self::Unchanged { output })
            .map_err(|e| ActionError::permanent(format!("the output is not JSON: {e}")))
    }
}

/// One typed operation behind a step's `uses:`.
pub trait Action: Send + Sync + 'static {
    /// What `with:` must be.
    type Input: DeserializeOwned + JsonSchema + Send + Sync;
    /// What other steps can refer to.
    type Output: Serialize + DeserializeOwned + JsonSchema + Send + Sync;

    /// `provider.noun.verb`.
    const NAME: &'static str;
    /// Pinned in every plan; raised when input, output or meaning change.
    const VERSION: u32;
    /// How an unknown outcome is left.
    const RECOVERY: Recovery;
    /// One sentence, third person.
    const SUMMARY: &'static str;

    /// Does it. Stops soon after `cx` is cancelled or its deadline has passed.
    fn run(
        &self,
        cx: &ActionContext,
        input: &Self::Input,
    ) -> impl Future<Output = Result<Self::Output, ActionError>> + Send;

    /// Looks whether an earlier attempt took effect. Changes nothing. Called for [`Recovery::Find`] only.
    fn find(
        &self,
        cx: &ActionContext,
        input: &Self::Input,
    ) -> impl Future<Output = Result<FindResult<Self::Output>, ActionError>> + Send {
        let _ = (cx, input);
        async { Ok(FindResult::Absent) }
    }

    /// Tells what `run` would do. Changes nothing.
    fn preview(
        &self,
        cx: &ActionContext,
        input: &Self::Input,
    ) -> impl Future<Output = Result<Preview, ActionError>> + Send {
        let _ = (cx, input);
        async { Ok(Preview::Opaque) }
    }
}
