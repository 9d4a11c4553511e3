//! Access to stored runs by name, and the state that is folded from their entries. Nothing here
//! acquires a run.

use std::time::Duration;

use stargate::{
    clock::UnixMillis,
    engine::EngineError,
    id::RunId,
    journal::{Journal, LockTaking, Owner, RunRow, StoredRun},
    plan::Plan,
    run::{Entry, Outcome, RunState, RunStatus, StepId, StepState},
    workflow::suggest_name,
};
use stargate_sdk::FailureKind;

use super::{Failure, format, hint};

/// Name of the newest run on the command line.
pub(crate) const LATEST: &str = "@latest";

/// Number of newest runs among which earlier ones of a workflow are searched.
const SEARCHED_RUNS: u32 = 200;
/// Number of earlier runs of which the usual duration is the median.
const EXAMPLES: usize = 5;

/// Minimum length of the beginning of an id: ids begin with a time, and shorter ones are the same
/// for weeks.
const MIN_PREFIX: usize = 4;

/// Returns the id that `text` names: a run id, the beginning of one that no other run has, or
/// `@latest`.
pub(crate) async fn find(journal: &dyn Journal, text: &str) -> Result<RunId, Failure> {
    if text != LATEST {
        return match text.parse::<RunId>() {
            Ok(id) => Ok(id),
            Err(error) => find_by_prefix(journal, text).await?.ok_or_else(|| error.into()),
        };
    }
    journal.runs(1).await?.pop().map(|row| row.id).ok_or_else(no_runs)
}

/// Returns the run whose id begins with `text`, in any case; `None` if there is none.
///
/// # Errors
///
/// A usage failure if several ids begin so.
async fn find_by_prefix(journal: &dyn Journal, text: &str) -> Result<Option<RunId>, Failure> {
    let prefix = text.to_ascii_uppercase();
    let rows = if prefix.len() < MIN_PREFIX { Vec::new() } else { journal.runs(u32::MAX).await? };
    let mut found: Vec<_> = rows.into_iter().map(|row| row.id).filter(|id| id.as_str().starts_with(&prefix)).collect();
    if found.len() > 1 {
        let some = found.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message =
            format!("{} runs begin with {text}: {some}{}", found.len(), if found.len() > 3 { ", …" } else { "" });
        return Err(Failure::usage(message, "give more of the id"));
    }
    Ok(found.pop())
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
    let is_permanent =
        |id| matches!(state.state(id), StepState::Failed { error } if error.kind == FailureKind::Permanent);
    state.steps().any(|id| is_permanent(id) && !state.is_failure_allowed(id))
}

/// Returns the command that continues an interrupted or failed run, or that replaces it if it
/// cannot continue.
pub(crate) fn continue_hint(row: &RunRow, state: &RunState, overtaken: bool) -> String {
    if overtaken || needs_other_inputs(state) { hint::run_again(&row.workflow, &row.id) } else { hint::resume(&row.id) }
}

/// Returns the latest run of a workflow that succeeded.
pub(crate) async fn last_success(journal: &dyn Journal, workflow: &str) -> Result<Option<RunRow>, Failure> {
    let rows = journal.runs(SEARCHED_RUNS).await?;
    Ok(rows.into_iter().find(|row| is_success_of(row, workflow)))
}

fn is_success_of(row: &RunRow, workflow: &str) -> bool {
    row.workflow == workflow && row.status == RunStatus::Finished(Outcome::Succeeded)
}

/// Returns the usual duration of a workflow: the median of its latest runs that succeeded. `None`
/// if there was none.
pub(crate) async fn usual_duration(journal: &dyn Journal, workflow: &str) -> Result<Option<Duration>, Failure> {
    let rows = journal.runs(SEARCHED_RUNS).await?;
    let examples = rows.iter().filter(|row| is_success_of(row, workflow)).take(EXAMPLES);
    let mut durations: Vec<_> = examples.map(|row| row.updated_at.since(row.created_at)).collect();
    durations.sort_unstable();
    Ok(durations.get(durations.len() / 2).copied())
}

/// Returns the time for which processes have executed a run: from its creation to its last entry,
/// without the time between an interruption and the next acquisition. With `now`, the run is being
/// executed.
pub(crate) fn active_time(stored: &StoredRun, now: Option<UnixMillis>) -> Duration {
    let latest = stored.latest.iter().map(|timed| (timed.at, false));
    let history = stored.history.iter();
    let mut times: Vec<_> = history
        .map(|timed| (timed.at, matches!(timed.entry, Entry::RunAcquired { .. })))
        .chain(latest)
        .chain(now.map(|now| (now, false)))
        .collect();
    times.sort_by_key(|(at, _)| *at); // stable: an acquisition stays after what preceded it
    times.windows(2).filter(|pair| !pair[1].1).map(|pair| pair[1].0.since(pair[0].0)).sum()
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
