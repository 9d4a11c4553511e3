use super::{
    Ending, EngineError, EngineOptions, ResumePolicy, RunReport,
    binding::{BindingRequest, RunBinder},
    claim::{AcquiredRun, Claim, LockRequest},
    locks, report,
};
use crate::{
    id::RunId,
    journal::{LockTaking, Owner},
    run::{Outcome, Progress, RunState},
};

/// Result of an acquisition.
pub(super) enum Acquired {
    /// The run had succeeded before: there is nothing to execute.
    AlreadySucceeded(RunReport),
    /// This process owns the run.
    Owned(Box<AcquiredRun>),
}

/// Acquires the run under the next epoch, unless a live process owns it or the settings name other
/// external systems.
pub(super) async fn acquire(
    options: &EngineOptions,
    binder: &RunBinder,
    owner: &Owner,
    run: RunId,
    policy: ResumePolicy,
) -> Result<Acquired, EngineError> {
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
        claim.check_not_owned(policy)?;
        // Plans of older formats do not say which results grow old.
        let refresh = claim.prepared.plan().format >= 3;
        let names = claim.prepared.plan().locks.clone();
        let seen_takers = check_not_overtaken(options, &run, &names, policy).await?;
        let evictions = locks::check_free(options, owner, &names, Some(&run)).await?;
        let (epoch, plan, recorded) = (claim.next_epoch(), claim.prepared.plan(), claim.state.targets());
        let request = BindingRequest { run: &run, epoch, plan, recorded, evictions: &evictions };
        let binding = binder.bind(&request).await?;
        if claim.take_over(None, refresh, LockRequest { names, seen_takers, evictions }).await?
            && let Some(acquired) = claim.into_acquired(&binding)
        {
            return Ok(Acquired::Owned(Box::new(acquired)));
        }
        binding.release().await;
        // Another process has changed the run: read it again.
    }
}

/// Returns the runs that took the locks last, unless one of them has overtaken `run` and the policy
/// does not permit that.
async fn check_not_overtaken(
    options: &EngineOptions,
    run: &RunId,
    locks: &[String],
    policy: ResumePolicy,
) -> Result<Vec<LockTaking>, EngineError> {
    if locks.is_empty() {
        return Ok(Vec::new());
    }
    let takers = options.journal.last_takers(locks.to_vec()).await?;
    match takers.iter().find(|taking| taking.overtakes(run)) {
        Some(by) if !policy.overtaken => Err(EngineError::Overtaken { run: run.clone(), by: Box::new(by.clone()) }),
        _ => Ok(takers),
    }
}

fn succeeded_before(run: RunId, state: &RunState) -> RunReport {
    RunReport {
        run,
        ending: Ending::Finished(Outcome::Succeeded),
        changed: false,
        outputs: state.outputs().clone(),
        failures: report::failures(state),
        warnings: report::warnings(state),
        questions: report::questions(state),
        groups: Vec::new(),
    }
}
