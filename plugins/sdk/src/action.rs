use std::future::Future;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{ActionContext, ActionError, Difference};

/// Meaning of an earlier result of a step when a run continues after an interruption.
///
/// What was read grows old: nodes are replaced and other runs change routes while a run is
/// interrupted. A continued run therefore obtains the results of `Observe` and `Ensure` steps
/// again, in the order of the graph, before it changes anything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// The action only reads. Its result is stale after an interruption.
    Observe,
    /// The action reads actual state and changes what differs from the desired state, so that a
    /// repetition changes nothing. Its result is stale after an interruption.
    Ensure,
    /// The result is kept: the action must not run again once it has taken effect.
    #[default]
    Once,
}

/// Handling of an attempt whose outcome is unknown, because its process exited or its response was
/// lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// The engine calls [`Action::find`]: a complete effect is adopted, otherwise the action runs
    /// again.
    Find,
    /// The engine runs the action again under the same idempotency key: twice has the effect of
    /// once.
    Repeat,
    /// The step is left in doubt until an operator resolves it.
    Ask,
}

/// Result of [`Action::find`].
#[derive(Debug, Clone, PartialEq)]
pub enum FindResult<T> {
    /// The effect exists and is complete; this is its output.
    Present(T),
    /// The effect does not exist or is not complete: the action runs again.
    Absent,
    /// The external system does not show it, for this reason: the step is left in doubt, for an
    /// operator.
    Unclear(String),
}

/// Result that an action would have, computed without writing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Preview {
    /// Nothing would change.
    Unchanged {
        /// Output that the step would have.
        output: serde_json::Value,
    },
    /// Actual state would change.
    Changes {
        /// The differences that the action would remove.
        differences: Vec<Difference>,
        /// Fields of the output that are certain before the change, as an object; `null` if none
        /// is. A field that is missing is known after the change.
        #[serde(skip_serializing_if = "serde_json::Value::is_null")]
        certain: serde_json::Value,
    },
    /// The object cannot become the desired one in place: it must be deleted first, and the action
    /// fails until then.
    Replacement {
        /// Differences that cannot be changed in place.
        forced_by: Vec<Difference>,
        /// Error of the action.
        error: ActionError,
    },
    /// The action cannot compute its result without running.
    Opaque,
}

impl Preview {
    /// The preview of an action with these differences, whose output is known after the change.
    pub fn changes(differences: Vec<Difference>) -> Self {
        Self::Changes { differences, certain: serde_json::Value::Null }
    }

    /// The preview of an action that only reads: nothing would change, and this is the output.
    ///
    /// # Errors
    /// `Permanent` if the output cannot be represented as JSON.
    pub fn unchanged(output: &impl Serialize) -> Result<Self, ActionError> {
        let output = serde_json::to_value(output);
        output
            .map(|output| Self::Unchanged { output })
            .map_err(|e| ActionError::permanent(format!("the output is not JSON: {e}")))
    }
}

/// A typed operation that a step names in `uses:`.
///
/// The types of input and output are part of each plan: a change that old plans cannot be read with
/// needs a higher `VERSION`.
pub trait Action: Send + Sync + 'static {
    /// Type of the step's `with:`.
    type Input: DeserializeOwned + JsonSchema + Send + Sync;
    /// Type of the output, which expressions of other steps refer to.
    type Output: Serialize + DeserializeOwned + JsonSchema + Send + Sync;

    /// Name of the action: `provider.noun.verb`.
    const NAME: &'static str;
    /// Version that plans record; increased when input, output or meaning change.
    const VERSION: u32;
    /// Meaning of an earlier result when a run continues after an interruption.
    const NATURE: Nature;
    /// Handling of an unknown outcome.
    const RECOVERY: Recovery;
    /// Sentence in the third person that describes the action to users.
    const SUMMARY: &'static str;
    /// Noun of what the action deletes and what may hold data, such as `machine`: an operator is
    /// asked first.
    const DELETES: Option<&'static str> = None;

    /// Runs the action. It must stop soon after `cx` is cancelled or its deadline has passed.
    ///
    /// # Errors
    /// [`ActionError`]; its kind decides between retry, failure and recovery.
    fn run(
        &self,
        cx: &ActionContext,
        input: &Self::Input,
    ) -> impl Future<Output = Result<Self::Output, ActionError>> + Send;

    /// Determines whether an earlier attempt took effect. Must not change anything. Called for
    /// [`Recovery::Find`] only.
    ///
    /// # Errors
    /// [`ActionError`]; the outcome stays unknown.
    fn find(
        &self,
        cx: &ActionContext,
        input: &Self::Input,
    ) -> impl Future<Output = Result<FindResult<Self::Output>, ActionError>> + Send {
        let _ = (cx, input);
        async { Ok(FindResult::Absent) }
    }

    /// Computes the result that `run` would have. Must not change anything.
    ///
    /// # Errors
    /// [`ActionError`], if actual state cannot be read.
    fn preview(
        &self,
        cx: &ActionContext,
        input: &Self::Input,
    ) -> impl Future<Output = Result<Preview, ActionError>> + Send {
        let _ = (cx, input);
        async { Ok(Preview::Opaque) }
    }

    /// Computes the fields of the output that the input alone decides, as an object; `null` if none
    /// is certain. A plan shows them to later steps before the object of this one exists.
    fn certain_output(&self, input: &Self::Input) -> serde_json::Value {
        let _ = input;
        serde_json::Value::Null
    }
}
