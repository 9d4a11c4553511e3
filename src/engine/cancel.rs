use super::{
    EngineError, EngineOptions,
    claim::{Claim, LockRequest},
};
use crate::{
    id::RunId,
    journal::Owner,
    run::{Entry, Outcome, Progress, RunStatus},
};

/// Result of a request to cancel a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelResult {
    /// The run had no owner whose lease is in force, and is cancelled.
    Cancelled,
    /// This process owns the run; if it is not stopped, it cancels its running attempts and then
    /// finishes the run.
    Requested(Box<Owner>),
    /// The run had already succeeded or was already cancelled.
    AlreadyFinished(Outcome),
}

/// Requests that the run ends, and finishes it if it has no owner whose lease is in force.
///
/// A run that failed, is in doubt or waits for approval can be cancelled too: then it cannot be
/// resumed.
/// `by` is the actor, with the reason if there is one.
pub(super) async fn cancel(
    options: &EngineOptions,
    owner: &Owner,
    run: RunId,
    by: &str,
) -> Result<CancelResult, EngineError> {
    loop {
        let claim = Claim::read(options, owner, run.clone()).await?;
        match claim.state.progress() {
            Progress::Finished(outcome) if outcome.is_final() => return Ok(CancelResult::AlreadyFinished(outcome)),
            Progress::New | Progress::Running | Progress::Finished(_) => {}
        }
        let requested = Entry::CancelRequested { by: by.to_owned() };
        let (is_written, result) = match claim.leaseholder().cloned().map(Box::new) {
            Some(current) if claim.state.is_cancelling() => return Ok(CancelResult::Requested(current)),
            Some(current) => (claim.append(requested, RunStatus::Running).await?, CancelResult::Requested(current)),
            None => (finish(claim, requested).await?, CancelResult::Cancelled),
        };
        if is_written {
            return Ok(result);
        }
        // Another process has changed the run: read it again.
    }
}

/// Acquires the run, which fences an owner that may still be live, and finishes it.
async fn finish(mut claim: Claim<'_>, requested: Entry) -> Result<bool, EngineError> {
    let requested = Some(requested).filter(|_| !claim.state.is_cancelling());
    if !claim.take_over(requested, false, LockRequest::default()).await? {
        return Ok(false);
    }
    let outcome = Outcome::Cancelled;
    let finished = Entry::RunFinished { outcome, outputs: serde_json::Map::new() };
    let is_finished = claim.append(finished, RunStatus::Finished(outcome)).await?;
    claim.release().await?;
    Ok(is_finished)
}
