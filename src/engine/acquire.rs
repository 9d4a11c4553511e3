use super::{
    Ending, EngineError, EngineOptions, RunReport,
    claim::{AcquiredRun, Claim},
    locks, report,
};
use crate::{
    id::RunId,
    journal::Owner,
    run::{Outcome, Progress, RunState},
};

/// Result of an acquisition.
pub(super) enum Acquired {
    /// The run had succeeded before: there is nothing to execute.
    AlreadySucceeded(RunReport),
    /// This process owns the run.
    Owned(Box<AcquiredRun>),
}

/// Acquires the run under the next epoch, unless a live process owns it.
pub(super) async fn acquire(options: &EngineOptions, owner: &Owner, run: RunId) -> Result<Acquired, EngineError> {
    loop {
        let mut claim = Claim::read(options, owner, run.clone()).await?;
        match claim.state.progress() {
            Progress::Finished(Outcome::Succeeded) => {
                return Ok(Acquired::AlreadySucceeded(succeeded_before(run, &claim.state)));
            }
            Progress::Finished(Outcome::Cancelled) => return Err(EngineError::Cancelled(run)),
            Progress::Finished(Outcome::Failed | Outcome::InDoubt | Outcome::AwaitingApproval)
            | Progress::New
            | Progress::Running => {}
        }
        claim.check_not_owned()?;
        let locks = claim.prepared.plan().locks.clone();
        let evictions = locks::check_free(options, owner, &locks, Some(&run)).await?;
        if claim.take_over(None, locks, evictions).await? {
            return Ok(Acquired::Owned(Box::new(claim.into_acquired())));
        }
        // Another process has changed the run: read it again.
    }
}

fn succeeded_before(run: RunId, state: &RunState) -> RunReport {
    RunReport {
        run,
        ending: Ending::Finished(Outcome::Succeeded),
        changed: false,
        outputs: state.outputs().clone(),
        failures: report::failures(state),
        questions: report::questions(state),
    }
}
