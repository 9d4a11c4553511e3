use std::sync::Arc;

use stargate_sdk::Registry;

use super::{
    Ending, EngineError, Finished, Options, Prepared,
    dispatcher::LEASE,
    live::{LiveRun, asks, failures},
    locks,
    message::Reply,
};
use crate::{
    id::RunId,
    journal::{Append, Commit, Owner, PlanText, StoredRun, TakeOverRequest},
    plan::Plan,
    run::{Entry, Outcome, Progress, RunState, TimedEntry},
};

/// What came of the wish to advance a run.
pub(super) enum Acquired {
    /// It has succeeded before: there is nothing to advance.
    Done(Box<Finished>),
    /// This process holds it now.
    Live(Box<LiveRun>),
}

/// Takes the run over under the next epoch, unless a living process holds it.
pub(super) async fn acquire(
    options: &Options,
    owner: &Arc<Owner>,
    run: RunId,
    reply: Reply,
) -> Result<Acquired, EngineError> {
    loop {
        let stored = options.journal.load(run.clone()).await?;
        let prepared = Arc::new(prepared(&stored, &options.registry)?);
        let mut state = RunState::recover(prepared.plan(), &stored.history, &stored.latest)
            .map_err(|source| EngineError::Illegal { run: run.clone(), source })?;
        if state.progress() == Progress::Finished(Outcome::Succeeded) {
            return Ok(Acquired::Done(Box::new(done(run, &state))));
        }
        if state.progress() == Progress::Finished(Outcome::Cancelled) {
            return Err(EngineError::Cancelled(run));
        }
        refuse_if_held(options, owner, &stored, state.progress())?;
        let evictions = locks::free(options, owner, &prepared.plan().locks, Some(&run)).await?;
        let records = records(options, owner, &stored, state.progress());
        for record in &records {
            state
                .apply(record.at, &record.entry)
                .map_err(|source| EngineError::Illegal { run: run.clone(), source })?;
        }
        let seq = stored.row.seq + records.len() as u64;
        if options
            .journal
            .take_over(TakeOverRequest {
                locks: prepared.plan().locks.clone(),
                evictions,
                ..wish(options, owner, &stored, records)
            })
            .await?
        {
            let epoch = stored.row.epoch + 1;
            return Ok(Acquired::Live(Box::new(LiveRun::taken_over(run, prepared, state, epoch, seq, reply))));
        }
        // Somebody was quicker: look who it is.
    }
}

pub(super) fn prepared(stored: &StoredRun, registry: &Registry) -> Result<Prepared, EngineError> {
    let plan: Plan = serde_json::from_str(&stored.plan)
        .map_err(|e| EngineError::UnreadablePlan { run: stored.row.id.clone(), reason: e.to_string() })?;
    let text = PlanText { digest: stored.row.plan.as_str().into(), body: stored.plan.as_str().into() };
    Prepared::with_text(plan, text, registry)
}

fn done(run: RunId, state: &RunState) -> Finished {
    Finished {
        run,
        ending: Ending::Finished(Outcome::Succeeded),
        changed: false,
        outputs: state.outputs().clone(),
        failures: failures(state),
        asks: asks(state),
    }
}

/// Who advances the run. Nobody does once it has ended, though its process may not have given it up yet.
///
/// A dead owner on this machine is passed over at once, one elsewhere when its lease has ended; epochs fence the living.
pub(super) fn holder<'a>(
    options: &Options,
    here: &Owner,
    stored: &'a StoredRun,
    progress: Progress,
) -> Option<&'a Owner> {
    let goes_on = matches!(progress, Progress::New | Progress::Running);
    stored.row.live_owner(here, options.clock.now()).filter(|_| goes_on)
}

fn refuse_if_held(options: &Options, here: &Owner, stored: &StoredRun, progress: Progress) -> Result<(), EngineError> {
    let row = &stored.row;
    match holder(options, here, stored, progress) {
        Some(owner) => {
            Err(EngineError::Owned { run: row.id.clone(), owner: Box::new(owner.clone()), until: row.lease_until })
        }
        None => Ok(()),
    }
}

/// Writes an entry behind those of the run's living owner, whose next commit is refused until it has taken this in.
/// `false` if somebody else has written since `stored` was read.
pub(super) async fn write_behind(options: &Options, stored: &StoredRun, entry: Entry) -> Result<bool, EngineError> {
    let (row, at) = (&stored.row, options.clock.now());
    let records = vec![TimedEntry { at, entry }];
    let append = Append { run: row.id.clone(), epoch: row.epoch, seq: row.seq, records, status: "running" };
    append_alone(options, append).await
}

pub(super) async fn append_alone(options: &Options, append: Append) -> Result<bool, EngineError> {
    let commit = Commit { at: options.clock.now(), creates: vec![], appends: vec![append] };
    Ok(options.journal.commit(commit).await?.is_empty())
}

pub(super) fn records(options: &Options, owner: &Owner, stored: &StoredRun, progress: Progress) -> Vec<TimedEntry> {
    let at = options.clock.now();
    let acquired = Entry::RunAcquired { epoch: stored.row.epoch + 1, owner: owner.to_string() };
    let reopened = matches!(progress, Progress::Finished(_)).then_some(Entry::RunReopened);
    std::iter::once(acquired).chain(reopened).map(|entry| TimedEntry { at, entry }).collect()
}

pub(super) fn wish(options: &Options, owner: &Owner, stored: &StoredRun, records: Vec<TimedEntry>) -> TakeOverRequest {
    let at = options.clock.now();
    TakeOverRequest {
        run: stored.row.id.clone(),
        seen_epoch: stored.row.epoch,
        seen_lease: stored.row.lease_until,
        seq: stored.row.seq,
        owner: owner.clone(),
        lease_until: at.plus(LEASE),
        records,
        locks: Vec::new(),
        evictions: Vec::new(),
        at,
    }
}
