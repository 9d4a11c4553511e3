//! Leases: what an owner does whose lease has expired, and runs that others have overtaken.

use std::{sync::Arc, time::Duration};

use stargate::{
    engine::{Engine, EngineError, ResumePolicy, RunReport},
    id::RunId,
    journal::{Journal, JournalError},
    plan::Plan,
};
use stargate_sdk::ActionError;
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::{
    FAILED, OVERTAKEN, SUCCEEDED,
    support::{Act, Harness, chain},
    until,
};

/// Lease of an owner that is delayed. Tests await its end and do not depend on its duration.
const SHORT: Duration = Duration::from_millis(200);
const TAKE_OVER: ResumePolicy = ResumePolicy { take_over: true, overtaken: false };

type Finished = JoinHandle<Result<RunReport, EngineError>>;

/// Starts a run whose owner cannot renew its lease. Its only attempt waits for a permit and then
/// checks the lease.
async fn delayed_run(harness: &Harness) -> (RunId, Arc<Semaphore>, Finished) {
    let open = harness.script.will_when_opened("s0", Act::CheckLease);
    harness.journal.fail_renewals(true);
    let engine = harness.engine_with_lease(SHORT);
    let finished = tokio::spawn(async move { engine.run(chain(1)).await });
    until(|| !harness.script.calls().is_empty()).await;
    (harness.only_run().await.row.id, open, finished)
}

/// Takes the run from its owner as soon as its lease has expired.
async fn take_over(engine: &Engine, run: &RunId) -> RunReport {
    loop {
        match engine.resume_with(run.clone(), TAKE_OVER).await {
            Err(EngineError::Owned { .. }) => tokio::task::yield_now().await,
            other => return other.unwrap(),
        }
    }
}

async fn wait_until_expired(harness: &Harness, run: &RunId) {
    let lease_until = harness.journal.load(run.clone()).await.unwrap().row.lease_until;
    stargate::clock::Clock::system().until(lease_until).await;
}

#[tokio::test]
async fn an_expired_lease_is_renewed_before_a_call() {
    let harness = Harness::new().await;
    let (run, open, finished) = delayed_run(&harness).await;
    wait_until_expired(&harness, &run).await;
    harness.journal.fail_renewals(false);
    open.add_permits(1);
    assert_eq!(finished.await.unwrap().unwrap().ending, SUCCEEDED);
    assert_eq!(harness.script.effects("s0"), 1);
}

#[tokio::test]
async fn a_live_owner_keeps_a_run_whose_lease_has_expired_unless_it_is_taken_over() {
    let harness = Harness::new().await;
    let (run, open, finished) = delayed_run(&harness).await;
    wait_until_expired(&harness, &run).await;
    let other = harness.engine();
    let refused = other.resume(run.clone()).await.unwrap_err();
    assert!(matches!(refused, EngineError::Owned { .. }), "{refused}");
    assert_eq!(take_over(&other, &run).await.ending, SUCCEEDED);
    assert_eq!(harness.script.effects("s0"), 1);
    // The previous owner makes no call afterwards.
    open.add_permits(1);
    harness.journal.fail_renewals(false);
    let fenced = finished.await.unwrap().unwrap_err();
    assert!(matches!(fenced, EngineError::Fenced(_)), "{fenced}");
    assert_eq!(harness.script.effects("s0"), 1);
}

#[tokio::test]
async fn a_renewal_that_finds_the_run_acquired_cancels_its_attempts() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::Hang]);
    harness.journal.fail_renewals(true);
    let engine = harness.engine_with_lease(SHORT);
    let finished: Finished = tokio::spawn(async move { engine.run(chain(1)).await });
    until(|| !harness.script.calls().is_empty()).await;
    let run = harness.only_run().await.row.id;
    assert_eq!(take_over(&harness.engine(), &run).await.ending, SUCCEEDED);
    harness.journal.fail_renewals(false);
    let fenced = finished.await.unwrap().unwrap_err();
    assert!(matches!(fenced, EngineError::Fenced(_)), "{fenced}");
    until(|| harness.script.running() == 0).await;
}

/// The dispatcher waits for a commit that takes longer than the lease.
#[tokio::test]
async fn a_lease_is_renewed_while_the_work_waits_for_the_journal() {
    let harness = Harness::new().await;
    let open = harness.script.will_when_opened("s0", Act::Succeed);
    let engine = harness.engine_with_lease(SHORT);
    let finished: Finished = tokio::spawn(async move { engine.run(chain(2)).await });
    until(|| !harness.script.calls().is_empty()).await;
    let run = harness.only_run().await.row.id;
    let commits = harness.journal.commits();
    let permits = harness.journal.hold_commits();
    open.add_permits(1);
    until(|| harness.journal.commits() > commits).await;
    for _ in 0..2 {
        wait_until_expired(&harness, &run).await;
    }
    let lease_until = harness.journal.load(run.clone()).await.unwrap().row.lease_until;
    assert!(lease_until > stargate::clock::Clock::system().now(), "it is in force");
    permits.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(finished.await.unwrap().unwrap().ending, SUCCEEDED);
    assert_eq!(harness.script.effects("s1"), 1);
}

#[tokio::test]
async fn a_run_can_be_cancelled_once_the_lease_of_its_live_owner_has_expired() {
    let harness = Harness::new().await;
    let (run, _open, _finished) = delayed_run(&harness).await;
    wait_until_expired(&harness, &run).await;
    let result = harness.engine().cancel(run).await.unwrap();
    assert_eq!(result, stargate::engine::CancelResult::Cancelled);
}

/// Returns a plan of one step that takes a lock.
fn locked(lock: &str) -> Plan {
    Plan { locks: vec![lock.into()], ..chain(1) }
}

async fn failed_run(harness: &Harness, plan: Plan) -> RunId {
    harness.script.will("s0", [Act::Fail(ActionError::permanent("no"))]);
    let finished = harness.engine().run(plan).await.unwrap();
    assert_eq!(finished.ending, FAILED);
    finished.run
}

#[tokio::test]
async fn a_run_is_overtaken_once_another_one_has_taken_one_of_its_locks() {
    let harness = Harness::new().await;
    let first = failed_run(&harness, locked("a")).await;
    let unrelated = harness.engine().run(locked("b")).await.unwrap();
    assert_eq!(unrelated.ending, SUCCEEDED);
    let second = failed_run(&harness, locked("a")).await;
    let refused = harness.engine().resume(first.clone()).await.unwrap_err();
    let EngineError::Overtaken { run, by } = refused else { panic!("{refused}") };
    assert_eq!((run, &by.run, by.lock.as_str()), (first.clone(), &second, "a"));
    // On request it is resumed, and has then overtaken the other one.
    let resumed = harness.engine().resume_with(first.clone(), OVERTAKEN).await.unwrap();
    assert_eq!(resumed.ending, SUCCEEDED);
    let refused = harness.engine().resume(second).await.unwrap_err();
    assert!(matches!(&refused, EngineError::Overtaken { by, .. } if by.run == first), "{refused}");
}

#[tokio::test]
async fn a_pruned_run_has_overtaken_others_nevertheless() {
    let harness = Harness::new().await;
    let first = failed_run(&harness, locked("a")).await;
    let second = harness.engine().run(locked("a")).await.unwrap().run;
    let updated = harness.journal.load(second.clone()).await.unwrap().row.updated_at;
    harness.engine().resume_with(first.clone(), OVERTAKEN).await.unwrap();
    let third = failed_run(&harness, locked("a")).await;
    harness.engine().run(locked("a")).await.unwrap();
    harness.journal.prune(updated.plus(Duration::from_hours(1))).await.unwrap();
    assert!(harness.journal.runs(10).await.unwrap().is_empty());
    let takers = harness.journal.last_takers(vec!["a".into()]).await.unwrap();
    assert!(takers[0].overtakes(&third), "{takers:?}");
}

#[tokio::test]
async fn the_next_renewal_after_the_journal_was_deleted_cancels_the_attempts() {
    let harness = Harness::new().await;
    harness.script.will("s0", std::iter::repeat_n(Act::Hang, 100)); // also if a delay cancels an attempt
    let engine = harness.engine_with_lease(SHORT);
    let running = tokio::spawn(async move { engine.run(chain(2)).await });
    until(|| !harness.script.calls().is_empty()).await;
    std::fs::remove_file(harness.folder.path().join("journal.db")).unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, EngineError::Journal(JournalError::Displaced { .. })), "{error}");
    until(|| harness.script.running() == 0).await;
}
