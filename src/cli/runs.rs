//! Access to stored runs by name, and the state that is folded from their entries. Nothing here
//! acquires a run.

use stargate::{
    clock::UnixMillis,
    engine::EngineError,
    id::RunId,
    journal::{Journal, Owner, RunRow, StoredRun},
    plan::Plan,
    run::{RunState, StepId, StepState},
    workflow::suggest_name,
};

use super::{Failure, exit::Exit, hint};

/// Name of the newest run on the command line.
const LATEST: &str = "@latest";

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
    RunState::recover(plan, &stored.history, &stored.latest).map_err(|error| {
        let message = format!("the history of run {} cannot be read: {error}", stored.row.id);
        Failure::new(Exit::Internal, message, "use the version of stargate that started the run")
    })
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
