//! Commands that are suggested to the reader. Each hint begins with an imperative and contains the
//! whole command.

use stargate::id::RunId;

/// Suggests to resume a run.
pub(crate) fn resume(run: &RunId) -> String {
    format!("run `stargate resume {run}` to continue")
}

/// Suggests to start a new run and to close this one, which cannot succeed with the same inputs or
/// is overtaken.
pub(crate) fn run_again(workflow: &str, run: &RunId) -> String {
    let workflow = if workflow.is_empty() { "NAME" } else { workflow };
    format!(
        "correct the inputs or the cause and run `stargate run workflow {workflow}` again; `stargate cancel {run}` closes \
         this run"
    )
}

/// Suggests to show a run that another process executes.
pub(crate) fn attach(run: &RunId) -> String {
    format!("run `stargate attach {run}` to see it again")
}

/// Suggests to show the entries of a run.
pub(crate) fn history(run: &RunId) -> String {
    format!("run `stargate history {run}` to see its entries")
}

/// Suggests what to do with a run that this program cannot read: the version that wrote it can, and
/// each version can close it.
pub(crate) fn unreadable(run: &RunId) -> String {
    format!(
        "use the version of stargate that wrote it, or, if it has not ended, run `stargate cancel {run}` to close it"
    )
}

/// Suggests to approve or refuse a step.
pub(crate) fn approve(run: &RunId, step: &str) -> String {
    let step = quoted(step);
    format!("run `stargate approve {run} {step}`, or add `--refuse` to refuse it")
}

/// Suggests to check whether a step took effect, and to record the answer.
pub(crate) fn resolve(run: &RunId, step: &str) -> String {
    let step = quoted(step);
    format!("check whether {step} took effect, then run `stargate resolve {run} {step} --done`, or `--not-done`")
}

/// Adds to `hint` that the run must be resumed afterwards: for a run that no process owns.
pub(crate) fn then_resume(hint: &str, run: &RunId) -> String {
    format!("{hint}; then run `stargate resume {run}`")
}

/// Quotes a step's name for a shell, because keys are in brackets.
fn quoted(step: &str) -> String {
    if step.contains(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '/' | '.')) {
        format!("'{step}'")
    } else {
        step.to_owned()
    }
}

/// Suggests to show what a run waits for.
pub(crate) fn why(run: &RunId) -> String {
    format!("run `stargate why {run}` to see what it is waiting for")
}

/// Suggests to list the runs in the journal.
pub(crate) fn runs() -> String {
    "run `stargate history` to list the runs".into()
}

/// Suggests to list the commands.
pub(crate) fn help() -> String {
    "run `stargate --help` to list the commands".into()
}
