//! Steps under `finally`.

use stargate::{
    engine::{CancelResult, Ending},
    journal::{Journal, JournalError},
    plan::{Plan, PlannedStep},
    run::{Entry, Outcome},
};
use stargate_sdk::ActionError;

use crate::{
    FAILED, SUCCEEDED,
    support::{Act, CommitFault, Harness, plan, step},
};

/// Returns a plan of two steps, and of two more under `finally`.
fn closing() -> Plan {
    let last = |name: &str, needs: &[usize]| PlannedStep { is_finally: true, ..step(name, "test.find", needs) };
    let steps = vec![step("s0", "test.find", &[]), step("s1", "test.find", &[0]), last("f0", &[]), last("f1", &[2])];
    plan(steps)
}

#[tokio::test]
async fn after_any_failed_commit_steps_under_finally_take_effect_once() {
    for is_failing in [false, true] {
        for fault in [CommitFault::Before, CommitFault::After] {
            for nth in 2..=4 {
                let harness = Harness::new().await;
                if is_failing {
                    harness.script.will("s1", vec![Act::Fail(ActionError::permanent("no")); 2]);
                }
                harness.journal.fail(nth, fault, JournalError::Full);
                harness.engine().run(closing()).await.unwrap_err();
                let stored = harness.only_run().await;
                harness.journal.release(stored.row.id.clone(), stored.row.epoch).await.unwrap();
                let finished = harness.engine().resume(stored.row.id).await.unwrap();
                assert_eq!(finished.ending, if is_failing { FAILED } else { SUCCEEDED }, "commit {nth} {fault:?}");
                let effects = ["s0", "f0", "f1"].map(|step| harness.script.effects(step));
                assert_eq!(effects, [1, 1, 1], "commit {nth} {fault:?}, failing: {is_failing}");
                let history = harness.only_run().await.history;
                let starts = history.iter().filter(|timed| matches!(timed.entry, Entry::FinallyStarted { .. }));
                assert_eq!(starts.count(), 1, "commit {nth} {fault:?}, failing: {is_failing}");
            }
        }
    }
}

#[tokio::test]
async fn a_run_in_doubt_has_not_ended_and_its_cancellation_leaves_the_steps_under_finally() {
    let harness = Harness::new().await;
    harness.script.will("s1", [Act::LoseTrack]);
    let engine = harness.engine();
    let run = engine.run(closing()).await.unwrap().run;
    assert_eq!(harness.script.effects("f0"), 0);
    assert_eq!(engine.cancel(run.clone()).await.unwrap(), CancelResult::FinallyLeft);
    assert_eq!(engine.resume(run.clone()).await.unwrap().ending, Ending::Finished(Outcome::Cancelled));
    assert_eq!((harness.script.effects("f0"), harness.script.effects("f1")), (1, 1));
    assert_eq!(engine.cancel(run).await.unwrap(), CancelResult::AlreadyFinished(Outcome::Cancelled));
}
