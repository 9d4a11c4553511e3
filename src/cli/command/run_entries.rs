//! Entries of one run, for `stargate history RUN`.
//!
//! JSON: `{run, workflow, status, plan, inputs, locks, targets, steps_done, steps, started,
//! updated, owner, overtaken_by, entries, hint}`, with the entries as they are stored.

use serde_json::{Value, json};
use stargate::{
    journal::{Journal, LockTaking, StoredRun},
    run::{AttemptMode, AttemptTransition, Entry, ObservedStatus, Outcome, RunState, StoredIn, TimedEntry},
};
use stargate_sdk::ActionError;

use super::view_context::ViewContext;
use crate::cli::{
    Failure,
    args::Output,
    format, hint, runs,
    ui::{self, Tone},
};

/// Shows the entries of a run in chronological order, and the next command.
pub(super) async fn show(
    output: Output,
    journal: &dyn Journal,
    stored: &StoredRun,
    context: &ViewContext,
) -> Result<(), Failure> {
    let status = context.status(&stored.row);
    let plan = runs::plan_of(stored)?;
    let overtaken_by = runs::overtaken_by(journal, &stored.row, &plan).await?;
    let next = next(stored, &runs::state_of(stored, &plan)?, status, overtaken_by.is_some());
    if output == Output::Json {
        ui::out_json_pretty(&to_json(stored, status, overtaken_by.as_ref(), next.as_deref())?);
        return Ok(());
    }
    show_head(stored, status, context)?;
    if let Some(by) = &overtaken_by {
        ui::out(&runs::overtaken_text(&stored.row.id, by));
    }
    let entries = entries_in_order(stored);
    let width = entries.iter().map(|timed| step(&timed.entry).chars().count()).max().unwrap_or_default();
    for TimedEntry { at, entry } in entries {
        let time = ui::paint_out(Tone::Quiet, &format::time_of_day(*at));
        for line in entry_lines(entry) {
            ui::out(format!("{time}  {:width$}  {line}", step(entry)).trim_end());
        }
    }
    if let Some(next) = next {
        ui::hint(&next);
    }
    Ok(())
}

/// Prints the line above the entries: status, owner, locks and progress.
fn show_head(stored: &StoredRun, status: ObservedStatus, context: &ViewContext) -> Result<(), Failure> {
    let plan = runs::plan_of(stored)?;
    let (done, total) = runs::progress(&runs::state_of(stored, &plan)?);
    let row = &stored.row;
    let owner =
        row.owner.as_ref().filter(|_| status == ObservedStatus::Running).map(|owner| format!(", owned by {owner}"));
    let locks = if status == ObservedStatus::Running && !plan.locks.is_empty() {
        format!(", holding lock {}", plan.locks.join(", "))
    } else {
        String::new()
    };
    let active = runs::active_time(stored, context.running_until(status));
    ui::out(&format!(
        "{} {} {}{}{locks}: {done} of {} done, started {}, executed for {}",
        row.id,
        ui::paint_out(Tone::Strong, &row.workflow),
        status.name(),
        owner.unwrap_or_default(),
        format::plural(total, "step"),
        format::date_and_time(row.created_at),
        format::duration(active),
    ));
    Ok(())
}

fn to_json(
    stored: &StoredRun,
    status: ObservedStatus,
    overtaken_by: Option<&LockTaking>,
    next: Option<&str>,
) -> Result<Value, Failure> {
    let plan = runs::plan_of(stored)?;
    let state = runs::state_of(stored, &plan)?;
    let (done, total) = runs::progress(&state);
    let row = &stored.row;
    Ok(json!({
        "run": row.id, "workflow": row.workflow, "status": status.name(), "plan": row.plan_digest,
        "inputs": plan.inputs, "locks": plan.locks, "targets": state.targets(), "steps_done": done, "steps": total,
        "started": row.created_at.to_string(), "updated": row.updated_at.to_string(),
        "owner": row.owner.as_ref().map(ToString::to_string),
        "overtaken_by": overtaken_by.map(|by| &by.run),
        "entries": entries_in_order(stored), "hint": next,
    }))
}

/// Returns the history and the entries of the latest attempts in chronological order.
fn entries_in_order(stored: &StoredRun) -> Vec<&TimedEntry> {
    // A checkpoint is data for the step's next attempt and can be pages long.
    let shown = |timed: &&TimedEntry| !matches!(timed.entry.stored_in(), StoredIn::Checkpoint(_));
    let mut entries: Vec<_> = stored.history.iter().chain(stored.latest.iter().filter(shown)).collect();
    entries.sort_by_key(|entry| entry.at); // stable: equal times keep the order of the history
    entries
}

/// Returns the next command, if the run needs one.
fn next(stored: &StoredRun, state: &RunState, status: ObservedStatus, overtaken: bool) -> Option<String> {
    match status {
        ObservedStatus::Interrupted | ObservedStatus::Finished(Outcome::Failed) => {
            Some(runs::continue_hint(&stored.row, state, overtaken))
        }
        ObservedStatus::Finished(Outcome::InDoubt | Outcome::AwaitingApproval) => Some(hint::why(&stored.row.id)),
        ObservedStatus::Running | ObservedStatus::Finished(Outcome::Succeeded | Outcome::Cancelled) => None,
    }
}

/// Returns the name of the step that an entry belongs to, or an empty text.
fn step(entry: &Entry) -> &str {
    match entry {
        Entry::StepExpanded { step, .. }
        | Entry::StepStarted { step, .. }
        | Entry::AttemptChanged { step, .. }
        | Entry::Checkpointed { step, .. }
        | Entry::StepSucceeded { step, .. }
        | Entry::StepSkipped { step }
        | Entry::StepStopped { step }
        | Entry::StepFailed { step, .. }
        | Entry::StepInDoubt { step, .. }
        | Entry::ApprovalRequested { step, .. }
        | Entry::StepAnswered { step, .. } => step,
        Entry::RunCreated { .. }
        | Entry::RunAcquired { .. }
        | Entry::RunReopened
        | Entry::StepsReset { .. }
        | Entry::TargetRecorded { .. }
        | Entry::CancelRequested { .. }
        | Entry::FinallyStarted { .. }
        | Entry::RunFinished { .. } => "",
    }
}

/// Describes an entry, one line per change.
fn entry_lines(entry: &Entry) -> Vec<String> {
    match entry {
        Entry::RunCreated { .. } => vec!["run created".into()],
        Entry::RunAcquired { owner, epoch, refresh } => {
            let refresh = if *refresh { "; results that may be stale are obtained again" } else { "" };
            vec![format!("run acquired by {owner} (epoch {epoch}){refresh}")]
        }
        Entry::CancelRequested { by } => vec![format!("cancellation requested by {by}")],
        Entry::TargetRecorded { identity, .. } => vec![format!("works on {}", identity.description)],
        Entry::RunReopened => vec!["run reopened: failed steps are ready to retry".into()],
        Entry::StepsReset { steps } => {
            let names = steps.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            vec![format!("run reopened: {names} to be executed again")]
        }
        Entry::StepExpanded { keys, .. } => vec![format!("expanded to {}", format::plural(keys.len(), "instance"))],
        Entry::StepStarted { attempt: 1, .. } => vec!["started".into()],
        Entry::StepStarted { attempt, .. } => vec![format!("started, attempt {attempt}")],
        Entry::AttemptChanged { attempt, to, .. } => attempt_line(attempt.number, to),
        Entry::Checkpointed { .. } => vec!["checkpoint saved".into()],
        Entry::StepSucceeded { changes, found, .. } => succeeded(changes, *found),
        Entry::StepSkipped { .. } => vec!["skipped".into()],
        Entry::StepStopped { .. } => vec!["stopped: a step that it needs has failed".into()],
        Entry::StepFailed { error, changes, .. } => failure("failed", error, changes),
        Entry::StepInDoubt { error, changes, .. } => failure("in doubt", error, changes),
        Entry::ApprovalRequested { question, .. } => vec![format!("approval requested: {question}")],
        Entry::StepAnswered { by, answer, .. } => vec![format::answer_text(by, answer)],
        Entry::FinallyStarted { outcome } => {
            vec![format!("all steps have ended ({}): steps under finally start", outcome.name())]
        }
        Entry::RunFinished { outcome, .. } => vec![format!("run {}", outcome.name())],
    }
}

/// Describes the transition of an attempt.
fn attempt_line(attempt: u32, to: &AttemptTransition) -> Vec<String> {
    match to {
        AttemptTransition::Running { mode: AttemptMode::Run } => vec![format!("attempt {attempt} started")],
        AttemptTransition::Running { mode: AttemptMode::Find } => {
            vec![format!("attempt {attempt} started: finding out whether an earlier attempt took effect")]
        }
        AttemptTransition::BackingOff { until, error, .. } => {
            vec![format!("attempt {attempt} failed, next attempt at {}: {error}", format::time_of_day(*until))]
        }
    }
}

/// Describes a success: its changes, or why there are none.
fn succeeded(changes: &[String], found: bool) -> Vec<String> {
    match (changes, found) {
        ([], true) => vec!["succeeded: an earlier attempt had taken effect".into()],
        ([], false) => vec!["unchanged".into()],
        (changes, _) => changed("changed", changes).collect(),
    }
}

fn changed(verb: &str, changes: &[String]) -> impl Iterator<Item = String> {
    changes.iter().map(move |change| format!("{verb} {}", format::shorten_resource_ids(change)))
}

/// Describes a failure: first the changes of its attempts, then the error and its hint.
fn failure(word: &str, error: &ActionError, changes: &[String]) -> Vec<String> {
    let hint = error.hint.iter().map(|hint| format!("  hint: {hint}"));
    changed(format::change_verb(error), changes).chain([format!("{word}: {error}")]).chain(hint).collect()
}
