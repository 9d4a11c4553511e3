//! Failures of commands: the mapping from each error of the library to message, exit code and hint.
//!
//! An error of the library names its cause as data. Only here it becomes text for the user, so all
//! commands report it alike.

use std::fmt;

use serde_json::{Value, json};
use stargate::{
    clock::{Clock, UnixMillis},
    engine::{EngineError, LockHolder},
    id::{RunId, RunIdError},
    journal::{JournalError, LockTaking, Owner},
    plan::{PlanError, StoredPlanError},
    run::StepRetryError,
    workflow::Diagnostics,
};

use super::{args::Output, diagnostics, exit::Exit, format, hint, runs, ui};

/// Reason for which a command failed, with its exit code and the next command or change.
///
/// Each error that a command returns is converted to this type here, so that the same cause has the
/// same code and the same hint in each command.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// Message: lower case, no full stop, names the object and the cause.
    message: String,
    hint: String,
    /// Run that the failure is about, if a command works on several runs.
    run: Option<RunId>,
    /// Errors of a workflow, shown with the source text.
    diagnostics: Option<Diagnostics>,
}

impl Failure {
    /// Creates a failure. The hint names the exact command to run or the change to make; it begins
    /// with an imperative.
    pub(crate) fn new(exit: Exit, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: hint.into(), run: None, diagnostics: None }
    }

    /// Creates a failure for an unusable command line or setting.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message, hint)
    }

    /// Creates a failure for a cause that the user cannot correct.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Internal, message, "run the same command with `--log debug` to see the cause")
    }

    /// Creates a failure for errors in a workflow or its inputs.
    pub(crate) fn invalid(diagnostics: Diagnostics, hint: impl Into<String>) -> Self {
        Self {
            exit: Exit::Invalid,
            message: diagnostics.to_string(),
            hint: hint.into(),
            run: None,
            diagnostics: Some(diagnostics),
        }
    }

    /// Names the run that the failure is about: for a command that continues with other runs.
    pub(crate) fn of_run(mut self, run: &RunId) -> Self {
        if !self.message.contains(run.as_str()) {
            self.message = format!("cannot resume run {run}: {}", self.message);
        }
        Self { run: Some(run.clone()), ..self }
    }

    /// Returns the exit code of the process.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns the command or change that the reader needs next.
    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }

    /// Returns the errors of a workflow or its inputs that are the cause.
    pub(crate) fn diagnostics(&self) -> Option<&Diagnostics> {
        self.diagnostics.as_ref()
    }

    /// Reports the failure, as an event on stdout with `--output json`, and always on stderr.
    /// Returns the exit code.
    pub(crate) fn report(&self, output: Output) -> Exit {
        if output == Output::Json {
            ui::out_json(&self.to_json());
        }
        self.show();
        self.exit
    }

    /// Prints diagnostics, message and hint on stderr.
    pub(crate) fn show(&self) {
        if let Some(found) = &self.diagnostics {
            diagnostics::show(found);
        }
        ui::err(&format!("{} {}", ui::paint_err(ui::Tone::Bad, "error:"), self.message));
        ui::hint(&self.hint);
    }

    /// Returns the failure as an event: `{event: "error", run, exit, message, hint, diagnostics}`.
    fn to_json(&self) -> Value {
        json!({
            "event": "error", "run": self.run, "exit": self.exit.code(), "message": self.message, "hint": self.hint,
            "diagnostics": self.diagnostics,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let hint = match &error {
            JournalError::NoSuchRun(_) => return Self::usage(error.to_string(), hint::runs()),
            JournalError::Open { .. } | JournalError::Scheme { .. } | JournalError::Foreign { .. } => {
                "add `--journal PATH` to use another file".into()
            }
            JournalError::Newer { .. } => "use the version of stargate that wrote it, or a later one".into(),
            JournalError::NotDurable { .. } => {
                "add `--journal PATH` with a path on a local disk; a container needs the whole folder".into()
            }
            JournalError::Displaced { .. } => {
                "put the file back where it was, then run `stargate history` to see which runs it has".into()
            }
            JournalError::Corrupt(_) => "restore the file from a backup, or add `--journal PATH` to use another".into(),
            JournalError::Full => "free disk space, then run `stargate resume` to continue".into(),
            JournalError::ReadOnly => {
                "make the file and its folder writable, then run `stargate resume` to continue".into()
            }
            JournalError::Busy => "find the process that locks the file, then run `stargate resume` to continue".into(),
            JournalError::Unreadable { run, .. } => hint::unreadable(run),
            JournalError::Database(_) => "run `stargate resume` to continue".into(),
        };
        Self::new(Exit::Journal, error.to_string(), hint)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Journal(error) => error.into(),
            EngineError::Owned { run, owner, until } => owned(&run, &owner, until),
            EngineError::Locked(holder) => locked(&holder),
            EngineError::Overtaken { run, by } => overtaken(&run, &by),
            EngineError::LockedElsewhere(_) => {
                let hint = "add `--wait-for-locks 10m` to wait for it; it expires if its holder has ended";
                Self::new(Exit::Locked, message, hint)
            }
            EngineError::LockUnavailable { error, .. } => {
                let hint = "run `stargate doctor` to see which permissions are missing: no run was started";
                Self::new(Exit::Usage, message, error.hint.unwrap_or_else(|| hint.into()))
            }
            EngineError::RemoteLockLost { run, .. } => Self::new(Exit::Locked, message, hint::resume(&run)),
            EngineError::OtherTarget(mismatch) => Self::usage(message, mismatch.hint()),
            EngineError::UnverifiedTarget(unverified) => Self::usage(message, unverified.hint()),
            EngineError::WaitInterrupted { .. } => {
                Self::new(Exit::Interrupted, message, "run the same command again: no run was started")
            }
            EngineError::TakenMeanwhile(by) => Self::new(Exit::Owned, message, hint::history(&by.run)),
            EngineError::Cancelled(run) => {
                let message = format!("run {run} was cancelled and cannot be resumed");
                Self::new(Exit::Cancelled, message, "run `stargate run workflow NAME` to start another")
            }
            EngineError::NoSuchStep { run, step } => {
                Self::usage(format!("run {run} has no step {step:?}"), why_hint(&run))
            }
            EngineError::CannotRetry { run, source } => Self::retry(&run, &source),
            EngineError::UnexpectedAnswer { run, step, state } => Self::usage(
                format!("step {step:?} of run {run} does not need this answer: it is {state}"),
                why_hint(&run),
            ),
            EngineError::InvalidOutput { action, .. } => Self::usage(
                message,
                format!("run `stargate actions {action}` to see its output, and add it with `--result JSON`"),
            ),
            EngineError::Fenced(run) => Self::new(Exit::Owned, message, hint::history(&run)),
            EngineError::IllegalHistory { run, .. }
            | EngineError::StoredPlan { run, source: StoredPlanError::Unreadable(_) } => {
                Self::new(Exit::Journal, message, hint::unreadable(&run))
            }
            EngineError::StoredPlan { run, source: StoredPlanError::Changed { .. } } => {
                let hint = format!(
                    "restore the journal from a backup, or run `stargate cancel {run}`, then `stargate run workflow NAME` to start another run"
                );
                Self::new(Exit::Journal, message, hint)
            }
            EngineError::Action { .. } => {
                Self::new(Exit::Internal, message, "use the version of stargate that started the run")
            }
            EngineError::Plan(error) => error.into(),
            EngineError::LockLost(_) | EngineError::Identity(_) | EngineError::Stopped => Self::internal(message),
        }
    }
}

impl Failure {
    /// Creates the failure for a step that cannot be executed again.
    pub(crate) fn retry(run: &RunId, error: &StepRetryError) -> Self {
        let hint = match error {
            StepRetryError::NoSuchStep(_) => hint::history(run),
            StepRetryError::Finally(_) => "name a step under `steps`".to_owned(),
            StepRetryError::Unresolved { state, .. } if state.as_str() == "in_doubt" => why_hint(run),
            StepRetryError::Unresolved { .. } => {
                format!("run `stargate resume {run}` first, which finds out whether it took effect")
            }
        };
        Self::usage(error.to_string(), hint)
    }
}

/// Suggests to show the steps that need an answer.
fn why_hint(run: &RunId) -> String {
    format!("run `stargate why {run}` to see which steps need an answer")
}

/// Creates the failure for a run that another process owns.
fn owned(run: &RunId, owner: &Owner, until: UnixMillis) -> Failure {
    let hint = if until > Clock::system().now() {
        format!("wait until it ends, or stop process {} and run `stargate resume {run}` to continue", owner.pid)
    } else {
        format!(
            "run `kill -CONT {}` if it is stopped, or `stargate resume {run} --take-over` to take the run from it",
            owner.pid
        )
    };
    Failure::new(Exit::Owned, format!("run {run} is owned by {owner}; {}", lease_text(owner, until)), hint)
}

/// Describes the lease of a live owner, which expires or has expired at `until`.
pub(super) fn lease_text(owner: &Owner, until: UnixMillis) -> String {
    let time = format::time_of_day(until);
    let is_stopped = Owner::current_process().is_ok_and(|here| owner.is_stopped(&here));
    match (is_stopped, until > Clock::system().now()) {
        (false, true) => format!("its lease expires at {time} unless renewed"),
        (true, true) => format!("it is stopped, and its lease expires at {time}"),
        (false, false) => format!("it exists, but its lease expired at {time}"),
        (true, false) => format!("it is stopped, and its lease expired at {time}"),
    }
}

/// Creates the failure for a run that another one has overtaken.
fn overtaken(run: &RunId, by: &LockTaking) -> Failure {
    let hint =
        format!("run the workflow again, then `stargate cancel {run}`, or add `--overtaken` to resume it anyway");
    Failure::new(Exit::Overtaken, runs::overtaken_text(run, by), hint)
}

/// Creates the failure for a lock that another run holds.
fn locked(holder: &LockHolder) -> Failure {
    let LockHolder { lock, run, workflow, owner, until } = holder;
    let message =
        format!("lock {lock:?} is held by run {run} of {workflow}, owned by {owner}; {}", lease_text(owner, *until));
    let hint = if *until > Clock::system().now() {
        format!(
            "add `--wait-for-locks 10m` to wait for it, or run `stargate history {run}` to see the progress of that run"
        )
    } else {
        format!("run `kill -CONT {}` if it is stopped, or `stargate cancel {run}` to end that run", owner.pid)
    };
    Failure::new(Exit::Locked, message, hint)
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::new(Exit::Internal, error.to_string(), "use the version of stargate that started the run")
    }
}

impl From<RunIdError> for Failure {
    fn from(error: RunIdError) -> Self {
        Self::usage(error.to_string(), hint::runs())
    }
}
