use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionError, TargetId};

use super::{Outcome, Shared};
use crate::{
    clock::UnixMillis,
    id::{Epoch, PlanDigest},
    plan::Outputs,
};

/// One immutable fact about a run, in the past tense.
///
/// Entries are stored as JSON and read by later programs: names and fields keep their stored text.
/// Steps are named and never numbered; an instance of a `for_each` step is named with its key, such
/// as `join[worker-1]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The run was created. First entry of each run.
    RunCreated {
        /// Digest of the run's plan, which is stored separately.
        #[serde(rename = "plan")]
        plan_digest: PlanDigest,
    },
    /// A process acquired the run; attempts that were running have an unknown outcome from here on.
    RunAcquired {
        /// Epoch of the new owner.
        epoch: Epoch,
        /// Description of the new owner, for operators.
        owner: String,
        /// True if results that grow old are obtained again: those of `Observe` and `Ensure` steps,
        /// conditions and the lists of `for_each` steps.
        #[serde(default, skip_serializing_if = "is_false")]
        refresh: bool,
    },
    /// The finished run was opened again: failed steps are ready to retry.
    RunReopened,
    /// An operator requested that steps are executed again although they have a result. The run is
    /// opened again, and results that grow old are obtained again.
    StepsReset {
        /// Names of the steps, with their keys, and the number of attempts that each has had.
        steps: BTreeMap<String, u32>,
    },
    /// The run works on this external system, and on no other one under the same target.
    TargetRecorded {
        /// Name of the target, such as `azure`.
        target: String,
        /// Identity of the system.
        #[serde(flatten)]
        identity: TargetId,
    },
    /// An operator requested that the run ends: no further attempts start. External entry.
    CancelRequested {
        /// Description of the process that wrote the request, for operators.
        by: String,
    },
    /// A step is ready and waits for approval.
    #[serde(rename = "asked")]
    ApprovalRequested {
        /// Name of the step.
        step: String,
        /// Question that the workflow asks.
        question: String,
    },
    /// An operator answered for a step that waits for approval or is in doubt. External entry.
    #[serde(rename = "answered")]
    StepAnswered {
        /// Name of the step, with its key.
        step: String,
        /// Description of the process that wrote the answer, for operators.
        by: String,
        /// Decision of the operator.
        answer: Answer,
    },
    /// A `for_each` step got its instances.
    #[serde(rename = "expanded")]
    StepExpanded {
        /// Name of the step.
        step: String,
        /// Keys of its instances, in the order of its items.
        keys: Vec<String>,
    },
    /// A step started: its first attempt, or the first one after the run was reopened, is about to
    /// be made.
    #[serde(rename = "started")]
    StepStarted {
        /// Name of the step, with its key.
        step: String,
        /// Number of the attempt; higher than that of each earlier attempt.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        attempt: u32,
        /// Changes that attempts before the run was acquired have made.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<String>,
    },
    /// A later attempt of a step started, or the step is backing off. Only the latest one of a step
    /// is kept.
    #[serde(rename = "moved")]
    AttemptChanged {
        /// Name of the step, with its key.
        step: String,
        /// Attempt that the entry is about.
        attempt: Attempt,
        /// New state of the attempt.
        to: AttemptTransition,
        /// Changes that the step's attempts have made so far.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<String>,
    },
    /// An attempt stored a checkpoint. Only the latest one of a step is kept.
    Checkpointed {
        /// Name of the step, with its key.
        step: String,
        /// Value of the checkpoint; `null` removes it.
        value: Value,
        /// Number of the attempt; 0 in entries of programs that did not store it.
        #[serde(default, skip_serializing_if = "is_zero")]
        attempt: u32,
        /// Changes that this attempt has made so far: they count if its outcome remains unknown.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<String>,
    },
    /// A step succeeded.
    #[serde(rename = "succeeded")]
    StepSucceeded {
        /// Name of the step, with its key.
        step: String,
        /// Output of the step, which other steps can refer to.
        #[serde(default, skip_serializing_if = "is_null")]
        output: Shared<Value>,
        /// Changes that the step's attempts have made; empty if the step is unchanged.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<String>,
        /// True if the effect was found after an unknown outcome.
        #[serde(default, skip_serializing_if = "is_false")]
        found: bool,
    },
    /// A step was skipped because its condition was false.
    #[serde(rename = "skipped")]
    StepSkipped {
        /// Name of the step.
        step: String,
    },
    /// A `for_each` step with items was stopped, because a step that it needs has failed.
    #[serde(rename = "stopped")]
    StepStopped {
        /// Name of the step.
        step: String,
    },
    /// A step failed; no attempt follows until the run is resumed.
    #[serde(rename = "failed")]
    StepFailed {
        /// Name of the step, with its key.
        step: String,
        /// Error of the last attempt.
        error: ActionError,
        /// Changes that the step's attempts have made so far.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<String>,
    },
    /// A step is in doubt: an operator must resolve it.
    #[serde(rename = "in_doubt")]
    StepInDoubt {
        /// Name of the step, with its key.
        step: String,
        /// Error of the last attempt.
        error: ActionError,
        /// Changes that the step's attempts have made so far.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<String>,
    },
    /// All steps have ended that are not under `finally`, and those under it are ready.
    FinallyStarted {
        /// Outcome of the steps that have ended.
        outcome: Outcome,
    },
    /// The run finished.
    RunFinished {
        /// Result of the run.
        outcome: Outcome,
        /// Outputs of the workflow; empty unless the run succeeded.
        #[serde(default, skip_serializing_if = "is_empty")]
        outputs: Shared<Outputs>,
    },
}

fn is_null(output: &Shared<Value>) -> bool {
    output.is_null()
}

fn is_empty(outputs: &Shared<Outputs>) -> bool {
    outputs.is_empty()
}

/// Size from which on an entry is large, in bytes.
const LARGE_BYTES: usize = 64 * 1024;

/// Subtracts the length of each text, key and value from `left`. Returns `false` if that is less.
fn take_texts(value: &Value, left: &mut usize) -> bool {
    let own = if let Value::String(text) = value { text.len() } else { 1 };
    let Some(rest) = left.checked_sub(own) else { return false };
    *left = rest;
    match value {
        Value::Array(items) => items.iter().all(|item| take_texts(item, left)),
        Value::Object(members) => members.iter().all(|(key, member)| {
            *left = left.saturating_sub(key.len());
            take_texts(member, left)
        }),
        _ => true,
    }
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

/// Decision of an operator about a step that waits for approval or is in doubt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The step is approved.
    Approved,
    /// The step is refused and fails.
    Refused {
        /// Error with which the step fails.
        error: ActionError,
    },
    /// The step took effect and succeeds.
    Done {
        /// Output of the step, which other steps can refer to.
        output: Value,
    },
    /// The step did not take effect and is ready to retry.
    NotDone,
}

/// One attempt of a step, with the state of its retry policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Number of the attempt, from 1.
    pub number: u32,
    /// Number of failures since the step started or the run was acquired.
    pub failures: u32,
    /// Time at which the retry budget started.
    pub since: UnixMillis,
}

/// Purpose of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptMode {
    /// Runs the action.
    Run,
    /// Finds out whether an earlier attempt took effect.
    Find,
}

/// New state of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptTransition {
    /// The attempt started.
    Running {
        /// Purpose of the attempt.
        mode: AttemptMode,
    },
    /// The attempt failed and another one is scheduled.
    #[serde(rename = "waiting")]
    BackingOff {
        /// Time at which the next attempt starts.
        until: UnixMillis,
        /// Purpose of the next attempt.
        mode: AttemptMode,
        /// Error of the failed attempt.
        error: ActionError,
    },
}

/// Part of the journal that keeps an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredIn<'a> {
    /// Appended to the run's history.
    History,
    /// Replaces the latest attempt of the named step, so that retries do not grow the history.
    Attempt(&'a str),
    /// Replaces the latest checkpoint of the named step.
    Checkpoint(&'a str),
}

impl Entry {
    /// Returns the part of the journal that keeps the entry.
    pub fn stored_in(&self) -> StoredIn<'_> {
        match self {
            Self::AttemptChanged { step, .. } => StoredIn::Attempt(step),
            Self::Checkpointed { step, .. } => StoredIn::Checkpoint(step),
            Self::RunCreated { .. }
            | Self::RunAcquired { .. }
            | Self::RunReopened
            | Self::StepsReset { .. }
            | Self::TargetRecorded { .. }
            | Self::CancelRequested { .. }
            | Self::ApprovalRequested { .. }
            | Self::StepAnswered { .. }
            | Self::StepExpanded { .. }
            | Self::StepStarted { .. }
            | Self::StepSucceeded { .. }
            | Self::StepSkipped { .. }
            | Self::StepStopped { .. }
            | Self::StepFailed { .. }
            | Self::StepInDoubt { .. }
            | Self::FinallyStarted { .. }
            | Self::RunFinished { .. } => StoredIn::History,
        }
    }

    /// True if the entry contains an output of 64 KiB or more, without its numbers.
    pub fn is_large(&self) -> bool {
        let mut left = LARGE_BYTES;
        let is_small = match self {
            Self::StepSucceeded { output, .. } => take_texts(output, &mut left),
            Self::RunFinished { outputs, .. } => outputs.iter().all(|(_, output)| take_texts(output, &mut left)),
            _ => true,
        };
        !is_small
    }

    /// True if the entry can be appended by a process that does not own the run.
    pub fn is_external(&self) -> bool {
        match self {
            Self::CancelRequested { .. } | Self::StepAnswered { .. } => true,
            Self::RunCreated { .. }
            | Self::RunAcquired { .. }
            | Self::RunReopened
            | Self::StepsReset { .. }
            | Self::TargetRecorded { .. }
            | Self::ApprovalRequested { .. }
            | Self::StepExpanded { .. }
            | Self::StepStarted { .. }
            | Self::AttemptChanged { .. }
            | Self::Checkpointed { .. }
            | Self::StepSucceeded { .. }
            | Self::StepSkipped { .. }
            | Self::StepStopped { .. }
            | Self::StepFailed { .. }
            | Self::StepInDoubt { .. }
            | Self::FinallyStarted { .. }
            | Self::RunFinished { .. } => false,
        }
    }
}

/// An entry with the time at which it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedEntry {
    /// Time at which the entry was written.
    pub at: UnixMillis,
    /// The fact itself.
    #[serde(flatten)]
    pub entry: Entry,
}

impl TimedEntry {
    /// True if the entry is appended to the run's history, and so has a sequence number.
    pub fn is_in_history(&self) -> bool {
        self.entry.stored_in() == StoredIn::History
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries as version 0.1.0 stored them, one of each kind and form, then those of later
    /// versions.
    const STORED: &str = r#"
{"run_created":{"plan":"d1"}}
{"run_acquired":{"epoch":2,"owner":"process 7 on a"}}
{"run_acquired":{"epoch":2,"owner":"process 7 on a","refresh":true}}
"run_reopened"
{"target_recorded":{"target":"azure","id":"i","address":"a","description":"d"}}
{"target_recorded":{"target":"azure","address":"a","description":"d"}}
{"cancel_requested":{"by":"process 7 on a"}}
{"asked":{"step":"a","question":"go on?"}}
{"answered":{"step":"a","by":"process 7 on a","answer":"approved"}}
{"answered":{"step":"a","by":"p","answer":{"refused":{"error":{"kind":"permanent","message":"no"}}}}}
{"answered":{"step":"a","by":"p","answer":{"done":{"output":{"x":1}}}}}
{"answered":{"step":"a","by":"p","answer":"not_done"}}
{"expanded":{"step":"a","keys":["x","y"]}}
{"started":{"step":"a[x]"}}
{"started":{"step":"a[x]","attempt":3}}
{"started":{"step":"a[x]","attempt":3,"changes":["x"]}}
{"moved":{"step":"a","attempt":{"number":2,"failures":1,"since":5},"to":{"running":{"mode":"find"}}}}
{"moved":{"step":"a","attempt":{"number":2,"failures":1,"since":5},"to":{"waiting":{"until":9,"mode":"run","error":{"kind":"transient","message":"busy"}}},"changes":["x"]}}
{"checkpointed":{"step":"a","value":{"operation":"u"}}}
{"checkpointed":{"step":"a","value":null,"attempt":2,"changes":["x"]}}
{"succeeded":{"step":"a"}}
{"succeeded":{"step":"a","output":{"x":1},"changes":["x"],"found":true}}
{"skipped":{"step":"a"}}
{"stopped":{"step":"a"}}
{"failed":{"step":"a","error":{"kind":"unknown","message":"lost"}}}
{"in_doubt":{"step":"a","error":{"kind":"unknown","message":"lost"},"changes":["x"]}}
{"run_finished":{"outcome":"succeeded","outputs":{"x":1}}}
{"run_finished":{"outcome":"failed"}}
{"run_finished":{"outcome":"in_doubt"}}
{"run_finished":{"outcome":"waiting"}}
{"run_finished":{"outcome":"cancelled"}}
{"finally_started":{"outcome":"failed"}}
{"steps_reset":{"steps":{"a":1,"b[x]":0}}}
"#;

    #[test]
    fn entries_of_version_0_1_0_are_read_and_written_byte_for_byte() {
        for stored in STORED.trim().lines() {
            let entry: Entry = serde_json::from_str(stored).unwrap_or_else(|error| panic!("{stored}: {error}"));
            assert_eq!(serde_json::to_string(&entry).expect("JSON"), stored);
        }
    }
}
