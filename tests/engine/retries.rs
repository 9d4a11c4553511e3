//! Steps of a run that are executed again on request.

use stargate::{
    engine::{Ending, EngineError, ResumePolicy},
    journal::{Journal, JournalError},
    plan::Plan,
    run::{Outcome, StepRetryError},
};
use stargate_sdk::ActionError;

use crate::{
    FAILED, OVERTAKEN, SUCCEEDED,
    support::{Act, CommitFault, Harness, chain, plan, step},
};

const POLICY: ResumePolicy = ResumePolicy { take_over: false, overtaken: false };

#[tokio::test]
async fn a_step_and_all_that_depends_on_it_are_executed_again_and_the_rest_is_kept_or_obtained_again() {
    let harness = Harness::new().await;
    let steps = vec![
        step("read", "test.observe", &[]),
        step("once", "test.find", &[0]),
        step("beside", "test.find", &[0]),
        step("last", "test.find", &[1]),
    ];
    let engine = harness.engine();
    let run = engine.run(plan(steps)).await.unwrap().run;
    let finished = engine.retry(run, "once", POLICY).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    let effects = ["once", "beside", "last"].map(|step| harness.script.effects(step));
    assert_eq!(effects, [2, 1, 2]);
    let reads = harness.script.calls().iter().filter(|call| *call == "run read").count();
    assert_eq!(reads, 2, "what was read is read again before anything changes");
}

#[tokio::test]
async fn a_failed_run_is_retried_from_a_step_before_the_failure() {
    let harness = Harness::new().await;
    harness.script.will("s2", [Act::Fail(ActionError::permanent("no"))]);
    let engine = harness.engine();
    let failed = engine.run(chain(4)).await.unwrap();
    assert_eq!(failed.ending, FAILED);
    assert_eq!(engine.retry(failed.run, "s1", POLICY).await.unwrap().ending, SUCCEEDED);
    let effects = ["s0", "s1", "s2", "s3"].map(|step| harness.script.effects(step));
    assert_eq!(effects, [1, 2, 1, 1]);
}

#[tokio::test]
async fn after_any_failed_commit_of_a_retry_nothing_before_the_step_is_repeated() {
    for fault in [CommitFault::Before, CommitFault::After] {
        for nth in 1..=3 {
            let harness = Harness::new().await;
            let run = harness.engine().run(chain(3)).await.unwrap().run;
            harness.journal.fail(nth, fault, JournalError::Full);
            let retried = harness.engine().retry(run.clone(), "s1", POLICY).await;
            if matches!(retried, Err(EngineError::Journal(JournalError::Full))) {
                let stored = harness.only_run().await;
                harness.journal.release(run.clone(), stored.row.epoch).await.unwrap();
            }
            let finished = harness.engine().resume(run).await.unwrap();
            // The effect of the earlier execution could be taken for that of the lost attempt.
            let endings = [SUCCEEDED, Ending::Finished(Outcome::InDoubt)];
            assert!(endings.contains(&finished.ending), "commit {nth} {fault:?}: {:?}", finished.ending);
            assert_eq!(harness.script.effects("s0"), 1, "commit {nth} {fault:?}");
            assert!(harness.script.effects("s1") <= 2 && harness.script.effects("s2") <= 2, "commit {nth} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_step_in_doubt_and_an_overtaken_run_are_not_retried() {
    let harness = Harness::new().await;
    harness.script.will("s1", [Act::LoseTrack]);
    let engine = harness.engine();
    let locked = || Plan { locks: vec!["l".into()], ..chain(2) };
    let doubtful = engine.run(locked()).await.unwrap();
    let error = engine.retry(doubtful.run.clone(), "s0", POLICY).await.unwrap_err();
    assert!(matches!(error, EngineError::CannotRetry { source: StepRetryError::Unresolved { .. }, .. }), "{error}");
    let first = engine.run(locked()).await.unwrap().run;
    engine.run(locked()).await.unwrap();
    let error = engine.retry(first.clone(), "s1", POLICY).await.unwrap_err();
    assert!(matches!(error, EngineError::Overtaken { .. }), "{error}");
    assert_eq!(engine.retry(first, "s1", OVERTAKEN).await.unwrap().ending, SUCCEEDED);
}
