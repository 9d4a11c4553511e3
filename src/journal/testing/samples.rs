//! Small values to write to a journal under test.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    clock::UnixMillis,
    id::{Epoch, PlanDigest, RunId, Seq},
    journal::{Append, Commit, LockEviction, LogLine, NewRun, Owner, PlanText, TakeOverRequest},
    run::{Attempt, AttemptMode, AttemptTransition, Entry, Outcome, RunStatus, Shared, TimedEntry},
};

/// JSON of the plan of [`new_run`], with characters that a store could change.
pub const PLAN_JSON: &str = "{\"a\": \"ä\\u0000\"}";
/// Time at which the lease of [`new_run`] expires.
pub const LEASE: UnixMillis = UnixMillis(100);

/// Returns a process on the machine `here`.
pub fn owner(pid: u32) -> Owner {
    Owner { host: "here".into(), boot_id: "boot".into(), pid_namespace: Some(1), pid, started: 1 }
}

/// Returns the digest of the plan of [`new_run`].
pub fn plan_digest() -> PlanDigest {
    PlanDigest::from("d1")
}

/// Returns `entry` with a fixed time.
pub fn timed(entry: Entry) -> TimedEntry {
    TimedEntry { at: UnixMillis(7), entry }
}

/// Returns the first entry of a run.
pub fn created() -> TimedEntry {
    timed(Entry::RunCreated { plan_digest: plan_digest() })
}

/// Returns the start of a step.
pub fn started(step: &str) -> TimedEntry {
    timed(Entry::StepStarted { step: step.into(), attempt: 1, changes: vec![] })
}

/// Returns an attempt of a step, of which only the latest is kept.
pub fn attempt(step: &str, number: u32) -> TimedEntry {
    let attempt = Attempt { number, failures: 0, since: UnixMillis(1) };
    let to = AttemptTransition::Running { mode: AttemptMode::Find };
    timed(Entry::AttemptChanged { step: step.into(), attempt, to, changes: vec![] })
}

/// Returns a checkpoint of a step, of which only the latest is kept.
pub fn checkpoint(step: &str, attempt: u32, value: &Value) -> TimedEntry {
    timed(Entry::Checkpointed { step: step.into(), value: value.clone(), attempt, changes: vec![] })
}

/// Returns a log line of the first attempt of a step.
pub fn log_line(run: &RunId, step: &str, text: &str) -> LogLine {
    LogLine { run: run.clone(), step: step.into(), attempt: 1, at: UnixMillis(1), text: text.into() }
}

/// Returns a run with two entries, owned by [`owner`]`(1)`, without locks.
pub fn new_run(id: &RunId) -> NewRun {
    NewRun {
        id: id.clone(),
        workflow: "test".into(),
        plan: PlanText { digest: plan_digest(), json: PLAN_JSON.into() },
        owner: Arc::new(owner(1)),
        lease_until: LEASE,
        entries: vec![created(), started("a")],
        status: RunStatus::Running,
        locks: vec![],
        evictions: vec![],
        seen_takers: vec![],
    }
}

/// Returns a run that takes locks after evicting other runs from theirs.
pub fn locking_run(id: &RunId, locks: &[&str], evictions: &[LockEviction]) -> NewRun {
    let locks = locks.iter().map(|lock| (*lock).to_owned()).collect();
    NewRun { locks, evictions: evictions.to_vec(), ..new_run(id) }
}

/// Returns the eviction of a run that was read with this epoch and lease.
pub fn eviction(run: &RunId, seen_epoch: u64, seen_lease: i64) -> LockEviction {
    LockEviction { run: run.clone(), seen_epoch: Epoch(seen_epoch), seen_lease: UnixMillis(seen_lease) }
}

/// Returns an append to a running run.
pub fn append(run: &RunId, epoch: u64, after: u64, entries: Vec<TimedEntry>) -> Append {
    Append {
        run: run.clone(),
        epoch: Epoch(epoch),
        after: Seq(after),
        entries: entries.into(),
        status: RunStatus::Running,
    }
}

/// Returns an append that finishes a run.
pub fn finish(run: &RunId, epoch: u64, after: u64, outcome: Outcome) -> Append {
    let finished = timed(Entry::RunFinished { outcome, outputs: Shared::default() });
    Append { status: RunStatus::Finished(outcome), ..append(run, epoch, after, vec![finished]) }
}

/// Returns a commit that creates runs.
pub fn creates(runs: Vec<NewRun>) -> Commit {
    Commit { at: UnixMillis(5), creates: runs, appends: vec![] }
}

/// Returns a commit that appends to runs.
pub fn appends(appends: Vec<Append>) -> Commit {
    Commit { at: UnixMillis(6), creates: vec![], appends }
}

/// Returns a request of [`owner`]`(2)` for a run that was read in this state.
pub fn take_over(run: &RunId, seen_epoch: u64, seen_lease: i64, after: u64) -> TakeOverRequest {
    let seen_epoch = Epoch(seen_epoch);
    TakeOverRequest {
        run: run.clone(),
        seen_epoch,
        seen_lease: UnixMillis(seen_lease),
        after: Seq(after),
        owner: owner(2),
        lease_until: UnixMillis(200),
        entries: vec![timed(Entry::RunAcquired {
            epoch: seen_epoch.next(),
            owner: "process 2".into(),
            refresh: false,
        })],
        locks: vec![],
        seen_takers: vec![],
        evictions: vec![],
        at: UnixMillis(9),
    }
}
