#![expect(clippy::unwrap_used, reason = "a check that cannot continue has failed")]

use std::{slice, sync::Arc};

use serde_json::json;

use super::samples::{
    LEASE, PLAN_JSON, append, appends, attempt, checkpoint, created, creates, eviction, finish, locking_run, log_line,
    new_run, owner, started, take_over, timed,
};
use crate::{
    clock::UnixMillis,
    id::{Epoch, RunId, Seq},
    journal::{Commit, Cursor, Journal, JournalError, LockTaking, LogLine, NewRun, SeenTaker, TakeOverRequest},
    run::{Entry, Outcome, RunStatus},
};

/// Checks that journals fulfil the contract of [`Journal`].
///
/// `make` returns a new, empty journal each time it is called.
///
/// # Panics
/// If a journal violates the contract; the message has the place of the check in this file.
pub async fn contract(make: impl AsyncFn() -> Arc<dyn Journal>) {
    committed_entries_are_read_back_byte_for_byte(&*make().await).await;
    outputs_with_any_content_are_read_back(&*make().await).await;
    an_append_under_another_epoch_or_sequence_number_writes_nothing(&*make().await).await;
    a_refused_run_does_not_prevent_the_other_writes_of_a_commit(&*make().await).await;
    a_run_that_exists_cannot_be_created_and_the_whole_commit_fails(&*make().await).await;
    only_the_latest_attempt_and_checkpoint_of_a_step_are_kept(&*make().await).await;
    one_of_two_takeovers_succeeds_and_fences_the_previous_owner(&*make().await).await;
    a_takeover_fails_if_the_lease_was_renewed_since_it_was_read(&*make().await).await;
    only_the_owner_can_release_a_run(&*make().await).await;
    external_entries_are_those_after_the_cursor_under_its_epoch(&*make().await).await;
    a_run_is_not_created_if_another_run_holds_one_of_its_locks(&*make().await).await;
    a_finished_run_releases_its_locks_and_a_new_run_can_take_them_in_the_same_commit(&*make().await).await;
    a_released_run_has_no_locks_and_needs_them_again_to_be_taken_over(&*make().await).await;
    a_run_keeps_its_locks_when_it_is_taken_over(&*make().await).await;
    an_evicted_run_is_fenced_and_cannot_release_the_locks_of_the_next_holder(&*make().await).await;
    a_holder_that_has_changed_since_it_was_read_keeps_its_locks(&*make().await).await;
    the_run_that_took_a_lock_last_is_known_after_it_has_been_pruned(&*make().await).await;
    a_takeover_fails_if_another_run_has_taken_a_lock_since(&*make().await).await;
    a_run_is_not_created_if_another_one_has_taken_a_lock_since(&*make().await).await;
    log_lines_are_kept_in_order_and_belong_to_their_run(&*make().await).await;
    pruning_deletes_old_finished_runs_completely_and_no_others(&*make().await).await;
    a_run_that_does_not_exist_is_an_error_that_names_it(&*make().await).await;
    a_journal_in_use_is_the_one_that_was_opened(&*make().await).await;
    a_closed_journal_refuses_all_calls(&*make().await).await;
}

/// Returns the held locks among `locks` with their holders.
async fn holders(journal: &dyn Journal, locks: &[&str]) -> Vec<(String, RunId)> {
    let held = journal.holders(locks.iter().map(|lock| (*lock).to_owned()).collect()).await.unwrap();
    held.into_iter().map(|held| (held.name, held.holder.id)).collect()
}

async fn committed_entries_are_read_back_byte_for_byte(journal: &dyn Journal) {
    let run = RunId::generate();
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    let stored = journal.load(run.clone()).await.unwrap();
    assert_eq!(stored.plan_json, PLAN_JSON);
    assert_eq!(stored.history, [created(), started("a")]);
    assert_eq!((stored.row.seq, stored.row.epoch, stored.row.lease_until), (Seq(2), Epoch::FIRST, LEASE));
    assert_eq!((stored.row.owner.as_ref(), stored.row.status), (Some(&owner(1)), RunStatus::Running));
    assert_eq!(journal.row(run).await.unwrap(), stored.row);
    assert_eq!(journal.runs(9).await.unwrap(), [stored.row]);
    let unknown = RunId::generate();
    assert_eq!(journal.row(unknown.clone()).await, Err(JournalError::NoSuchRun(unknown)));
}

async fn outputs_with_any_content_are_read_back(journal: &dyn Journal) {
    let run = RunId::generate();
    let text = "\"quoted\" \\ \u{0} \u{1F680} \n";
    let output = json!({ "text": text, "big": u64::MAX, "f": 0.1, "n": null }).into();
    let success = timed(Entry::StepSucceeded { step: "a".into(), output, changes: vec!["x".into()], found: true });
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    assert!(journal.commit(appends(vec![append(&run, 1, 2, vec![success.clone()])])).await.unwrap().is_empty());
    assert_eq!(journal.load(run).await.unwrap().history[2], success);
}

async fn an_append_under_another_epoch_or_sequence_number_writes_nothing(journal: &dyn Journal) {
    let run = RunId::generate();
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    let before = journal.load(run.clone()).await.unwrap();
    for (epoch, after) in [(2, 2), (0, 2), (1, 1), (1, 3)] {
        let refused = journal.commit(appends(vec![append(&run, epoch, after, vec![started("b")])])).await.unwrap();
        assert_eq!(refused, slice::from_ref(&run), "epoch {epoch}, after {after}");
    }
    assert_eq!(journal.load(run).await.unwrap(), before);
}

async fn a_refused_run_does_not_prevent_the_other_writes_of_a_commit(journal: &dyn Journal) {
    let (owned, lost) = (RunId::generate(), RunId::generate());
    journal.commit(creates(vec![new_run(&owned), new_run(&lost)])).await.unwrap();
    let both = vec![append(&lost, 9, 2, vec![started("b")]), append(&owned, 1, 2, vec![started("b")])];
    assert_eq!(journal.commit(appends(both)).await.unwrap(), slice::from_ref(&lost));
    assert_eq!(journal.load(owned).await.unwrap().row.seq, Seq(3));
    assert_eq!(journal.load(lost).await.unwrap().row.seq, Seq(2));
}

async fn a_run_that_exists_cannot_be_created_and_the_whole_commit_fails(journal: &dyn Journal) {
    let run = RunId::generate();
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    let before = journal.load(run.clone()).await.unwrap();
    let next = append(&run, 1, 2, vec![started("b")]);
    let both = Commit { appends: vec![next.clone()], ..creates(vec![new_run(&run)]) };
    journal.commit(both).await.unwrap_err();
    assert_eq!(journal.load(run).await.unwrap(), before);
    assert_eq!(journal.commit(appends(vec![next])).await, Ok(vec![]), "the journal is usable afterwards");
}

async fn only_the_latest_attempt_and_checkpoint_of_a_step_are_kept(journal: &dyn Journal) {
    let run = RunId::generate();
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    for n in 2..6 {
        let entries = vec![attempt("a", n), checkpoint("a", n, &json!(n))];
        journal.commit(appends(vec![append(&run, 1, 2, entries)])).await.unwrap();
    }
    let loaded = journal.load(run).await.unwrap();
    assert_eq!(loaded.latest, [attempt("a", 5), checkpoint("a", 5, &json!(5))]);
    assert_eq!(loaded.history.len(), 2);
}

async fn one_of_two_takeovers_succeeds_and_fences_the_previous_owner(journal: &dyn Journal) {
    let run = RunId::generate();
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    assert!(journal.take_over(take_over(&run, 1, LEASE.0, 2)).await.unwrap());
    assert!(!journal.take_over(take_over(&run, 1, LEASE.0, 2)).await.unwrap());
    let late = journal.commit(appends(vec![append(&run, 1, 3, vec![started("b")])])).await.unwrap();
    assert_eq!(late, slice::from_ref(&run));
    let stored = journal.load(run).await.unwrap();
    assert_eq!((stored.row.epoch, stored.row.seq, stored.row.owner), (Epoch(2), Seq(3), Some(owner(2))));
}

async fn a_takeover_fails_if_the_lease_was_renewed_since_it_was_read(journal: &dyn Journal) {
    let run = RunId::generate();
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    let renewed = journal.renew(vec![(run.clone(), Epoch::FIRST)], UnixMillis(300)).await.unwrap();
    assert_eq!(renewed, slice::from_ref(&run));
    assert!(!journal.take_over(take_over(&run, 1, LEASE.0, 2)).await.unwrap());
    assert_eq!(journal.renew(vec![(run.clone(), Epoch(9))], UnixMillis(400)).await.unwrap(), []);
    assert_eq!(journal.load(run.clone()).await.unwrap().row.lease_until, UnixMillis(300));
    journal.release(run.clone(), Epoch::FIRST).await.unwrap();
    assert_eq!(journal.renew(vec![(run, Epoch::FIRST)], UnixMillis(500)).await.unwrap(), [], "it has no owner");
}

async fn only_the_owner_can_release_a_run(journal: &dyn Journal) {
    let run = RunId::generate();
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    journal.release(run.clone(), Epoch(9)).await.unwrap();
    assert!(journal.load(run.clone()).await.unwrap().row.owner.is_some());
    journal.release(run.clone(), Epoch::FIRST).await.unwrap();
    assert_eq!(journal.load(run).await.unwrap().row.owner, None);
}

async fn external_entries_are_those_after_the_cursor_under_its_epoch(journal: &dyn Journal) {
    let (run, other) = (RunId::generate(), RunId::generate());
    journal.commit(creates(vec![new_run(&run), new_run(&other)])).await.unwrap();
    let cursor = |run: &RunId, epoch, after| Cursor { run: run.clone(), epoch: Epoch(epoch), after: Seq(after) };
    let cursors = vec![cursor(&run, 1, 2), cursor(&other, 2, 0), cursor(&RunId::generate(), 1, 0)];
    assert_eq!(journal.external_entries(cursors.clone()).await.unwrap(), []);
    let requested = timed(Entry::CancelRequested { by: "another process".into() });
    journal.commit(appends(vec![append(&run, 1, 2, vec![requested.clone(), attempt("a", 2)])])).await.unwrap();
    assert_eq!(journal.external_entries(cursors).await.unwrap(), [(run.clone(), requested)]);
    let all = journal.external_entries(vec![cursor(&run, 1, 0)]).await.unwrap();
    assert_eq!(all.len(), 3, "attempts have no sequence number");
}

async fn a_run_is_not_created_if_another_run_holds_one_of_its_locks(journal: &dyn Journal) {
    let (first, second, other) = (RunId::generate(), RunId::generate(), RunId::generate());
    assert!(journal.commit(creates(vec![locking_run(&first, &["a", "b"], &[])])).await.unwrap().is_empty());
    // The second run requests a free lock as well and gets neither; the third one of the commit is
    // created.
    let both = vec![locking_run(&second, &["c", "b"], &[]), locking_run(&other, &["d"], &[])];
    assert_eq!(journal.commit(creates(both)).await.unwrap(), slice::from_ref(&second));
    assert!(matches!(journal.load(second).await, Err(JournalError::NoSuchRun(_))));
    let expected = [("a".into(), first.clone()), ("b".into(), first), ("d".into(), other)];
    assert_eq!(holders(journal, &["a", "b", "c", "d"]).await, expected);
}

async fn a_finished_run_releases_its_locks_and_a_new_run_can_take_them_in_the_same_commit(journal: &dyn Journal) {
    for outcome in
        [Outcome::Succeeded, Outcome::Failed, Outcome::InDoubt, Outcome::AwaitingApproval, Outcome::Cancelled]
    {
        let (first, second) = (RunId::generate(), RunId::generate());
        journal.commit(creates(vec![locking_run(&first, &["a"], &[])])).await.unwrap();
        let appends_and_creates =
            Commit { appends: vec![finish(&first, 1, 2, outcome)], ..creates(vec![locking_run(&second, &["a"], &[])]) };
        assert!(journal.commit(appends_and_creates).await.unwrap().is_empty(), "{outcome:?}");
        assert_eq!(journal.load(first).await.unwrap().row.status, RunStatus::Finished(outcome));
        assert_eq!(holders(journal, &["a"]).await, [("a".into(), second.clone())]);
        journal.commit(appends(vec![finish(&second, 1, 2, outcome)])).await.unwrap();
        assert_eq!(holders(journal, &["a"]).await, []);
    }
}

async fn a_released_run_has_no_locks_and_needs_them_again_to_be_taken_over(journal: &dyn Journal) {
    let (first, second) = (RunId::generate(), RunId::generate());
    journal.commit(creates(vec![locking_run(&first, &["a"], &[])])).await.unwrap();
    journal.release(first.clone(), Epoch::FIRST).await.unwrap();
    assert_eq!(holders(journal, &["a"]).await, []);
    journal.commit(creates(vec![locking_run(&second, &["a"], &[])])).await.unwrap();
    let again = TakeOverRequest { locks: vec!["a".into()], ..take_over(&first, 1, 0, 2) };
    let before = journal.load(first.clone()).await.unwrap();
    assert!(!journal.take_over(again.clone()).await.unwrap());
    assert_eq!(journal.load(first.clone()).await.unwrap(), before);
    journal.commit(appends(vec![finish(&second, 1, 2, Outcome::Failed)])).await.unwrap();
    assert!(journal.take_over(again).await.unwrap());
    assert_eq!(holders(journal, &["a"]).await, [("a".into(), first)]);
}

async fn a_run_keeps_its_locks_when_it_is_taken_over(journal: &dyn Journal) {
    let run = RunId::generate();
    journal.commit(creates(vec![locking_run(&run, &["a"], &[])])).await.unwrap();
    let request = TakeOverRequest { locks: vec!["a".into()], ..take_over(&run, 1, LEASE.0, 2) };
    assert!(journal.take_over(request).await.unwrap());
    assert_eq!(holders(journal, &["a"]).await, [("a".into(), run)]);
}

async fn an_evicted_run_is_fenced_and_cannot_release_the_locks_of_the_next_holder(journal: &dyn Journal) {
    let (evicted, next) = (RunId::generate(), RunId::generate());
    journal.commit(creates(vec![locking_run(&evicted, &["a", "b"], &[])])).await.unwrap();
    let taken = creates(vec![locking_run(&next, &["a"], &[eviction(&evicted, 1, LEASE.0)])]);
    assert!(journal.commit(taken).await.unwrap().is_empty());
    assert_eq!(holders(journal, &["a", "b"]).await, [("a".into(), next.clone())], "all of its locks are released");
    // The owner was live: it finishes, releases and renews the run, without effect.
    let late = journal.commit(appends(vec![finish(&evicted, 1, 2, Outcome::Succeeded)])).await.unwrap();
    assert_eq!(late, slice::from_ref(&evicted));
    journal.release(evicted.clone(), Epoch::FIRST).await.unwrap();
    journal.renew(vec![(evicted.clone(), Epoch::FIRST)], UnixMillis(900)).await.unwrap();
    assert_eq!(holders(journal, &["a"]).await, [("a".into(), next)]);
    let row = journal.load(evicted.clone()).await.unwrap().row;
    let expected = (Epoch(2), None, UnixMillis(0), RunStatus::Running);
    assert_eq!((row.epoch, row.owner, row.lease_until, row.status), expected);
    assert!(journal.take_over(take_over(&evicted, 2, 0, 2)).await.unwrap(), "it can be resumed");
}

async fn a_holder_that_has_changed_since_it_was_read_keeps_its_locks(journal: &dyn Journal) {
    let (holder, next) = (RunId::generate(), RunId::generate());
    journal.commit(creates(vec![locking_run(&holder, &["a"], &[])])).await.unwrap();
    for seen in [eviction(&holder, 2, LEASE.0), eviction(&holder, 1, 99), eviction(&next, 1, LEASE.0)] {
        let taken = creates(vec![locking_run(&next, &["a"], &[seen])]);
        assert_eq!(journal.commit(taken).await.unwrap(), slice::from_ref(&next));
    }
    let row = journal.load(holder.clone()).await.unwrap().row;
    assert_eq!((row.epoch, row.owner), (Epoch::FIRST, Some(owner(1))));
    assert_eq!(holders(journal, &["a"]).await, [("a".into(), holder)]);
}

/// Returns the runs that took the lock `a` last.
async fn last_takers(journal: &dyn Journal) -> Vec<LockTaking> {
    journal.last_takers(vec!["a".into(), "none".into()]).await.unwrap()
}

async fn the_run_that_took_a_lock_last_is_known_after_it_has_been_pruned(journal: &dyn Journal) {
    assert_eq!(last_takers(journal).await, []);
    let (first, second) = (RunId::generate(), RunId::generate());
    journal.commit(creates(vec![locking_run(&first, &["a", "b"], &[])])).await.unwrap();
    journal.release(first.clone(), Epoch::FIRST).await.unwrap();
    let taken = last_takers(journal).await;
    assert_eq!((taken.len(), taken[0].lock.as_str(), taken[0].workflow.as_str()), (1, "a", "test"));
    assert!(!taken[0].overtakes(&first));
    journal.commit(creates(vec![locking_run(&second, &["a"], &[])])).await.unwrap();
    journal.commit(appends(vec![finish(&second, 1, 2, Outcome::Succeeded)])).await.unwrap();
    assert_eq!(journal.prune(UnixMillis(99)).await.unwrap(), 1);
    let taken = last_takers(journal).await;
    assert_eq!((taken.len(), &taken[0].run, taken[0].overtakes(&first)), (1, &second, true));
    let again = TakeOverRequest { locks: vec!["a".into()], seen_takers: taken, ..take_over(&first, 1, 0, 2) };
    assert!(journal.take_over(again).await.unwrap());
    assert_eq!(last_takers(journal).await[0].run, first);
}

async fn a_takeover_fails_if_another_run_has_taken_a_lock_since(journal: &dyn Journal) {
    let (first, second) = (RunId::generate(), RunId::generate());
    journal.commit(creates(vec![locking_run(&first, &["a"], &[])])).await.unwrap();
    journal.release(first.clone(), Epoch::FIRST).await.unwrap();
    let seen_takers = last_takers(journal).await;
    journal.commit(creates(vec![locking_run(&second, &["a"], &[])])).await.unwrap();
    journal.commit(appends(vec![finish(&second, 1, 2, Outcome::Succeeded)])).await.unwrap();
    let late = TakeOverRequest { locks: vec!["a".into()], seen_takers, ..take_over(&first, 1, 0, 2) };
    assert!(!journal.take_over(late).await.unwrap());
    assert_eq!((holders(journal, &["a"]).await, last_takers(journal).await[0].run.clone()), (vec![], second));
}

async fn a_run_is_not_created_if_another_one_has_taken_a_lock_since(journal: &dyn Journal) {
    let [first, second, third] = [(); 3].map(|()| RunId::generate());
    let if_last = |run: &RunId, last: Option<&RunId>| {
        let seen_takers = vec![SeenTaker { lock: "a".into(), run: last.cloned() }];
        creates(vec![NewRun { seen_takers, ..locking_run(run, &["a"], &[]) }])
    };
    assert_eq!(journal.commit(if_last(&first, None)).await.unwrap(), []);
    journal.commit(appends(vec![finish(&first, 1, 2, Outcome::Succeeded)])).await.unwrap();
    assert_eq!(journal.commit(if_last(&second, None)).await.unwrap(), slice::from_ref(&second));
    assert!(journal.row(second.clone()).await.is_err(), "nothing was written");
    assert_eq!(journal.commit(if_last(&second, Some(&first))).await.unwrap(), []);
    journal.release(second.clone(), Epoch::FIRST).await.unwrap();
    assert_eq!(journal.commit(if_last(&third, Some(&first))).await.unwrap(), slice::from_ref(&third));
}

async fn log_lines_are_kept_in_order_and_belong_to_their_run(journal: &dyn Journal) {
    let (run, other) = (RunId::generate(), RunId::generate());
    journal.commit(creates(vec![new_run(&run), new_run(&other)])).await.unwrap();
    let later = LogLine { at: UnixMillis(9), attempt: 2, ..log_line(&run, "b", "ä \"quoted\"\nand a second") };
    let unknown = log_line(&RunId::generate(), "a", "of a run that does not exist");
    journal.log(vec![later.clone(), log_line(&other, "a", "elsewhere"), unknown]).await.unwrap();
    let earlier = log_line(&run, "a[x]", "");
    journal.log(vec![earlier.clone()]).await.unwrap();
    assert_eq!(journal.log_lines(run).await.unwrap(), [later, earlier]);
}

async fn pruning_deletes_old_finished_runs_completely_and_no_others(journal: &dyn Journal) {
    let runs: Vec<_> = (0..7).map(|_| RunId::generate()).collect();
    journal.commit(creates(runs.iter().map(new_run).collect())).await.unwrap();
    journal.log(runs.iter().map(|run| log_line(run, "a", "x")).collect()).await.unwrap();
    let kept = [Outcome::InDoubt, Outcome::AwaitingApproval];
    let deleted = [Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled];
    for (run, outcome) in runs[1..].iter().zip(kept.into_iter().chain(deleted)) {
        let mut last = finish(run, 1, 2, outcome);
        last.entries = last.entries.iter().cloned().chain([attempt("a", 2)]).collect();
        assert_eq!(journal.commit(appends(vec![last])).await.unwrap(), []);
    }
    let late = Commit { at: UnixMillis(8), ..appends(vec![finish(&runs[6], 1, 2, Outcome::Failed)]) };
    assert_eq!(journal.commit(late).await.unwrap(), []);
    assert_eq!(journal.prune(UnixMillis(6)).await.unwrap(), 0, "no run had finished before");
    assert_eq!(journal.prune(UnixMillis(7)).await.unwrap(), 3);
    let left: Vec<_> = journal.runs(10).await.unwrap().into_iter().rev().map(|row| row.id).collect();
    assert_eq!(left, [&runs[..3], &runs[6..]].concat());
    assert_eq!(journal.load(runs[3].clone()).await.unwrap_err(), JournalError::NoSuchRun(runs[3].clone()));
    let newest = journal.load(runs[6].clone()).await.unwrap();
    assert_eq!((newest.history.len(), journal.log_lines(runs[6].clone()).await.unwrap().len()), (3, 1));
    // A run that reuses the storage of a deleted one has none of its entries.
    assert_eq!(journal.prune(UnixMillis(9)).await.unwrap(), 1);
    let next = RunId::generate();
    journal.commit(creates(vec![new_run(&next)])).await.unwrap();
    let stored = journal.load(next.clone()).await.unwrap();
    let lines = journal.log_lines(next).await.unwrap();
    assert_eq!((stored.history.len(), stored.latest.len(), lines.len()), (2, 0, 0));
}

async fn a_run_that_does_not_exist_is_an_error_that_names_it(journal: &dyn Journal) {
    let run = RunId::generate();
    assert_eq!(journal.load(run.clone()).await.unwrap_err(), JournalError::NoSuchRun(run));
}

async fn a_journal_in_use_is_the_one_that_was_opened(journal: &dyn Journal) {
    for _ in 0..3 {
        journal.commit(creates(vec![new_run(&RunId::generate())])).await.unwrap();
        journal.verify_identity().await.unwrap();
    }
}

async fn a_closed_journal_refuses_all_calls(journal: &dyn Journal) {
    let run = RunId::generate();
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    journal.close().await.unwrap();
    journal.commit(appends(vec![append(&run, 1, 2, vec![started("b")])])).await.unwrap_err();
    journal.load(run).await.unwrap_err();
    journal.close().await.unwrap();
}
