//! The engine over a real journal, with scripted actions.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

#[path = "engine/finally.rs"]
mod finally;
#[path = "engine/leases.rs"]
mod leases;
#[path = "engine/lists.rs"]
mod lists;
#[path = "engine/retries.rs"]
mod retries;
mod support;

use std::{sync::Arc, time::Duration};

use serde_json::json;
use stargate::{
    clock::UnixMillis,
    engine::{AnswerResult, CancelResult, Ending, EngineError, Question, ResumePolicy, RunReport},
    id::{PlanDigest, RunId},
    journal::{Append, Commit, Journal, JournalError, LockEviction, NewRun, Owner, PlanText, RunRow, TakeOverRequest},
    plan::{FORMAT, Include, Plan, StoredPlanError, Template},
    run::{Answer, Entry, Outcome, RunStatus, Shared, TimedEntry},
    workflow::parse,
};
use stargate_sdk::ActionError;
use support::{Act, CommitFault, Harness, chain, expression, fan, plan, sqlite, step};
use tokio::{sync::Semaphore, task::JoinHandle};

const SUCCEEDED: Ending = Ending::Finished(Outcome::Succeeded);
/// Policy that also resumes runs which others have overtaken.
const OVERTAKEN: ResumePolicy = ResumePolicy { take_over: false, overtaken: true };
const FAILED: Ending = Ending::Finished(Outcome::Failed);

#[tokio::test]
async fn a_chain_of_n_steps_makes_n_plus_one_commits() {
    let harness = Harness::new().await;
    let finished = harness.engine().run(chain(20)).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert!(finished.changed);
    assert_eq!(harness.journal.commits(), 21);
}

#[tokio::test]
async fn instances_run_in_parallel_up_to_the_limit_of_their_step() {
    let harness = Harness::new().await;
    let finished = harness.engine_with(64).run(fan(40, Some(5))).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert!(harness.script.max_concurrent() <= 5, "{} at once", harness.script.max_concurrent());
    assert_eq!(harness.script.calls().len(), 41);
    assert_eq!(harness.script.calls().last().unwrap(), "run after");
}

#[tokio::test]
async fn instances_run_in_parallel_up_to_the_limit_of_the_engine() {
    let harness = Harness::new().await;
    harness.engine_with(3).run(fan(40, None)).await.unwrap();
    assert_eq!(harness.script.max_concurrent(), 3);
}

#[tokio::test]
async fn a_transient_failure_is_retried_without_growing_the_history() {
    let harness = Harness::new().await;
    harness.script.will("s0", vec![Act::Fail(ActionError::transient("busy")); 3]);
    let finished = harness.engine().run(chain(1)).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(harness.script.calls(), ["run s0"; 4]);
    let stored = harness.only_run().await;
    assert_eq!(stored.history.len(), 4, "created, started, succeeded, finished: {:?}", stored.history);
}

#[tokio::test]
async fn a_step_fails_after_its_last_attempt_and_is_retried_when_the_run_is_resumed() {
    let harness = Harness::new().await;
    harness.script.will("s1", vec![Act::Fail(ActionError::transient("busy")); 4]);
    let failed = harness.engine().run(chain(3)).await.unwrap();
    assert_eq!(failed.ending, FAILED);
    assert_eq!(failed.failures, [("s1".to_owned(), ActionError::transient("busy"))]);
    let finished = harness.engine().resume(failed.run).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(harness.script.calls(), ["run s0", "run s1", "run s1", "run s1", "run s1", "run s1", "run s2"]);
}

#[tokio::test]
async fn changes_of_failed_attempts_are_part_of_the_entry_that_ends_the_step() {
    let harness = Harness::new().await;
    let act = |what, error| Act::ChangeThenFail(what, error);
    let busy = || ActionError::transient("busy");
    harness.script.will("s0", [act("a", busy()), act("b", busy()), act("a", ActionError::permanent("no"))]);
    let failed = harness.engine().run(chain(1)).await.unwrap();
    assert_eq!((failed.ending, failed.changed), (FAILED, true));
    harness.script.will("s0", [act("c", busy()), Act::ChangeThenHang("d")]);
    let engine = harness.engine();
    let running = tokio::spawn({
        let (engine, run) = (engine.clone(), failed.run.clone());
        async move { engine.resume(run).await }
    });
    until(|| harness.script.calls().len() == 5).await;
    engine.drain().await;
    assert_eq!(running.await.unwrap().unwrap().ending, Ending::Interrupted);
    assert_eq!(harness.engine().resume(failed.run).await.unwrap().ending, SUCCEEDED);
    let entries: Vec<_> = harness.only_run().await.history.into_iter().map(|timed| timed.entry).collect();
    let changes = entries.into_iter().filter_map(|entry| match entry {
        Entry::StepFailed { changes, .. } | Entry::StepSucceeded { changes, .. } => Some(changes),
        _ => None,
    });
    assert_eq!(changes.collect::<Vec<_>>(), [vec!["a", "b"], vec!["c", "d", "made it so"]]);
}

#[tokio::test]
async fn changes_of_an_attempt_with_an_unknown_outcome_are_kept_from_its_checkpoint() {
    let harness = Harness::new().await;
    let never = Arc::new(Semaphore::new(0));
    harness.script.will("s0", [Act::ChangeThenStore("a", never)]);
    let (run, running) = started(&harness, chain(1), 1).await;
    loop {
        let stored = harness.journal.load(run.clone()).await.unwrap();
        if stored.latest.iter().any(|timed| matches!(timed.entry, Entry::Checkpointed { .. })) {
            break;
        }
        tokio::task::yield_now().await;
    }
    // The process has exited, as another machine sees it when the lease has expired.
    let seen = harness.only_run().await.row;
    let take_over = TakeOverRequest { entries: vec![acquired(&seen)], ..take_over_request(&seen) };
    assert!(harness.journal.take_over(take_over).await.unwrap());
    harness.journal.release(run.clone(), seen.epoch.next()).await.unwrap();
    let finished = harness.engine().resume(run).await.unwrap();
    assert_eq!((finished.ending, finished.changed), (SUCCEEDED, true));
    let succeeded = harness.only_run().await.history.into_iter().find_map(|timed| match timed.entry {
        Entry::StepSucceeded { changes, .. } => Some(changes),
        _ => None,
    });
    assert_eq!(succeeded.unwrap(), ["a", "made it so"]);
    running.abort();
}

/// Returns a request to acquire a run that was read as `seen`.
fn take_over_request(seen: &RunRow) -> TakeOverRequest {
    TakeOverRequest {
        run: seen.id.clone(),
        seen_epoch: seen.epoch,
        seen_lease: seen.lease_until,
        after: seen.seq,
        owner: Owner::current_process().unwrap(),
        lease_until: UnixMillis(i64::MAX),
        entries: vec![],
        locks: vec![],
        seen_takers: vec![],
        evictions: vec![],
        at: seen.updated_at,
    }
}

fn acquired(seen: &RunRow) -> TimedEntry {
    let entry = Entry::RunAcquired { epoch: seen.epoch.next(), owner: "another machine".into(), refresh: false };
    TimedEntry { at: seen.updated_at, entry }
}

#[tokio::test]
async fn a_permanent_failure_is_not_retried_and_other_branches_continue() {
    let harness = Harness::new().await;
    harness.script.will("a", [Act::Fail(ActionError::permanent("no"))]);
    let steps = vec![
        step("a", "test.find", &[]),
        step("after_a", "test.find", &[0]),
        step("b", "test.find", &[]),
        step("after_b", "test.find", &[2]),
    ];
    let finished = harness.engine().run(plan(steps)).await.unwrap();
    assert_eq!(finished.ending, FAILED);
    assert_eq!((harness.script.effects("after_a"), harness.script.effects("after_b")), (0, 1));
}

#[tokio::test]
async fn after_a_lost_reply_the_effect_is_searched_before_the_action_runs_again() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::LoseReply]);
    let finished = harness.engine().run(chain(1)).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(harness.script.calls(), ["run s0", "find s0"]);
    assert_eq!(harness.script.effects("s0"), 1);
}

#[tokio::test]
async fn after_a_lost_reply_the_action_runs_again_if_it_had_no_effect() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::Fail(ActionError::unknown("timed out"))]);
    harness.engine().run(chain(1)).await.unwrap();
    assert_eq!(harness.script.calls(), ["run s0", "find s0", "run s0"]);
    assert_eq!(harness.script.effects("s0"), 1);
}

#[tokio::test]
async fn after_a_lost_reply_the_action_is_repeated_or_in_doubt_by_its_recovery() {
    let harness = Harness::new().await;
    harness.script.will("again", [Act::LoseReply]);
    harness.script.will("ask", [Act::LoseReply]);
    let steps = vec![step("again", "test.repeat", &[]), step("ask", "test.ask", &[])];
    let finished = harness.engine().run(plan(steps)).await.unwrap();
    assert_eq!(finished.ending, Ending::Finished(Outcome::InDoubt));
    assert_eq!((harness.script.effects("again"), harness.script.effects("ask")), (2, 1));
    assert_eq!(finished.failures[0].0, "ask");
}

#[tokio::test]
async fn a_step_is_in_doubt_if_its_effect_cannot_be_determined() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::LoseTrack]);
    let finished = harness.engine().run(chain(2)).await.unwrap();
    assert_eq!(finished.ending, Ending::Finished(Outcome::InDoubt));
    assert_eq!(harness.script.calls(), ["run s0", "find s0"]);
    assert_eq!(finished.failures, [("s0".into(), ActionError::unknown("there is nothing to look at"))]);
}

#[tokio::test]
async fn an_operator_answers_whether_a_step_in_doubt_took_effect() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::LoseTrack]);
    let mut plan = chain(2);
    plan.steps[1].with =
        Template::Map(vec![("value".into(), Template::Expression(expression("steps.s0.outputs.value")))]);
    let run = harness.engine().run(plan).await.unwrap().run;
    let engine = harness.engine();
    let done = |output| Answer::Done { output };
    let wrong = engine.answer(run.clone(), "s0", &done(json!({ "price": 1 }))).await.unwrap_err();
    assert!(wrong.to_string().contains("output of test.find: missing field `value`"), "{wrong}");
    let wrong = engine.answer(run.clone(), "s1", &Answer::NotDone).await.unwrap_err();
    assert!(wrong.to_string().contains("it is blocked"), "{wrong}");
    engine.answer(run.clone(), "s0", &done(json!({ "value": 7 }))).await.unwrap();
    let finished = engine.resume(run.clone()).await.unwrap();
    assert_eq!((finished.ending, finished.questions), (SUCCEEDED, vec![]));
    assert_eq!(harness.script.calls(), ["run s0", "find s0", "run s1"]);
    let output = harness.only_run().await.history.into_iter().find_map(|timed| match timed.entry {
        Entry::StepSucceeded { step, output, .. } if step == "s1" => Some(output),
        _ => None,
    });
    assert_eq!(output.as_deref(), Some(&json!({ "value": 7 })), "other steps see the output in the answer");
    let late = engine.answer(run, "s0", &Answer::NotDone).await.unwrap_err();
    assert!(late.to_string().contains("it is succeeded"), "{late}");
}

#[tokio::test]
async fn a_step_that_did_not_take_effect_runs_again_when_the_run_is_resumed() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::Fail(ActionError::unknown("lost"))]);
    let run = harness.engine().run(plan(vec![step("s0", "test.ask", &[])])).await.unwrap().run;
    let asks = harness.engine().resume(run.clone()).await.unwrap().questions;
    assert_eq!(asks, [("s0".to_owned(), Question::TookEffect)]);
    harness.engine().answer(run.clone(), "s0", &Answer::NotDone).await.unwrap();
    assert_eq!(harness.engine().resume(run).await.unwrap().ending, SUCCEEDED);
    assert_eq!(harness.script.calls(), ["run s0", "run s0"]);
}

#[tokio::test]
async fn a_step_with_an_approval_starts_once_it_is_approved() {
    let harness = Harness::new().await;
    let mut plan = fan(3, None);
    plan.format = FORMAT;
    plan.steps[0].approval = Some(Template::Expression(expression("'make ' + string(size(inputs.items)) + '?'")));
    let finished = harness.engine().run(plan).await.unwrap();
    assert_eq!(finished.ending, Ending::Finished(Outcome::AwaitingApproval));
    assert_eq!(finished.questions, [("fan".to_owned(), Question::Approval("make 3?".into()))]);
    assert_eq!(harness.script.calls(), [""; 0], "no attempt has started");
    assert_eq!(harness.only_run().await.row.status, RunStatus::Finished(Outcome::AwaitingApproval));
    let (engine, run) = (harness.engine(), finished.run);
    let again = engine.resume(run.clone()).await.unwrap();
    assert_eq!(again.ending, Ending::Finished(Outcome::AwaitingApproval), "resuming does not approve");
    let refused = Answer::Refused { error: ActionError::permanent("not today") };
    engine.answer(run.clone(), "fan", &refused).await.unwrap();
    let again = engine.resume(run.clone()).await.unwrap();
    assert_eq!(again.failures, [("fan".to_owned(), ActionError::permanent("not today"))]);
    assert_eq!(
        engine.resume(run.clone()).await.unwrap().ending,
        Ending::Finished(Outcome::AwaitingApproval),
        "the approval is requested again"
    );
    engine.answer(run.clone(), "fan", &Answer::Approved).await.unwrap();
    assert_eq!(engine.resume(run).await.unwrap().ending, SUCCEEDED);
    assert_eq!(harness.script.calls().len(), 4);
}

#[tokio::test]
async fn an_approval_without_text_and_one_of_a_skipped_step_are_not_requested() {
    let harness = Harness::new().await;
    let mut plan = fan(2, None);
    plan.steps[0].approval = Some(Template::Literal(" ".into()));
    plan.steps[1].approval = Some(Template::Literal("really?".into()));
    plan.steps[1].when = Some(expression("false"));
    assert_eq!(harness.engine().run(plan).await.unwrap().ending, SUCCEEDED);
    assert_eq!(harness.script.calls().len(), 2);
}

#[tokio::test]
async fn log_lines_are_in_the_journal_when_the_run_has_finished_up_to_a_maximum_per_attempt() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::Log(3)]);
    harness.script.will("s1", [Act::Fail(ActionError::transient("busy")), Act::Log(2_500)]);
    let run = harness.engine().run(chain(2)).await.unwrap().run;
    let lines = harness.journal.log_lines(run).await.unwrap();
    let of = |step: &str| lines.iter().filter(|line| line.step == step).collect::<Vec<_>>();
    assert_eq!(of("s0").iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["line 1", "line 2", "line 3"]);
    let flood = of("s1");
    assert!(flood.len() == 2_001 && flood.iter().all(|line| line.attempt == 2), "{}", flood.len());
    assert_eq!(flood[2_000].text, "(only the first 2000 lines of an attempt are kept)");
    assert!(harness.events.0.lock().unwrap().len() > 2_500, "the reporter gets all of them");
}

#[tokio::test]
async fn retried_instances_respect_max_parallel() {
    let harness = Harness::new().await;
    (0..6).for_each(|i| harness.script.will(&format!("fan[{i}]"), [Act::Fail(ActionError::permanent("no"))]));
    let run = harness.engine().run(fan(6, Some(2))).await.unwrap().run;
    assert_eq!(harness.engine().resume(run).await.unwrap().ending, SUCCEEDED);
    assert_eq!(harness.script.max_concurrent(), 2);
}

#[tokio::test]
async fn no_further_instance_starts_once_too_many_have_failed() {
    for (max_parallel, max_failures, expected) in
        [(Some(1), 0, &["0", "1"][..]), (Some(1), 1, &["0", "1", "2", "3"]), (None, 0, &["0", "1"])]
    {
        let harness = Harness::new().await;
        for failing in [1, 3].into_iter().take(max_failures as usize + 1) {
            harness.script.will(&format!("fan[{failing}]"), [Act::Fail(ActionError::permanent("no"))]);
        }
        let mut plan = fan(6, max_parallel);
        plan.steps[0].for_each.as_mut().unwrap().max_failures = Some(max_failures);
        // Without a limit of the step, that of the engine applies.
        let finished = harness.engine_with(1).run(plan).await.unwrap();
        assert_eq!(finished.ending, FAILED);
        let expected: Vec<_> = expected.iter().map(|key| format!("run fan[{key}]")).collect();
        assert_eq!(harness.script.calls(), expected, "{max_parallel:?} {max_failures}");
        assert_eq!(harness.engine().resume(finished.run).await.unwrap().ending, SUCCEEDED);
    }
}

#[tokio::test]
async fn a_panic_is_an_unknown_outcome() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::Panic]);
    let finished = harness.engine().run(chain(1)).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(harness.script.calls(), ["run s0", "find s0", "run s0"]);
}

#[tokio::test]
async fn an_attempt_past_its_deadline_is_retried() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::Hang]);
    let mut plan = chain(1);
    plan.steps[0].timeout_ms = 30;
    let finished = harness.engine().run(plan).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(harness.script.effects("s0"), 1);
}

#[tokio::test]
async fn the_next_attempt_gets_the_checkpoint_of_the_last_one() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::CheckpointThenFail(json!({ "operation": "https://example/op" }))]);
    harness.engine().run(chain(1)).await.unwrap();
    let checkpoints = harness.script.checkpoints.lock().unwrap().clone();
    assert_eq!(checkpoints, [None, Some(json!({ "operation": "https://example/op" }))]);
}

/// Starts a run of three steps and drains its engine in the second.
async fn drained(harness: &Harness) -> RunReport {
    harness.script.will("s1", [Act::Hang]);
    let engine = harness.engine();
    let running = tokio::spawn({
        let engine = engine.clone();
        async move { engine.run(chain(3)).await }
    });
    until(|| harness.script.calls().len() == 2).await;
    engine.drain().await;
    running.await.unwrap().unwrap()
}

#[tokio::test]
async fn the_run_of_a_drained_engine_can_be_resumed() {
    let harness = Harness::new().await;
    let finished = drained(&harness).await;
    assert_eq!(finished.ending, Ending::Interrupted);
    assert_eq!(harness.only_run().await.row.owner, None);
    let finished = harness.engine().resume(finished.run).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(harness.script.calls(), ["run s0", "run s1", "find s1", "run s1", "run s2"]);
}

#[tokio::test]
async fn a_run_with_a_live_owner_cannot_be_resumed_and_the_error_names_the_owner() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::Hang]);
    let engine = harness.engine();
    tokio::spawn(async move { engine.run(chain(1)).await });
    until(|| !harness.script.calls().is_empty()).await;
    let run = harness.only_run().await.row.id;
    let refused = harness.engine().resume(run).await.unwrap_err();
    let EngineError::Owned { owner, .. } = refused else { panic!("{refused}") };
    assert_eq!(owner.pid, std::process::id());
}

#[tokio::test]
async fn a_run_that_has_succeeded_is_not_changed_by_a_resume() {
    let harness = Harness::new().await;
    let finished = harness.engine().run(chain(2)).await.unwrap();
    let before = harness.only_run().await;
    let again = harness.engine().resume(finished.run).await.unwrap();
    assert_eq!((again.ending, again.changed), (SUCCEEDED, false));
    assert_eq!(harness.only_run().await, before);
}

#[tokio::test]
async fn a_run_whose_stored_plan_was_changed_is_not_resumed() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::Fail(ActionError::permanent("no"))]);
    let failed = harness.engine().run(chain(2)).await.unwrap();
    let path = harness.folder.path().join("journal.db");
    sqlite::execute(&path, "UPDATE plan SET body = replace(body, '\"s1\"', '\"s2\"')").await;
    let error = harness.engine().resume(failed.run).await.unwrap_err();
    let stored = harness.only_run().await;
    let EngineError::StoredPlan { source: StoredPlanError::Changed { expected, .. }, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(expected, stored.row.plan_digest);
    assert_eq!(harness.script.calls(), ["run s0"]);
}

#[tokio::test]
async fn a_commit_is_tried_again_while_another_process_holds_the_journal() {
    let harness = Harness::new().await;
    harness.journal.fail(2, CommitFault::Before, JournalError::Busy);
    let finished = harness.engine().run(chain(3)).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(harness.script.calls(), ["run s0", "run s1", "run s2"]);
}

#[tokio::test]
async fn after_any_failed_commit_written_or_not_a_resumed_run_takes_each_effect_once() {
    for fault in [CommitFault::Before, CommitFault::After] {
        for nth in 2..=5 {
            let harness = Harness::new().await;
            harness.journal.fail(nth, fault, JournalError::Full);
            let error = harness.engine().run(chain(4)).await.unwrap_err();
            assert!(matches!(error, EngineError::Journal(JournalError::Full)), "{error}");
            let stored = harness.only_run().await;
            harness.journal.release(stored.row.id.clone(), stored.row.epoch).await.unwrap();
            let finished = harness.engine().resume(stored.row.id).await.unwrap();
            assert_eq!(finished.ending, SUCCEEDED, "commit {nth} {fault:?}");
            for step in ["s0", "s1", "s2", "s3"] {
                assert_eq!(harness.script.effects(step), 1, "step {step}, commit {nth} {fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn many_runs_share_one_dispatcher() {
    let harness = Harness::new().await;
    let engine = harness.engine();
    let runs: Vec<_> = (0..50)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.run(chain(5)).await })
        })
        .collect();
    for run in runs {
        assert_eq!(run.await.unwrap().unwrap().ending, SUCCEEDED);
    }
    assert!(harness.journal.commits() < 300, "runs share commits: {}", harness.journal.commits());
}

#[tokio::test]
async fn the_history_has_the_entries_in_order() {
    let harness = Harness::new().await;
    harness.engine().run(chain(1)).await.unwrap();
    let entries: Vec<Entry> = harness.only_run().await.history.into_iter().map(|r| r.entry).collect();
    assert!(matches!(
        &entries[..],
        [
            Entry::RunCreated { .. },
            Entry::StepStarted { attempt: 1, .. },
            Entry::StepSucceeded { found: false, .. },
            Entry::RunFinished { outcome: Outcome::Succeeded, .. }
        ]
    ));
}

/// Returns a plan of one step with the lock `l`.
fn locked(step_name: &str) -> Plan {
    Plan { locks: vec!["l".into()], ..plan(vec![step(step_name, "test.find", &[])]) }
}

#[tokio::test]
async fn a_run_whose_lock_is_held_is_not_created_and_the_error_names_the_holder() {
    let harness = Harness::new().await;
    harness.script.will("a", [Act::Hang]);
    let engine = harness.engine();
    let holder = tokio::spawn({
        let engine = engine.clone();
        async move { engine.run(locked("a")).await }
    });
    until(|| !harness.script.calls().is_empty()).await;
    let run = harness.only_run().await.row.id;
    for engine in [engine.clone(), harness.engine()] {
        let refused = engine.run(locked("b")).await.unwrap_err();
        let EngineError::Locked(held) = refused else { panic!("{refused}") };
        assert_eq!((held.lock.as_str(), &held.run, held.owner.pid), ("l", &run, std::process::id()));
    }
    assert_eq!(engine.run(chain(1)).await.unwrap().ending, SUCCEEDED, "a run without locks does not wait");
    engine.drain().await;
    assert_eq!(holder.await.unwrap().unwrap().ending, Ending::Interrupted);
    assert_eq!(harness.engine().run(locked("c")).await.unwrap().ending, SUCCEEDED);
    assert_eq!(harness.engine().resume_with(run, OVERTAKEN).await.unwrap().ending, SUCCEEDED);
}

#[tokio::test]
async fn of_many_runs_with_one_lock_never_two_run_at_the_same_time() {
    let harness = Harness::new().await;
    let runs: Vec<_> = (0..12)
        .map(|i| {
            let engine = harness.engine().with_lock_timeout(Duration::from_mins(1));
            tokio::spawn(async move { engine.run(locked(&format!("s{i}"))).await })
        })
        .collect();
    for run in runs {
        assert_eq!(run.await.unwrap().unwrap().ending, SUCCEEDED);
    }
    assert_eq!(harness.script.max_concurrent(), 1);
    assert_eq!(harness.journal.holders(vec!["l".into()]).await.unwrap(), []);
}

#[tokio::test]
async fn a_failed_run_has_released_its_lock_and_takes_it_again_when_it_is_resumed() {
    let harness = Harness::new().await;
    harness.script.will("a", [Act::Fail(ActionError::permanent("no"))]);
    let failed = harness.engine().run(locked("a")).await.unwrap();
    assert_eq!(failed.ending, FAILED);
    harness.script.will("b", [Act::Hang]);
    let engine = harness.engine();
    let holder = tokio::spawn({
        let engine = engine.clone();
        async move { engine.run(locked("b")).await }
    });
    until(|| harness.script.calls().len() == 2).await;
    let refused = harness.engine().resume_with(failed.run.clone(), OVERTAKEN).await.unwrap_err();
    assert!(matches!(refused, EngineError::Locked(_)), "{refused}");
    engine.drain().await;
    holder.await.unwrap().unwrap();
    assert_eq!(harness.engine().resume_with(failed.run, OVERTAKEN).await.unwrap().ending, SUCCEEDED);
}

#[tokio::test]
async fn an_owner_that_lost_its_lock_is_fenced_and_writes_nothing_more() {
    let harness = Harness::new().await;
    harness.script.will("a", [Act::Hang]);
    let engine = harness.engine();
    let mut plan = locked("a");
    plan.steps[0].timeout_ms = 300;
    let slow = tokio::spawn(async move { engine.run(plan).await });
    until(|| !harness.script.calls().is_empty()).await;
    let seen = harness.only_run().await.row;
    // Another machine does this when the lease has expired.
    let eviction = LockEviction { run: seen.id.clone(), seen_epoch: seen.epoch, seen_lease: seen.lease_until };
    let next = RunId::generate();
    let create = NewRun {
        id: next.clone(),
        workflow: "test".into(),
        plan: PlanText { digest: PlanDigest::from("d"), json: "{}".into() },
        owner: Arc::new(seen.owner.clone().unwrap()),
        lease_until: seen.lease_until,
        entries: vec![TimedEntry {
            at: seen.created_at,
            entry: Entry::RunCreated { plan_digest: PlanDigest::from("d") },
        }],
        status: RunStatus::Running,
        locks: vec!["l".into()],
        evictions: vec![eviction],
        seen_takers: vec![],
    };
    let commit = Commit { at: seen.created_at, creates: vec![create], appends: vec![] };
    assert_eq!(harness.journal.commit(commit).await.unwrap(), []);
    let result = slow.await.unwrap().unwrap_err();
    assert!(matches!(&result, EngineError::Fenced(run) if *run == seen.id), "{result}");
    assert_eq!(harness.journal.load(seen.id).await.unwrap().row.seq, seen.seq);
    assert_eq!(harness.journal.holders(vec!["l".into()]).await.unwrap()[0].holder.id, next);
}

/// Starts a run of `plan` and waits until `calls` calls were made.
async fn started(harness: &Harness, plan: Plan, calls: usize) -> (RunId, JoinHandle<Result<RunReport, EngineError>>) {
    let engine = harness.engine();
    let running = tokio::spawn(async move { engine.run(plan).await });
    until(|| harness.script.calls().len() == calls).await;
    (harness.only_run().await.row.id, running)
}

#[tokio::test]
async fn a_run_that_another_process_cancels_interrupts_its_attempts_and_cannot_be_resumed() {
    let harness = Harness::new().await;
    harness.script.will("s1", [Act::Hang]);
    let plan = Plan { locks: vec!["l".into()], ..chain(3) };
    let (run, running) = started(&harness, plan, 2).await;
    let CancelResult::Requested(owner) = harness.engine().cancel(run.clone()).await.unwrap() else {
        panic!("it is running")
    };
    assert_eq!(owner.pid, std::process::id());
    let finished = running.await.unwrap().unwrap();
    assert_eq!(finished.ending, Ending::Finished(Outcome::Cancelled));
    assert_eq!(harness.script.calls(), ["run s0", "run s1"], "no further step starts");
    let stored = harness.only_run().await;
    assert_eq!(stored.row.status, RunStatus::Finished(Outcome::Cancelled));
    assert!(matches!(stored.history.last().unwrap().entry, Entry::RunFinished { outcome: Outcome::Cancelled, .. }));
    assert_eq!(harness.journal.holders(vec!["l".into()]).await.unwrap(), []);
    let refused = harness.engine().resume(run.clone()).await.unwrap_err();
    assert!(matches!(&refused, EngineError::Cancelled(id) if *id == run), "{refused}");
    assert_eq!(harness.engine().cancel(run).await.unwrap(), CancelResult::AlreadyFinished(Outcome::Cancelled));
    assert_eq!(harness.only_run().await, stored, "neither wrote anything");
}

#[tokio::test]
async fn a_run_without_a_live_owner_is_cancelled_immediately_if_interrupted_or_failed() {
    let harness = Harness::new().await;
    harness.script.will("s0", [Act::Fail(ActionError::permanent("no"))]);
    let failed = harness.engine().run(chain(2)).await.unwrap();
    assert_eq!(harness.engine().cancel(failed.run.clone()).await.unwrap(), CancelResult::Cancelled);
    assert!(matches!(harness.engine().resume(failed.run).await, Err(EngineError::Cancelled(_))));
    let harness = Harness::new().await;
    let run = drained(&harness).await.run;
    assert_eq!(harness.engine().cancel(run.clone()).await.unwrap(), CancelResult::Cancelled);
    assert_eq!(harness.only_run().await.row.status, RunStatus::Finished(Outcome::Cancelled));
    assert!(matches!(harness.engine().resume(run).await, Err(EngineError::Cancelled(_))));
}

#[tokio::test]
async fn a_run_that_has_succeeded_cannot_be_cancelled() {
    let harness = Harness::new().await;
    let run = harness.engine().run(chain(1)).await.unwrap().run;
    let before = harness.only_run().await;
    assert_eq!(harness.engine().cancel(run).await.unwrap(), CancelResult::AlreadyFinished(Outcome::Succeeded));
    assert_eq!(harness.only_run().await, before);
}

#[tokio::test]
async fn a_result_at_the_time_of_the_cancellation_is_kept_and_no_further_step_starts() {
    // The request is written just before the result, whose commit is therefore refused.
    for (act, kept) in [(Act::Succeed, "succeeded"), (Act::Fail(ActionError::transient("busy")), "in doubt")] {
        let harness = Harness::new().await;
        let open = harness.script.will_when_opened("s1", act);
        let (run, running) = started(&harness, chain(3), 2).await;
        let row = harness.only_run().await.row;
        let entry = Entry::CancelRequested { by: "another process".into() };
        let entries = vec![TimedEntry { at: row.created_at, entry }];
        let append =
            Append { run, epoch: row.epoch, after: row.seq, entries: entries.into(), status: RunStatus::Running };
        let commit = Commit { at: row.created_at, creates: vec![], appends: vec![append] };
        assert_eq!(harness.journal.commit(commit).await.unwrap(), []);
        open.add_permits(1);
        let finished = running.await.unwrap().unwrap();
        assert_eq!(finished.ending, Ending::Finished(Outcome::Cancelled), "{kept}");
        assert!(!harness.script.calls().contains(&"run s2".to_owned()), "{kept}");
        let about_s1 = |timed: &&TimedEntry| match &timed.entry {
            Entry::StepSucceeded { step, .. } => step == "s1" && kept == "succeeded",
            Entry::StepInDoubt { step, .. } => step == "s1" && kept == "in doubt",
            _ => false,
        };
        let history = harness.only_run().await.history;
        assert_eq!(history.iter().filter(about_s1).count(), 1, "{kept}: {history:?}");
    }
}

/// Returns a plan with a step that needs an approval and one that does not.
fn asking() -> Plan {
    let mut plan = plan(vec![step("continues", "test.find", &[]), step("asks", "test.find", &[])]);
    plan.steps[1].approval = Some(Template::Literal("continue?".into()));
    plan
}

#[tokio::test]
async fn an_answer_is_applied_by_the_process_that_owns_the_run() {
    let harness = Harness::new().await;
    let open = harness.script.will_when_opened("continues", Act::Succeed);
    let (run, running) = started(&harness, asking(), 1).await;
    let result = harness.engine().answer(run.clone(), "asks", &Answer::Approved).await.unwrap();
    let AnswerResult::SentToOwner(owner) = result else { panic!("it is running") };
    assert_eq!(owner.pid, std::process::id());
    until(|| harness.script.calls().contains(&"run asks".to_owned())).await;
    let late = harness.engine().answer(run, "asks", &Answer::Approved).await.unwrap_err();
    assert!(matches!(late, EngineError::UnexpectedAnswer { .. }), "{late}");
    open.add_permits(1);
    let finished = running.await.unwrap().unwrap();
    assert_eq!((finished.ending, finished.questions), (SUCCEEDED, vec![]));
}

/// Appends external entries just before the live owner commits its own.
async fn append_external(harness: &Harness, entries: Vec<Entry>) {
    let row = harness.only_run().await.row;
    let entries: Vec<_> = entries.into_iter().map(|entry| TimedEntry { at: row.created_at, entry }).collect();
    let append =
        Append { run: row.id, epoch: row.epoch, after: row.seq, entries: entries.into(), status: RunStatus::Running };
    let commit = Commit { at: row.created_at, creates: vec![], appends: vec![append] };
    assert_eq!(harness.journal.commit(commit).await.unwrap(), []);
}

fn answered(answer: Answer) -> Entry {
    Entry::StepAnswered { step: "asks".into(), by: "another process".into(), answer }
}

#[tokio::test]
async fn decisions_at_the_time_of_an_answer_remain_valid() {
    let busy = || Act::ChangeThenFail("half of it", ActionError::transient("busy"));
    let no = || Act::Fail(ActionError::permanent("no"));
    let lost = Act::LoseReply; // find follows
    let refused = || Answer::Refused { error: ActionError::permanent("not today") };
    for (act, answer, ending, calls, effects) in [
        (Act::Succeed, Answer::Approved, SUCCEEDED, 2, 1),
        (busy(), Answer::Approved, SUCCEEDED, 3, 1),
        (lost, Answer::Approved, SUCCEEDED, 3, 1),
        (no(), Answer::Approved, FAILED, 2, 0),
        (Act::Succeed, refused(), FAILED, 1, 1),
        (busy(), refused(), FAILED, 2, 1),
    ] {
        let harness = Harness::new().await;
        let open = harness.script.will_when_opened("continues", act.clone());
        let (run, running) = started(&harness, asking(), 1).await;
        append_external(&harness, vec![answered(answer.clone())]).await;
        open.add_permits(1);
        let finished = running.await.unwrap().unwrap();
        assert_eq!(finished.ending, ending, "{act:?}, {answer:?}: {finished:?}");
        assert_eq!(harness.script.calls().len(), calls, "{act:?}, {answer:?}: {:?}", harness.script.calls());
        assert_eq!(harness.script.effects("continues"), effects, "{act:?}, {answer:?}");
        let stored = harness.journal.load(run).await.unwrap();
        assert!(matches!(stored.history.last().unwrap().entry, Entry::RunFinished { .. }), "{stored:?}");
        let ends = stored.history.iter().filter(|timed| matches!(timed.entry, Entry::RunFinished { .. }));
        assert_eq!(ends.count(), 1, "an end that was retracted is not written");
    }
}

#[tokio::test]
async fn a_run_that_is_answered_and_cancelled_at_the_same_time_is_cancelled() {
    let harness = Harness::new().await;
    let open = harness.script.will_when_opened("continues", Act::Succeed);
    let (_, running) = started(&harness, asking(), 1).await;
    let cancel = Entry::CancelRequested { by: "another process".into() };
    append_external(&harness, vec![answered(Answer::Approved), cancel]).await;
    open.add_permits(1);
    let finished = running.await.unwrap().unwrap();
    assert_eq!(finished.ending, Ending::Finished(Outcome::Cancelled));
    assert_eq!(harness.script.calls(), ["run continues"]);
}

#[tokio::test]
async fn a_finished_run_can_be_acquired_although_its_process_has_not_released_it_yet() {
    // The state between the commit that finishes a run and the next one, which releases it.
    let request = |harness: &Harness, run: RunId, what: &'static str| {
        let engine = harness.engine();
        async move {
            match what {
                "cancel" => assert_eq!(engine.cancel(run).await.unwrap(), CancelResult::Cancelled),
                "answer" => {
                    let answered = engine.answer(run, "asks", &Answer::Approved).await.unwrap();
                    assert_eq!(answered, AnswerResult::Stored);
                }
                _ => assert_eq!(engine.resume(run).await.unwrap().ending, Ending::Finished(Outcome::AwaitingApproval)),
            }
        }
    };
    for what in ["cancel", "answer", "resume"] {
        let harness = Harness::new().await;
        let run = harness.engine().run(asking()).await.unwrap().run;
        let before = harness.only_run().await;
        assert!(harness.journal.take_over(take_over_request(&before.row)).await.unwrap());
        let row = harness.only_run().await.row;
        let ended = Entry::RunFinished { outcome: Outcome::AwaitingApproval, outputs: Shared::default() };
        assert_eq!(before.history.last().unwrap().entry, ended);
        assert_eq!(row.owner, Some(Owner::current_process().unwrap()), "its process is live");
        request(&harness, run.clone(), what).await;
        harness.journal.load(run).await.unwrap();
    }
}

#[tokio::test]
async fn an_inlined_workflow_runs_with_instances_over_the_outputs_of_its_steps() {
    let inner = "name: inner
inputs: {names: {type: array, items: {type: string}}}
steps:
  list: {uses: test.find, with: {value: '${{ inputs.names }}'}}
  each:
    uses: test.find
    for_each: ${{ steps.list.outputs.value }}
    as: name
    with: {value: '${{ name }}!'}
outputs:
  parts: ${{ steps.each.outputs }}
";
    let outer = r#"name: outer
inputs: {go: {type: boolean}}
steps:
  first: {uses: test.find, with: {value: [a, b]}}
  sub:
    workflow: inner
    needs: [first]
    when: ${{ inputs.go && size(steps.first.outputs.value) == 2 }}
    with: {names: '${{ steps.first.outputs.value }}'}
  last:
    uses: test.find
    with: {value: '${{ steps.sub.skipped ? "none" : steps.sub.outputs.parts.b.value }}'}
outputs: {last: '${{ steps.last.outputs.value }}'}
"#;
    let load = |include: Include<'_>| {
        if include.path == "inner" { Ok((include.path.into(), inner.into())) } else { Err("no such file".into()) }
    };
    for (go, last, calls) in [(true, "b!", 5), (false, "none", 2)] {
        let harness = Harness::new().await;
        let registry = support::registry(&harness.script);
        let checked = parse("outer.yaml", outer).check(&registry, &load).unwrap();
        let inputs = serde_json::Map::from_iter([("go".to_owned(), json!(go))]);
        let finished = harness.engine().run(checked.plan(inputs).unwrap()).await.unwrap();
        assert_eq!(finished.failures, []);
        assert_eq!((finished.ending, &finished.outputs["last"]), (SUCCEEDED, &json!(last)), "{finished:?}");
        assert_eq!(harness.script.calls().len(), calls, "{:?}", harness.script.calls());
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "the condition did not become true in time");
        tokio::task::yield_now().await;
    }
}

/// Returns the calls of the second process, after the first one was interrupted in `step`.
async fn calls_after_interruption(harness: &Harness, plan: Plan, step: &str) -> Vec<String> {
    harness.script.will(step, [Act::Hang]);
    let engine = harness.engine();
    let running = tokio::spawn({
        let engine = engine.clone();
        async move { engine.run(plan).await }
    });
    until(|| harness.script.calls().contains(&format!("run {step}"))).await;
    engine.drain().await;
    let interrupted = running.await.unwrap().unwrap();
    assert_eq!(interrupted.ending, Ending::Interrupted);
    let before = harness.script.calls().len();
    assert_eq!(harness.engine().resume(interrupted.run).await.unwrap().ending, SUCCEEDED);
    harness.script.calls().split_off(before)
}

#[tokio::test]
async fn a_resumed_run_reads_again_in_order_and_keeps_what_must_not_be_repeated() {
    let harness = Harness::new().await;
    let steps = vec![
        step("read", "test.observe", &[]),
        step("make", "test.ensure", &[0]),
        step("once", "test.repeat", &[1]),
        step("last", "test.ensure", &[2]),
        step("end", "test.observe", &[3]),
    ];
    let calls = calls_after_interruption(&harness, plan(steps), "last").await;
    assert_eq!(calls, ["run read", "run make", "run last", "run end"]);
    assert_eq!(harness.script.effects("once"), 1);
}

#[tokio::test]
async fn a_step_with_an_unknown_outcome_is_recovered_with_facts_of_now() {
    let harness = Harness::new().await;
    let mut once = step("once", "test.find", &[0]);
    once.with = Template::Map(vec![("value".into(), Template::Expression(expression("steps.read.outputs.value")))]);
    let steps = vec![step("read", "test.observe", &[]), once];
    let calls = calls_after_interruption(&harness, plan(steps), "once").await;
    assert_eq!(calls, ["run read", "find once", "run once"]);
}

#[tokio::test]
async fn a_failed_instance_stops_only_what_waits_for_it() {
    let harness = Harness::new().await;
    harness.script.will("first[1]", [Act::Fail(ActionError::permanent("unreachable"))]);
    let mut second = support::each("second", &[]);
    second.needs_each = vec![0];
    let mut last = step("last", "test.ensure", &[]);
    last.after = vec![1];
    let steps = vec![support::each("first", &[]), second, last, step("never", "test.ensure", &[1])];
    let failed = harness.engine().run(plan(steps)).await.unwrap();
    assert_eq!(failed.ending, FAILED);
    assert_eq!(failed.failures, [("first[1]".to_owned(), ActionError::permanent("unreachable"))]);
    let mut calls = harness.script.calls();
    assert_eq!(calls.pop().unwrap(), "run last");
    calls.sort();
    assert_eq!(calls, ["run first[0]", "run first[1]", "run first[2]", "run second[0]", "run second[2]"]);
    let resumed = harness.engine().resume(failed.run).await.unwrap();
    assert_eq!(resumed.ending, SUCCEEDED);
    assert_eq!(harness.script.effects("second[1]"), 1);
}

#[tokio::test]
async fn a_step_without_instances_passes_no_failure_on() {
    let harness = Harness::new().await;
    harness.script.will("first", [Act::Fail(ActionError::permanent("no"))]);
    let mut none = support::each("none", &[0]);
    none.for_each.as_mut().unwrap().items = expression("[]");
    let steps = vec![step("first", "test.ensure", &[]), none, step("last", "test.ensure", &[1])];
    assert_eq!(harness.engine().run(plan(steps)).await.unwrap().ending, FAILED);
    assert_eq!(harness.script.calls(), ["run first", "run last"]);
}
