use stargate::run::Answer;
use stargate_sdk::ActionError;

use super::answers;
use crate::cli::{Failure, Settings, args::ApproveArgs, exit::Exit};

/// `approve`: lets a step begin that waits for a person, or refuses it.
pub(crate) async fn approve(settings: &Settings, args: &ApproveArgs) -> Result<Exit, Failure> {
    if !args.refuse {
        return answers::record(settings, &args.selector, &Answer::Approved, "may begin").await;
    }
    let reason = args.reason.iter().map(|reason| format!(": {reason}"));
    let message = std::iter::once("a person has refused it".to_owned()).chain(reason).collect::<String>();
    let refused = Answer::Refused { error: ActionError::permanent(message) };
    answers::record(settings, &args.selector, &refused, "is refused; once the run is resumed it asks again").await
}
