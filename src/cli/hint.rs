//! The commands that a reader is told to run next.

use stargate::id::RunId;

/// To go on with a run.
pub(crate) fn resume(run: &RunId) -> String {
    format!("run `stargate resume {run}` to continue")
}

/// To see what happened in a run.
pub(crate) fn history(run: &RunId) -> String {
    format!("run `stargate history {run}` to see what happened")
}

/// To let a step begin for which a person is asked.
pub(crate) fn approve(run: &RunId, step: &str) -> String {
    let step = quoted(step);
    format!("run `stargate approve {run} {step}`, or the same with --refuse")
}

/// To say whether a step took effect.
pub(crate) fn resolve(run: &RunId, step: &str) -> String {
    let step = quoted(step);
    format!(
        "look whether {step} took effect, and run `stargate resolve {run} {step} --done`, or the same with --not-done"
    )
}

/// The same, for a run that nobody advances.
pub(crate) fn then_resume(said: &str, run: &RunId) -> String {
    format!("{said}, and then `stargate resume {run}`")
}

/// A step's name as a shell takes it: a key is in brackets.
fn quoted(step: &str) -> String {
    if step.contains(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '/' | '.')) {
        format!("'{step}'")
    } else {
        step.to_owned()
    }
}

/// To see what a run waits for.
pub(crate) fn why(run: &RunId) -> String {
    format!("run `stargate why {run}` to see what it waits for")
}

/// To see which runs there are.
pub(crate) fn runs() -> String {
    "run `stargate history` to see the runs there are".into()
}

/// To see which commands there are.
pub(crate) fn help() -> String {
    "run `stargate --help` to see what can be asked".into()
}
