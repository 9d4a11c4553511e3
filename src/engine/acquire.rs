use super::{
    Ending, EngineError, EngineOptions, ResumePolicy, RunReport,
    binding::{BindingRequest, RunBinder},
    claim::{AcquiredRun, Claim, LockRequest},
    locks, report,
};
use crate::{
    id::RunId,
    journal::{LockTaking, Owner},
    run::{Entry, Outcome, Progress, RunState, StepRetry},
};

/// Result of an acquisition.
pub(super) enum Acquired {
    /// The run had succeeded before: there is nothing to execute.
    AlreadySucceeded(RunReport),
    /// This process owns the run.
    Owned(Box<AcquiredRun>),
}

/// Acquires the run under the next epoch, unless a live process owns it or the settings name other
/// external systems. The step `retry` is executed again with all that depends on it, also if the
/// run has succeeded.
pub(super) async fn acquire(
    options: &EngineOptions,
    binder: &RunBinder,
    owner: &Owner,
    run: RunId,
    policy: ResumePolicy,
    retry: Option<&str>,
) -> Result<Acquired, EngineError> {
    loop {
        let mut claim = Claim::read(options, owner, run.clone()).await?;
        match claim.state.progress() {
            Progress::Finished(Outcome::Succeeded) if retry.is_none() => {
                return Ok(Acquired::AlreadySucceeded(succeeded_before(run, &claim.state)));
            }
            Progress::Finished(Outcome::Cancelled) => return Err(EngineError::Cancelled(run)),
            Progress::Finished(Outcome::Succeeded | Outcome::Failed | Outcome::InDoubt | Outcome::AwaitingApproval)
            | Progress::New
            | Progress::Running => {}
        }
        claim.check_not_owned(policy)?;
        let reset = retry.map(|step| reset_entry(&run, &claim, step)).transpose()?;
        // Plans of older formats do not say which results grow old.
        let refresh = reset.is_some() || claim.prepared.plan().format >= 3;
        let names = claim.prepared.plan().locks.clone();
        let seen_takers = check_not_overtaken(options, &run, &names, policy).await?;
        let evictions = locks::check_free(options, owner, &names, Some(&run)).await?;
        let (epoch, plan, recorded) = (claim.next_epoch(), claim.prepared.plan(), claim.state.targets());
        let request = BindingRequest { run: &run, epoch, plan, recorded, evictions: &evictions };
        let binding = binder.bind(&request).await?;
        if claim.take_over(reset, refresh, LockRequest { names, seen_takers, evictions }).await?
            && let Some(acquired) = claim.into_acquired(&binding)
        {
            return Ok(Acquired::Owned(Box::new(acquired)));
        }
        binding.release().await;
        // Another process has changed the run: read it again.
    }
}

/// Returns the entry that resets a step and all that depends on it.
fn reset_entry(run: &RunId, claim: &Claim<'_>, step: &str) -> Result<Entry, EngineError> {
    if claim.state.is_cancel_requested() {
        return Err(EngineError::Cancelled(run.clone()));
    }
    StepRetry::of(claim.prepared.plan(), &claim.state, step)
        .map(StepRetry::into_entry)
        .map_err(|source| EngineError::CannotRetry { run: run.clone(), source })
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
