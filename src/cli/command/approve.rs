//! Implementation of the command `approve`. A refused step fails; it requires approval again when
//! the run is resumed.

use stargate::run::Answer;
use stargate_sdk::ActionError;

use super::answers;
use crate::cli::{Failure, Settings, args::ApproveArgs, exit::Exit};

/// Command `approve`: approves or refuses a step that waits for approval.
pub(crate) async fn approve(settings: &Settings, args: &ApproveArgs) -> Result<Exit, Failure> {
    if !args.refuse {
        return answers::record(settings, &args.selector, &Answer::Approved, "is approved").await;
    }
    let reason = args.reason.iter().map(|reason| format!(": {reason}"));
    let message = std::iter::once("refused by an operator".to_owned()).chain(reason).collect::<String>();
    let refused = Answer::Refused { error: ActionError::permanent(message) };
    answers::record(
        settings,
        &args.selector,
        &refused,
        "is refused; it requires approval again when the run is resumed",
    )
    .await
}
