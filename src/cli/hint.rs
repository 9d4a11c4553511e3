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

/// To see which runs there are.
pub(crate) fn runs() -> String {
    "run `stargate history` to see the runs there are".into()
}

/// To see which commands there are.
pub(crate) fn help() -> String {
    "run `stargate --help` to see what can be asked".into()
}
