//! JSON arguments of the journal's statements: each write has one, regardless of how many runs it
//! is about.

use serde_json::{Value, json};
use stargate_sdk::ByteCount;

use crate::{
    clock::UnixMillis,
    id::{Epoch, RunId, Seq},
    journal::{Append, Commit, Cursor, LockEviction, LockTaking, LogLine, NewRun, SeenTaker, TakeOverRequest},
    run::{RunStatus, StoredIn, TimedEntry},
};

/// Serialises a value as JSON text.
pub(super) fn to_text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("entries and owners have string keys and no failing serialiser")
}

/// Serialises a large value as JSON text, whose memory does not grow meanwhile.
pub(super) fn to_exact_text<T: serde::Serialize>(value: &T) -> String {
    let mut length = ByteCount::default();
    let counted = serde_json::to_writer(&mut length, value);
    let mut text = Vec::with_capacity(length.bytes());
    counted.and_then(|()| serde_json::to_writer(&mut text, value)).expect("entries have string keys");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// Returns the JSON of one append: history rows `[seq, at, body]`, and rows `[step, kind, at,
/// body]` that replace earlier ones.
fn append_json(run: &RunId, epoch: Epoch, after: Seq, entries: &[TimedEntry], status: RunStatus) -> Value {
    let (mut history, mut latest, mut seq) = (Vec::new(), Vec::new(), after);
    for TimedEntry { at, entry } in entries {
        match entry.stored_in() {
            StoredIn::History => {
                seq = seq.plus(1);
                history.push(json!([seq, at, to_text(entry)]));
            }
            StoredIn::Attempt(step) => latest.push(json!([step, "attempt", at, to_text(entry)])),
            StoredIn::Checkpoint(step) => latest.push(json!([step, "checkpoint", at, to_text(entry)])),
        }
    }
    json!({
        "run": run, "epoch": epoch, "seq": after, "status": status.as_str(), "history": history, "latest": latest,
    })
}

fn locks_json<'a>(run: &'a RunId, locks: &'a [String]) -> impl Iterator<Item = Value> + 'a {
    locks.iter().map(move |name| json!({ "run": run, "name": name }))
}

fn eviction_json(eviction: &LockEviction) -> Value {
    json!({ "run": eviction.run, "epoch": eviction.seen_epoch, "lease_until": eviction.seen_lease })
}

fn taker_json(taking: &LockTaking) -> Value {
    json!({ "lock": taking.lock, "run": taking.run })
}

/// Returns the argument that writes a commit.
pub(super) fn commit(commit: &Commit) -> String {
    let created =
        commit.creates.iter().map(|run| append_json(&run.id, Epoch::FIRST, Seq::START, &run.entries, run.status));
    let appended = commit
        .appends
        .iter()
        .map(|Append { run, epoch, after, entries, status }| append_json(run, *epoch, *after, entries, *status));
    let appends: Vec<_> = created.chain(appended).collect();
    let mut plans: Vec<_> = commit.creates.iter().map(|run| &run.plan).collect();
    plans.dedup_by(|a, b| a.digest == b.digest);
    let plans: Vec<_> = plans.iter().map(|plan| json!({ "digest": plan.digest, "body": &*plan.json })).collect();
    let new_runs: Vec<_> = commit.creates.iter().map(create_json).collect();
    let mut argument = json!({ "at": commit.at, "plans": plans, "creates": new_runs, "appends": appends });
    if commit.creates.iter().any(|run| !run.locks.is_empty() || !run.evictions.is_empty()) {
        argument["locks"] = commit.creates.iter().flat_map(|run| locks_json(&run.id, &run.locks)).collect();
        argument["evictions"] = commit.creates.iter().flat_map(|run| &run.evictions).map(eviction_json).collect();
        argument["takers"] = commit.creates.iter().flat_map(|run| &run.seen_takers).map(seen_json).collect();
    }
    argument.to_string()
}

/// Returns the condition that this run, or none, took the lock last. No run has an empty id.
fn seen_json(seen: &SeenTaker) -> Value {
    json!({ "lock": seen.lock, "run": seen.run.as_ref().map_or("", RunId::as_str) })
}

fn create_json(run: &NewRun) -> Value {
    json!({
        "id": run.id, "workflow": &*run.workflow, "plan": run.plan.digest, "owner": to_text(&*run.owner),
        "lease_until": run.lease_until,
    })
}

/// Returns the argument that makes a process the owner of a run.
pub(super) fn take_over(request: &TakeOverRequest) -> String {
    let epoch = request.seen_epoch.next();
    let append = append_json(&request.run, epoch, request.after, &request.entries, RunStatus::Running);
    let argument = json!({
        "run": request.run, "owner": to_text(&request.owner), "lease_until": request.lease_until, "at": request.at,
        "seen_epoch": request.seen_epoch, "seen_lease": request.seen_lease, "appends": [append],
        "locks": locks_json(&request.run, &request.locks).collect::<Vec<_>>(),
        "evictions": request.evictions.iter().map(eviction_json).collect::<Vec<_>>(),
        "takers": request.seen_takers.iter().map(taker_json).collect::<Vec<_>>(),
    });
    argument.to_string()
}

/// Returns the argument that renews leases.
pub(super) fn renew(owned: &[(RunId, Epoch)], lease_until: UnixMillis) -> String {
    let owned: Vec<_> = owned.iter().map(|(run, epoch)| json!({ "run": run, "epoch": epoch })).collect();
    json!({ "lease_until": lease_until, "held": owned }).to_string()
}

/// Returns the argument that releases a run.
pub(super) fn release(run: &RunId, epoch: Epoch) -> String {
    json!({ "run": run, "epoch": epoch }).to_string()
}

/// Returns the argument that reads the entries after each cursor.
pub(super) fn cursors(after: &[Cursor]) -> String {
    let cursors: Vec<_> = after.iter().map(|Cursor { run, epoch, after }| json!([run, epoch, after])).collect();
    to_text(&cursors)
}

/// Returns the argument that appends log lines.
pub(super) fn log(lines: &[LogLine]) -> String {
    let lines: Vec<_> = lines.iter().map(|l| json!([l.run, l.step, l.attempt, l.at, l.text])).collect();
    to_text(&lines)
}
