//! Implementation of the command `resolve`. Only an operator can find out whether a step in doubt
//! took effect; the run uses the recorded answer as if the action had returned it.

use serde_json::Value;
use stargate::run::Answer;

use super::answers;
use crate::cli::{Failure, Settings, args::ResolveArgs, exit::Exit};

/// Command `resolve`: records whether a step in doubt took effect.
pub(crate) async fn resolve(settings: &Settings, args: &ResolveArgs) -> Result<Exit, Failure> {
    if args.not_done {
        return answers::record(settings, &args.selector, &Answer::NotDone, "is resolved: it did not take effect")
            .await;
    }
    let output = args.result.clone().unwrap_or(Value::Null);
    answers::record(settings, &args.selector, &Answer::Done { output }, "is resolved: it took effect").await
}
