//! The contract of the journal's interface, on the real store and on one that fails on command.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use serde_json::json;
use stargate::{
    clock::UnixMillis,
    id::RunId,
    journal::{
        Append, Commit, Journal, JournalError, LockEviction, LogLine, NewRun, Owner, PlanText, SqliteJournal,
        TakeOverRequest,
    },
    run::{Attempt, AttemptMode, AttemptTransition, Entry, Outcome, TimedEntry},
};
use support::{Fault, Faulty};

fn owner(pid: u32) -> Owner {
    Owner { host: "here".into(), boot_id: "boot".into(), pid, started: 1 }
}

fn record(entry: Entry) -> TimedEntry {
    TimedEntry { at: UnixMillis(7), entry }
}

fn started(step: &str) -> TimedEntry {
    record(Entry::StepStarted { step: step.into(), attempt: 1 })
}

fn new_run(id: &RunId) -> NewRun {
    NewRun {
        id: id.clone(),
        workflow: "test".into(),
        plan: PlanText { digest: "d1".into(), body: "{\"a\": \"ä\\u0000\"}".into() },
        owner: Arc::new(owner(1)),
        lease_until: UnixMillis(100),
        records: vec![record(Entry::RunCreated { plan: "d1".into() }), started("a")],
        status: "running",
        locks: vec![],
        evictions: vec![],
    }
}

fn append(run: &RunId, epoch: u64, seq: u64, records: Vec<TimedEntry>) -> Append {
    Append { run: run.clone(), epoch, seq, records, status: "running" }
}

fn creating(runs: Vec<NewRun>) -> Commit {
    Commit { at: UnixMillis(5), creates: runs, appends: vec![] }
}

fn appending(appends: Vec<Append>) -> Commit {
    Commit { at: UnixMillis(6), creates: vec![], appends }
}

fn taking_over(run: &RunId, epoch: u64, lease: i64, seq: u64) -> TakeOverRequest {
    TakeOverRequest {
        run: run.clone(),
        seen_epoch: epoch,
        seen_lease: UnixMillis(lease),
        seq,
        owner: owner(2),
        lease_until: UnixMillis(200),
        records: vec![record(Entry::RunAcquired { epoch: epoch + 1, owner: "process 2".into() })],
        locks: vec![],
        evictions: vec![],
        at: UnixMillis(9),
    }
}

fn locking(id: &RunId, locks: &[&str], evictions: &[LockEviction]) -> NewRun {
    let locks = locks.iter().map(|lock| (*lock).to_owned()).collect();
    NewRun { locks, evictions: evictions.to_vec(), ..new_run(id) }
}

fn evicting(run: &RunId, seen_epoch: u64, lease: i64) -> LockEviction {
    LockEviction { run: run.clone(), seen_epoch, seen_lease: UnixMillis(lease) }
}

fn ending(run: &RunId, epoch: u64, seq: u64, status: &'static str) -> Append {
    let outcome = if status == "succeeded" { Outcome::Succeeded } else { Outcome::Failed };
    let finished = record(Entry::RunFinished { outcome, outputs: serde_json::Map::new() });
    Append { status, ..append(run, epoch, seq, vec![finished]) }
}

/// Who holds each of `locks`.
async fn holders(journal: &dyn Journal, locks: &[&str]) -> Vec<(String, RunId)> {
    let held = journal.holders(locks.iter().map(|lock| (*lock).to_owned()).collect()).await.unwrap();
    held.into_iter().map(|held| (held.name, held.holder.id)).collect()
}

/// Runs `check` against every implementation, each over a fresh folder.
async fn on_every_journal<F: Future<Output = ()>>(check: impl Fn(Arc<dyn Journal>) -> F) {
    let folder = tempfile::tempdir().unwrap();
    check(Arc::new(SqliteJournal::open(&folder.path().join("journal.db")).await.unwrap())).await;
    let folder = tempfile::tempdir().unwrap();
    check(Arc::new(Faulty::open(folder.path()).await)).await;
}

#[tokio::test]
async fn what_was_committed_is_read_back_byte_for_byte() {
    on_every_journal(|journal| async move {
        let run = RunId::generate();
        journal.commit(creating(vec![new_run(&run)])).await.unwrap();
        let stored = journal.load(run.clone()).await.unwrap();
        assert_eq!(stored.plan, "{\"a\": \"ä\\u0000\"}");
        assert_eq!(stored.history, [record(Entry::RunCreated { plan: "d1".into() }), started("a")]);
        assert_eq!((stored.row.seq, stored.row.epoch, stored.row.lease_until), (2, 1, UnixMillis(100)));
        assert_eq!(stored.row.owner, Some(owner(1)));
        assert_eq!(journal.runs(9).await.unwrap(), [stored.row]);
    })
    .await;
}

#[tokio::test]
async fn outputs_survive_whatever_they_hold() {
    on_every_journal(|journal| async move {
        let run = RunId::generate();
        let output = json!({ "text": "\"quoted\" \\ \u{0} \u{1F680} \n", "big": 18_446_744_073_709_551_615_u64, "f": 0.1, "n": null });
        let success = record(Entry::StepSucceeded { step: "a".into(), output, changes: vec!["x".into()], found: true });
        journal.commit(creating(vec![new_run(&run)])).await.unwrap();
        assert!(journal.commit(appending(vec![append(&run, 1, 2, vec![success.clone()])])).await.unwrap().is_empty());
        assert_eq!(journal.load(run).await.unwrap().history[2], success);
    })
    .await;
}

#[tokio::test]
async fn an_append_with_another_epoch_or_sequence_number_writes_nothing() {
    on_every_journal(|journal| async move {
        let run = RunId::generate();
        journal.commit(creating(vec![new_run(&run)])).await.unwrap();
        let before = journal.load(run.clone()).await.unwrap();
        for (epoch, seq) in [(2, 2), (0, 2), (1, 1), (1, 3)] {
            let fenced = journal.commit(appending(vec![append(&run, epoch, seq, vec![started("b")])])).await.unwrap();
            assert_eq!(fenced, std::slice::from_ref(&run), "epoch {epoch}, seq {seq}");
        }
        assert_eq!(journal.load(run).await.unwrap(), before);
    })
    .await;
}

#[tokio::test]
async fn one_fenced_run_does_not_keep_the_others_of_a_commit_from_being_written() {
    on_every_journal(|journal| async move {
        let (held, lost) = (RunId::generate(), RunId::generate());
        journal.commit(creating(vec![new_run(&held), new_run(&lost)])).await.unwrap();
        let appends = vec![append(&lost, 9, 2, vec![started("b")]), append(&held, 1, 2, vec![started("b")])];
        assert_eq!(journal.commit(appending(appends)).await.unwrap(), std::slice::from_ref(&lost));
        assert_eq!(journal.load(held).await.unwrap().row.seq, 3);
        assert_eq!(journal.load(lost).await.unwrap().row.seq, 2);
    })
    .await;
}

#[tokio::test]
async fn only_the_latest_attempt_and_checkpoint_of_a_step_are_kept() {
    on_every_journal(|journal| async move {
        let run = RunId::generate();
        journal.commit(creating(vec![new_run(&run)])).await.unwrap();
        let moved = |number| {
            let attempt = Attempt { number, failures: 0, since: UnixMillis(1) };
            record(Entry::AttemptMoved {
                step: "a".into(),
                attempt,
                to: AttemptTransition::Running { mode: AttemptMode::Find },
                changes: vec![],
            })
        };
        let stored =
            |n: u32| record(Entry::Checkpointed { step: "a".into(), value: json!(n), attempt: n, changes: vec![] });
        for n in 2..6 {
            journal.commit(appending(vec![append(&run, 1, 2, vec![moved(n), stored(n)])])).await.unwrap();
        }
        let loaded = journal.load(run).await.unwrap();
        assert_eq!(loaded.latest, [moved(5), stored(5)]);
        assert_eq!(loaded.history.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn of_two_that_saw_the_same_run_one_takes_it_over_and_fences_the_first_holder() {
    on_every_journal(|journal| async move {
        let run = RunId::generate();
        journal.commit(creating(vec![new_run(&run)])).await.unwrap();
        assert!(journal.take_over(taking_over(&run, 1, 100, 2)).await.unwrap());
        assert!(!journal.take_over(taking_over(&run, 1, 100, 2)).await.unwrap());
        let late = journal.commit(appending(vec![append(&run, 1, 3, vec![started("b")])])).await.unwrap();
        assert_eq!(late, std::slice::from_ref(&run));
        let stored = journal.load(run).await.unwrap();
        assert_eq!((stored.row.epoch, stored.row.seq, stored.row.owner), (2, 3, Some(owner(2))));
    })
    .await;
}

#[tokio::test]
async fn a_renewed_lease_cannot_be_taken_over_by_one_who_saw_the_old_one() {
    on_every_journal(|journal| async move {
        let run = RunId::generate();
        journal.commit(creating(vec![new_run(&run)])).await.unwrap();
        journal.renew(vec![(run.clone(), 1)], UnixMillis(300)).await.unwrap();
        assert!(!journal.take_over(taking_over(&run, 1, 100, 2)).await.unwrap());
        journal.renew(vec![(run.clone(), 9)], UnixMillis(400)).await.unwrap();
        assert_eq!(journal.load(run).await.unwrap().row.lease_until, UnixMillis(300));
    })
    .await;
}

#[tokio::test]
async fn only_the_holder_can_give_a_run_up() {
    on_every_journal(|journal| async move {
        let run = RunId::generate();
        journal.commit(creating(vec![new_run(&run)])).await.unwrap();
        journal.release(run.clone(), 9).await.unwrap();
        assert!(journal.load(run.clone()).await.unwrap().row.owner.is_some());
        journal.release(run.clone(), 1).await.unwrap();
        assert_eq!(journal.load(run).await.unwrap().row.owner, None);
    })
    .await;
}

#[tokio::test]
async fn a_lock_has_one_holder_and_a_run_that_wants_it_is_not_created() {
    on_every_journal(|journal| async move {
        let (first, second, other) = (RunId::generate(), RunId::generate(), RunId::generate());
        assert!(journal.commit(creating(vec![locking(&first, &["a", "b"], &[])])).await.unwrap().is_empty());
        // The second run wants a free lock as well, and gets neither; a third one in the same commit is not held up.
        let both = vec![locking(&second, &["c", "b"], &[]), locking(&other, &["d"], &[])];
        assert_eq!(journal.commit(creating(both)).await.unwrap(), std::slice::from_ref(&second));
        assert!(matches!(journal.load(second).await, Err(JournalError::NoSuchRun(_))));
        let expected = [("a".into(), first.clone()), ("b".into(), first), ("d".into(), other)];
        assert_eq!(holders(&*journal, &["a", "b", "c", "d"]).await, expected);
    })
    .await;
}

#[tokio::test]
async fn locks_are_given_back_with_the_entry_that_ends_a_run_and_can_be_taken_in_the_same_commit() {
    on_every_journal(|journal| async move {
        for status in ["succeeded", "failed", "in_doubt"] {
            let (first, second) = (RunId::generate(), RunId::generate());
            journal.commit(creating(vec![locking(&first, &["a"], &[])])).await.unwrap();
            let both =
                Commit { appends: vec![ending(&first, 1, 2, status)], ..creating(vec![locking(&second, &["a"], &[])]) };
            assert!(journal.commit(both).await.unwrap().is_empty(), "{status}");
            assert_eq!(holders(&*journal, &["a"]).await, [("a".into(), second.clone())]);
            journal.commit(appending(vec![ending(&second, 1, 2, status)])).await.unwrap();
            assert_eq!(holders(&*journal, &["a"]).await, []);
        }
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_given_up_gives_its_locks_back_and_takes_them_again_or_is_not_taken_over() {
    on_every_journal(|journal| async move {
        let (first, second) = (RunId::generate(), RunId::generate());
        journal.commit(creating(vec![locking(&first, &["a"], &[])])).await.unwrap();
        journal.release(first.clone(), 1).await.unwrap();
        assert_eq!(holders(&*journal, &["a"]).await, []);
        journal.commit(creating(vec![locking(&second, &["a"], &[])])).await.unwrap();
        let again = TakeOverRequest { locks: vec!["a".into()], ..taking_over(&first, 1, 0, 2) };
        let before = journal.load(first.clone()).await.unwrap();
        assert!(!journal.take_over(again.clone()).await.unwrap());
        assert_eq!(journal.load(first.clone()).await.unwrap(), before);
        journal.commit(appending(vec![ending(&second, 1, 2, "failed")])).await.unwrap();
        assert!(journal.take_over(again).await.unwrap());
        assert_eq!(holders(&*journal, &["a"]).await, [("a".into(), first)]);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_taken_over_keeps_the_locks_it_had() {
    on_every_journal(|journal| async move {
        let run = RunId::generate();
        journal.commit(creating(vec![locking(&run, &["a"], &[])])).await.unwrap();
        let again = TakeOverRequest { locks: vec!["a".into()], ..taking_over(&run, 1, 100, 2) };
        assert!(journal.take_over(again).await.unwrap());
        assert_eq!(holders(&*journal, &["a"]).await, [("a".into(), run)]);
    })
    .await;
}

#[tokio::test]
async fn whoever_loses_its_locks_is_fenced_and_cannot_give_back_those_of_the_next_holder() {
    on_every_journal(|journal| async move {
        let (dead, next) = (RunId::generate(), RunId::generate());
        journal.commit(creating(vec![locking(&dead, &["a", "b"], &[])])).await.unwrap();
        let taken = creating(vec![locking(&next, &["a"], &[evicting(&dead, 1, 100)])]);
        assert!(journal.commit(taken).await.unwrap().is_empty());
        assert_eq!(holders(&*journal, &["a", "b"]).await, [("a".into(), next.clone())], "all of its locks are gone");
        // It was alive after all: it ends, it is given up, it renews. None of that has an effect.
        let late = journal.commit(appending(vec![ending(&dead, 1, 2, "succeeded")])).await.unwrap();
        assert_eq!(late, std::slice::from_ref(&dead));
        journal.release(dead.clone(), 1).await.unwrap();
        journal.renew(vec![(dead.clone(), 1)], UnixMillis(900)).await.unwrap();
        assert_eq!(holders(&*journal, &["a"]).await, [("a".into(), next)]);
        let row = journal.load(dead.clone()).await.unwrap().row;
        assert_eq!((row.epoch, row.owner, row.lease_until, row.status.as_str()), (2, None, UnixMillis(0), "running"));
        assert!(journal.take_over(taking_over(&dead, 2, 0, 2)).await.unwrap(), "it can be resumed");
    })
    .await;
}

#[tokio::test]
async fn a_holder_that_is_not_as_it_was_seen_keeps_its_locks() {
    on_every_journal(|journal| async move {
        let (holder, next) = (RunId::generate(), RunId::generate());
        journal.commit(creating(vec![locking(&holder, &["a"], &[])])).await.unwrap();
        for seen in [evicting(&holder, 2, 100), evicting(&holder, 1, 99), evicting(&next, 1, 100)] {
            let taken = creating(vec![locking(&next, &["a"], &[seen])]);
            assert_eq!(journal.commit(taken).await.unwrap(), std::slice::from_ref(&next));
        }
        let row = journal.load(holder.clone()).await.unwrap().row;
        assert_eq!((row.epoch, row.owner), (1, Some(owner(1))));
        assert_eq!(holders(&*journal, &["a"]).await, [("a".into(), holder)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_open_a_new_journal_at_once_all_get_it() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let opened: Vec<_> = (0..6)
            .map(|_| {
                let path = path.clone();
                tokio::spawn(async move { SqliteJournal::open(&path).await.map(drop) })
            })
            .collect();
        for opened in opened {
            assert_eq!(opened.await.unwrap(), Ok(()));
        }
    }
}

#[tokio::test]
async fn a_journal_of_the_first_schema_gets_locks_and_keeps_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let run = RunId::generate();
    let journal = SqliteJournal::open(&path).await.unwrap();
    journal.commit(creating(vec![new_run(&run)])).await.unwrap();
    journal.back_to_schema_1().await.unwrap();
    journal.close().await.unwrap();
    let journal = SqliteJournal::open(&path).await.unwrap();
    assert_eq!(journal.load(run).await.unwrap().row.seq, 2);
    let next = RunId::generate();
    journal.commit(creating(vec![locking(&next, &["a"], &[])])).await.unwrap();
    assert_eq!(holders(&journal, &["a"]).await, [("a".into(), next.clone())]);
    assert_eq!(journal.lines(next).await.unwrap(), []);
}

#[tokio::test]
async fn lines_are_kept_in_the_order_in_which_they_came_and_belong_to_their_run() {
    on_every_journal(|journal| async move {
        let (run, other) = (RunId::generate(), RunId::generate());
        journal.commit(creating(vec![new_run(&run), new_run(&other)])).await.unwrap();
        let line = |run: &RunId, step: &str, at, text: &str| LogLine {
            run: run.clone(),
            step: step.into(),
            attempt: 2,
            at: UnixMillis(at),
            text: text.into(),
        };
        let first = line(&run, "b", 9, "ä \"quoted\"\nand a second");
        let stray = line(&RunId::generate(), "a", 1, "of nobody");
        journal.log(vec![first.clone(), line(&other, "a", 1, "elsewhere"), stray]).await.unwrap();
        let second = line(&run, "a[x]", 3, "");
        journal.log(vec![second.clone()]).await.unwrap();
        assert_eq!(journal.lines(run).await.unwrap(), [first, second]);
    })
    .await;
}

#[tokio::test]
async fn what_ended_long_ago_is_removed_with_all_that_is_known_of_it_and_nothing_else() {
    on_every_journal(|journal| async move {
        let runs: Vec<_> = (0..7).map(|_| RunId::generate()).collect();
        journal.commit(creating(runs.iter().map(new_run).collect())).await.unwrap();
        let line = |run: &RunId| LogLine {
            run: run.clone(),
            step: "a".into(),
            attempt: 1,
            at: UnixMillis(1),
            text: "x".into(),
        };
        journal.log(runs.iter().map(line).collect()).await.unwrap();
        let waiting = ["running", "in_doubt", "waiting"];
        let ended = ["succeeded", "failed", "cancelled"];
        for (run, status) in runs.iter().zip(waiting.into_iter().chain(ended)) {
            let moved = Attempt { number: 2, failures: 1, since: UnixMillis(1) };
            let moved = record(Entry::AttemptMoved {
                step: "a".into(),
                attempt: moved,
                to: AttemptTransition::Running { mode: AttemptMode::Run },
                changes: vec![],
            });
            let append = Append { run: run.clone(), epoch: 1, seq: 2, records: vec![started("b"), moved], status };
            journal.commit(Commit { at: UnixMillis(6), creates: vec![], appends: vec![append] }).await.unwrap();
        }
        let late = Append { run: runs[6].clone(), epoch: 1, seq: 2, records: vec![started("b")], status: "failed" };
        journal.commit(Commit { at: UnixMillis(8), creates: vec![], appends: vec![late] }).await.unwrap();
        assert_eq!(journal.prune(UnixMillis(6)).await.unwrap(), 0, "none had ended before");
        assert_eq!(journal.prune(UnixMillis(7)).await.unwrap(), 3);
        let left: Vec<_> = journal.runs(10).await.unwrap().into_iter().rev().map(|row| row.id).collect();
        assert_eq!(left, [&runs[..3], &runs[6..]].concat());
        assert_eq!(journal.load(runs[3].clone()).await.unwrap_err(), JournalError::NoSuchRun(runs[3].clone()));
        let kept = journal.load(runs[6].clone()).await.unwrap();
        assert_eq!((kept.history.len(), journal.lines(runs[6].clone()).await.unwrap().len()), (3, 1));
        // A run that comes into the place of a removed one inherits nothing.
        assert_eq!(journal.prune(UnixMillis(9)).await.unwrap(), 1);
        let next = RunId::generate();
        journal.commit(creating(vec![new_run(&next)])).await.unwrap();
        let next = journal.load(next).await.unwrap();
        assert_eq!((next.history.len(), next.latest.len(), journal.lines(next.row.id).await.unwrap().len()), (2, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_not_there_is_an_error_that_names_it() {
    on_every_journal(|journal| async move {
        let run = RunId::generate();
        let error = journal.load(run.clone()).await.unwrap_err();
        assert_eq!(error, JournalError::NoSuchRun(run));
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_cannot_be_written_in_whole_is_not_written_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("journal.db")).await.unwrap();
    let run = RunId::generate();
    journal.commit(creating(vec![new_run(&run)])).await.unwrap();
    let before = journal.load(run.clone()).await.unwrap();
    // The same run cannot be created twice, so this commit fails after its first statements.
    let both = Commit { appends: vec![append(&run, 1, 2, vec![started("b")])], ..creating(vec![new_run(&run)]) };
    journal.commit(both).await.unwrap_err();
    assert_eq!(journal.load(run.clone()).await.unwrap(), before);
    let written = journal.commit(appending(vec![append(&run, 1, 2, vec![started("b")])])).await;
    assert_eq!(written, Ok(vec![]), "the journal is usable afterwards");
}

#[tokio::test]
async fn a_journal_that_fails_tells_so_whether_it_has_written_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Faulty::open(folder.path()).await;
    for (fault, seq) in [(Fault::Before, 2), (Fault::After, 3)] {
        let run = RunId::generate();
        journal.commit(creating(vec![new_run(&run)])).await.unwrap();
        journal.fail(1, fault, JournalError::Busy);
        let error = journal.commit(appending(vec![append(&run, 1, 2, vec![started("b")])])).await.unwrap_err();
        assert_eq!(error, JournalError::Busy);
        assert_eq!(journal.load(run).await.unwrap().row.seq, seq);
    }
}

#[tokio::test]
async fn a_file_of_ours_is_private_and_reopens_with_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/journal.db");
    let run = RunId::generate();
    let journal = SqliteJournal::open(&path).await.unwrap();
    journal.commit(creating(vec![new_run(&run)])).await.unwrap();
    journal.close().await.unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let journal = SqliteJournal::open(&path).await.unwrap();
    assert_eq!(journal.load(run).await.unwrap().row.seq, 2);
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_the_run_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let run = RunId::generate();
    let journal = SqliteJournal::open(&path).await.unwrap();
    journal.commit(creating(vec![new_run(&run)])).await.unwrap();
    journal.limit_pages(0).await.unwrap(); // SQLite reports a full disk at its page limit
    let big = record(Entry::Checkpointed {
        step: "a".into(),
        value: json!("x".repeat(1 << 20)),
        attempt: 1,
        changes: vec![],
    });
    let error = journal.commit(appending(vec![append(&run, 1, 2, vec![big])])).await.unwrap_err();
    assert_eq!(error, JournalError::Full);
    assert!(journal.load(run).await.unwrap().latest.is_empty());
}

#[tokio::test]
async fn a_file_that_is_no_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    std::fs::write(&path, "no database at all, but long enough to be looked at".repeat(100)).unwrap();
    let error = open_error(&path).await;
    assert!(matches!(error, JournalError::Corrupt(_)), "{error}");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("no database"), "it is left as it is");
}

#[tokio::test]
async fn a_journal_of_a_newer_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journal = SqliteJournal::open(&path).await.unwrap();
    journal.pretend_schema(999).await.unwrap();
    journal.close().await.unwrap();
    let error = open_error(&path).await;
    assert!(matches!(error, JournalError::Newer { found: 999, .. }), "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let error = open_error(Path::new("/proc/stargate/journal.db")).await;
    assert!(matches!(&error, JournalError::Open { .. }), "{error}");
    assert!(error.to_string().contains("/proc/stargate/journal.db"), "{error}");
}

async fn open_error(path: &Path) -> JournalError {
    SqliteJournal::open(path).await.err().expect("it must not open")
}
