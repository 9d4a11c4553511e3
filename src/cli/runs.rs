//! Access to stored runs by name, and the state that is folded from their entries. Nothing here
//! acquires a run.

use stargate::{
    clock::UnixMillis,
    engine::EngineError,
    id::RunId,
    journal::{Journal, LockTaking, Owner, RunRow, StoredRun},
    plan::Plan,
    run::{RunState, RunStatus, StepId, StepState},
    workflow::suggest_name,
};
use stargate_sdk::FailureKind;

use super::{Failure, format, hint};

/// Name of the newest run on the command line.
pub(crate) const LATEST: &str = "@latest";

/// Returns the id that `text` names: a run id or `@latest`.
pub(crate) async fn find(journal: &dyn Journal, text: &str) -> Result<RunId, Failure> {
    if text != LATEST {
        return Ok(text.parse::<RunId>()?);
    }
    journal.runs(1).await?.pop().map(|row| row.id).ok_or_else(no_runs)
}

/// Creates the failure for a journal without runs.
pub(crate) fn no_runs() -> Failure {
    Failure::usage("the journal has no runs yet", "run `stargate run workflow NAME` to start one")
}

/// Creates the failure for an id that is not in the journal.
pub(crate) fn unknown_run(text: &str) -> Failure {
    Failure::usage(format!("the journal has no run {text}"), hint::runs())
}

/// Reads the plan of a stored run.
pub(crate) fn plan_of(stored: &StoredRun) -> Result<Plan, Failure> {
    Plan::from_stored(&stored.plan_json, &stored.row.plan_digest)
        .map_err(|source| EngineError::StoredPlan { run: stored.row.id.clone(), source }.into())
}

/// Folds the entries of a stored run. The state is a copy; nothing is acquired.
pub(crate) fn state_of(stored: &StoredRun, plan: &Plan) -> Result<RunState, Failure> {
    RunState::recover(plan, &stored.history, &stored.latest)
        .map_err(|source| EngineError::IllegalHistory { run: stored.row.id.clone(), source }.into())
}

/// Finds a step by name. If there is none, the hint suggests `command` with the most similar name.
pub(crate) fn find_step(run: &RunId, state: &RunState, name: &str, command: &str) -> Result<StepId, Failure> {
    state.find(name).ok_or_else(|| {
        let hint = match suggest_name(name, state.steps().map(|id| state.name(id))) {
            Some(near) => format!("run `stargate {command} {run} '{near}'` for the step with the most similar name"),
            None => hint::history(run),
        };
        Failure::usage(format!("run {run} has no step {name:?}"), hint)
    })
}

/// Returns the run that has overtaken an unfinished run, if any: it has held a lock of the run
/// since.
pub(crate) async fn overtaken_by(
    journal: &dyn Journal,
    row: &RunRow,
    plan: &Plan,
) -> Result<Option<LockTaking>, Failure> {
    let is_final = matches!(row.status, RunStatus::Finished(outcome) if outcome.is_final());
    if is_final || plan.locks.is_empty() {
        return Ok(None);
    }
    let takers = journal.last_takers(plan.locks.clone()).await?;
    Ok(takers.into_iter().find(|taking| taking.overtakes(&row.id)))
}

/// Describes that `by` has overtaken the run.
pub(crate) fn overtaken_text(run: &RunId, by: &LockTaking) -> String {
    let since = format::date_and_time(by.at);
    format!("run {run} is overtaken: run {} of {} has held its lock {:?} since {since}", by.run, by.workflow, by.lock)
}

/// True if a step has failed in a way that the same inputs cannot avoid.
pub(crate) fn needs_other_inputs(state: &RunState) -> bool {
    state
        .steps()
        .any(|id| matches!(state.state(id), StepState::Failed { error } if error.kind == FailureKind::Permanent))
}

/// Returns the command that continues an interrupted or failed run, or that replaces it if it
/// cannot continue.
pub(crate) fn continue_hint(row: &RunRow, state: &RunState, overtaken: bool) -> String {
    if overtaken || needs_other_inputs(state) { hint::run_again(&row.workflow, &row.id) } else { hint::resume(&row.id) }
}

/// True if a live process owns the run.
pub(crate) fn is_owned(row: &RunRow, here: &Owner, now: UnixMillis) -> bool {
    row.live_owner(here, now).is_some()
}

/// Counts the steps that are done, and all steps. Instances of a `for_each` step are counted
/// instead of the step.
pub(crate) fn progress(state: &RunState) -> (usize, usize) {
    let steps = state.counted_steps();
    let done = steps.iter().filter(|id| matches!(state.state(**id), StepState::Succeeded { .. } | StepState::Skipped));
    (done.count(), steps.len())
}
