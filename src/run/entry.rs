use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stargate_sdk::ActionError;

use crate::clock::UnixMillis;

/// One journaled fact about a run, in the past tense. Steps are named, never numbered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The run exists; its plan is stored under this digest.
    RunCreated {
        /// SHA-256 of the plan.
        plan: String,
    },
    /// A process took the run over; whatever was in flight is now unknown.
    RunAcquired {
        /// The number that fences whoever held the run before.
        epoch: u64,
        /// Who took it, for people.
        owner: String,
    },
    /// A person asked for another go: failed steps are ready again.
    RunReopened,
    /// A person wants the run to end: nothing more is begun. Whoever wants it need not hold the run.
    CancelRequested {
        /// Who, for people.
        by: String,
    },
    /// A step can begin once a person says so.
    #[serde(rename = "asked")]
    ApprovalAsked {
        /// Name of the step.
        step: String,
        /// What the person is asked.
        question: String,
    },
    /// A person has said of a step what only a person can.
    #[serde(rename = "answered")]
    StepAnswered {
        /// Name of the step, with its key.
        step: String,
        /// Who, for people.
        by: String,
        /// What.
        answer: Answer,
    },
    /// A `for_each` step has these instances.
    #[serde(rename = "expanded")]
    StepExpanded {
        /// Name of the step.
        step: String,
        /// Keys of its instances.
        keys: Vec<String>,
    },
    /// A step begins: its first attempt, or the first one after the run was reopened, is about to be made.
    #[serde(rename = "started")]
    StepStarted {
        /// Name of the step, with its key: `join[worker-1]`.
        step: String,
        /// Number of the attempt; higher than that of any attempt before.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        attempt: u32,
    },
    /// A later attempt of a step has begun, or waits. Only the latest one of a step is kept.
    #[serde(rename = "moved")]
    AttemptMoved {
        /// Name of the step.
        step: String,
        /// Which attempt.
        attempt: Attempt,
        /// What became of it.
        to: AttemptTransition,
        /// What the step's attempts have changed in the world so far, for people.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<String>,
    },
    /// An attempt stored something for the next one. Only the latest one of a step is kept.
    Checkpointed {
        /// Name of the step.
        step: String,
        /// What it stored; `null` clears.
        value: Value,
        /// Which attempt; 0 where it is not known.
        #[serde(default, skip_serializing_if = "is_zero")]
        attempt: u32,
        /// What this attempt has changed in the world so far, for people: it counts if the attempt is lost.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<String>,
    },
    /// A step is done.
    #[serde(rename = "succeeded")]
    StepSucceeded {
        /// Name of the step.
        step: String,
        /// What other steps can refer to.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        output: Value,
        /// What its attempts have changed in the world, for people. Empty: nothing.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<String>,
        /// Whether the effect was found after an unknown outcome instead of being made now.
        #[serde(default, skip_serializing_if = "is_false")]
        found: bool,
    },
    /// A step was left out because its condition was false.
    #[serde(rename = "skipped")]
    StepSkipped {
        /// Name of the step.
        step: String,
    },
    /// A step failed for good.
    #[serde(rename = "failed")]
    StepFailed {
        /// Name of the step.
        step: String,
        /// Why.
        error: ActionError,
        /// What the step's attempts have changed in the world so far, for people.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<String>,
    },
    /// A step may or may not have happened, and only a person can tell.
    #[serde(rename = "in_doubt")]
    StepInDoubt {
        /// Name of the step.
        step: String,
        /// What was seen last.
        error: ActionError,
        /// What the step's attempts have changed in the world so far, for people.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<String>,
    },
    /// Nothing is left to do.
    RunFinished {
        /// How it ended.
        outcome: Outcome,
        /// The workflow's outputs.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        outputs: Map<String, Value>,
    },
}

fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_first(attempt: &u32) -> bool {
    *attempt == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(attempt: &u32) -> bool {
    *attempt == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What a person says of a step that waits for approval or is in doubt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It may begin.
    Approved,
    /// It is not to begin.
    Refused {
        /// Why, as the failure of the step.
        error: ActionError,
    },
    /// It did take effect.
    Done {
        /// What other steps can refer to.
        output: Value,
    },
    /// It did not take effect: it is to be made.
    NotDone,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step is done or skipped.
    Succeeded,
    /// A step failed; the run can be resumed.
    Failed,
    /// A step may or may not have happened; a person has to look.
    InDoubt,
    /// A step can begin once a person says so; the run can then be resumed.
    #[serde(rename = "waiting")]
    AwaitingApproval,
    /// A person wanted it to end; it cannot be resumed.
    Cancelled,
}

impl Outcome {
    /// Whether nobody can go on with the run.
    pub fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Cancelled => true,
            Self::Failed | Self::InDoubt | Self::AwaitingApproval => false,
        }
    }
}

/// Which attempt of a step, and what counts against its retry policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// Failures since the step began or the run was taken over.
    pub failures: u32,
    /// Since when the retry budget runs.
    pub since: UnixMillis,
}

/// What an attempt does: the step itself, or a look whether an earlier attempt took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptMode {
    /// Do it.
    Run,
    /// Look whether it has been done.
    Find,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptTransition {
    /// It has begun.
    Running {
        /// What it does.
        mode: AttemptMode,
    },
    /// It failed, and another one follows.
    #[serde(rename = "waiting")]
    BackingOff {
        /// When the next one begins.
        until: UnixMillis,
        /// What the next one does.
        mode: AttemptMode,
        /// Why it failed.
        error: ActionError,
    },
}

/// Where an entry is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredIn<'a> {
    /// Appended to the run's history.
    History,
    /// In place of the step's previous attempt, so that retries do not grow the history.
    Attempt(&'a str),
    /// In place of the step's previous checkpoint.
    Checkpoint(&'a str),
}

impl Entry {
    /// Where the entry is kept.
    pub fn stored_in(&self) -> StoredIn<'_> {
        match self {
            Self::AttemptMoved { step, .. } => StoredIn::Attempt(step),
            Self::Checkpointed { step, .. } => StoredIn::Checkpoint(step),
            Self::RunCreated { .. }
            | Self::RunAcquired { .. }
            | Self::RunReopened
            | Self::CancelRequested { .. }
            | Self::ApprovalAsked { .. }
            | Self::StepAnswered { .. }
            | Self::StepExpanded { .. }
            | Self::StepStarted { .. }
            | Self::StepSucceeded { .. }
            | Self::StepSkipped { .. }
            | Self::StepFailed { .. }
            | Self::StepInDoubt { .. }
            | Self::RunFinished { .. } => StoredIn::History,
        }
    }
}

/// An entry with the moment it was journaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedEntry {
    /// When.
    pub at: UnixMillis,
    /// What.
    #[serde(flatten)]
    pub entry: Entry,
}
