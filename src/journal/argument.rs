//! The JSON that the journal's statements take apart: one argument, whatever is to be written.

use serde_json::json;

use super::{Append, Commit, LockEviction, NewRun, TakeOverRequest};
use crate::{
    id::RunId,
    run::{StoredIn, TimedEntry},
};

/// The status of a run that has not ended.
pub(super) const RUNNING: &str = "running";

/// A value as JSON text.
pub(super) fn text_of<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("entries and owners have string keys and no failing serialiser")
}

/// One run's part of a commit: history rows `[seq, at, body]`, and what replaces an earlier row `[step, kind, at, body]`.
fn append_json(run: &RunId, epoch: u64, seq: u64, records: &[TimedEntry], status: &str) -> serde_json::Value {
    let (mut history, mut latest, mut last) = (Vec::new(), Vec::new(), seq);
    for TimedEntry { at, entry } in records {
        match entry.stored_in() {
            StoredIn::History => {
                last += 1;
                history.push(json!([last, at, text_of(entry)]));
            }
            StoredIn::Attempt(step) => latest.push(json!([step, "attempt", at, text_of(entry)])),
            StoredIn::Checkpoint(step) => latest.push(json!([step, "checkpoint", at, text_of(entry)])),
        }
    }
    json!({ "run": run, "epoch": epoch, "seq": seq, "status": status, "history": history, "latest": latest })
}

fn locks_json<'a>(run: &'a RunId, locks: &'a [String]) -> impl Iterator<Item = serde_json::Value> + 'a {
    locks.iter().map(move |name| json!({ "run": run, "name": name }))
}

fn eviction_json(eviction: &LockEviction) -> serde_json::Value {
    json!({ "run": eviction.run, "epoch": eviction.seen_epoch, "lease_until": eviction.seen_lease })
}

/// What a commit is to write.
pub(super) fn of_commit(commit: &Commit) -> String {
    let created = commit.creates.iter().map(|run| append_json(&run.id, 1, 0, &run.records, run.status));
    let appended = commit
        .appends
        .iter()
        .map(|Append { run, epoch, seq, records, status }| append_json(run, *epoch, *seq, records, status));
    let appends: Vec<_> = created.chain(appended).collect();
    let mut plans: Vec<_> = commit.creates.iter().map(|run| &run.plan).collect();
    plans.dedup_by(|a, b| a.digest == b.digest);
    let plans: Vec<_> = plans.iter().map(|plan| json!({ "digest": &*plan.digest, "body": &*plan.body })).collect();
    let new_runs: Vec<_> = commit.creates.iter().map(create_json).collect();
    let mut argument = json!({ "at": commit.at, "plans": plans, "creates": new_runs, "appends": appends });
    if commit.creates.iter().any(|run| !run.locks.is_empty() || !run.evictions.is_empty()) {
        argument["locks"] = commit.creates.iter().flat_map(|run| locks_json(&run.id, &run.locks)).collect();
        argument["evictions"] = commit.creates.iter().flat_map(|run| &run.evictions).map(eviction_json).collect();
    }
    argument.to_string()
}

fn create_json(run: &NewRun) -> serde_json::Value {
    json!({
        "id": run.id, "workflow": &*run.workflow, "plan": &*run.plan.digest, "owner": text_of(&*run.owner),
        "lease_until": run.lease_until,
    })
}

/// What taking a run over is to write.
pub(super) fn of_take_over(wish: &TakeOverRequest) -> String {
    let append = append_json(&wish.run, wish.seen_epoch + 1, wish.seq, &wish.records, RUNNING);
    let argument = json!({
        "run": wish.run, "owner": text_of(&wish.owner), "lease_until": wish.lease_until, "at": wish.at,
        "seen_epoch": wish.seen_epoch, "seen_lease": wish.seen_lease, "appends": [append],
        "locks": locks_json(&wish.run, &wish.locks).collect::<Vec<_>>(),
        "evictions": wish.evictions.iter().map(eviction_json).collect::<Vec<_>>(),
    });
    argument.to_string()
}
