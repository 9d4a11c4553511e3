//! The engine over a real journal, with scripted actions.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::{sync::Arc, time::Duration};

use serde_json::json;
use stargate::{
    clock::UnixMillis,
    engine::{AnswerResult, CancelResult, Ending, EngineError, Question, RunReport},
    id::{PlanDigest, RunId},
    journal::{Append, Commit, Journal, JournalError, LockEviction, NewRun, Owner, PlanText, RunRow, TakeOverRequest},
    plan::{FORMAT, Plan, Template},
    run::{Answer, Entry, Outcome, RunStatus, TimedEntry},
    workflow::parse,
};
use stargate_sdk::ActionError;
use support::{Act, Bench, Fault, chain, expression, fan, plan, step};
use tokio::{sync::Semaphore, task::JoinHandle};

const SUCCEEDED: Ending = Ending::Finished(Outcome::Succeeded);
const FAILED: Ending = Ending::Finished(Outcome::Failed);

#[tokio::test]
async fn a_chain_of_n_steps_makes_n_plus_one_commits() {
    let bench = Bench::new().await;
    let finished = bench.engine().run(chain(20)).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert!(finished.changed);
    assert_eq!(bench.journal.commits(), 21);
}

#[tokio::test]
async fn instances_run_in_parallel_up_to_the_limit_of_their_step() {
    let bench = Bench::new().await;
    let finished = bench.engine_with(64).run(fan(40, Some(5))).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert!(bench.script.most_at_once() <= 5, "{} at once", bench.script.most_at_once());
    assert_eq!(bench.script.calls().len(), 41);
    assert_eq!(bench.script.calls().last().unwrap(), "run after");
}

#[tokio::test]
async fn instances_run_in_parallel_up_to_the_limit_of_the_engine() {
    let bench = Bench::new().await;
    bench.engine_with(3).run(fan(40, None)).await.unwrap();
    assert_eq!(bench.script.most_at_once(), 3);
}

#[tokio::test]
async fn a_transient_failure_is_tried_again_without_growing_the_history() {
    let bench = Bench::new().await;
    bench.script.will("s0", vec![Act::Fail(ActionError::transient("busy")); 3]);
    let finished = bench.engine().run(chain(1)).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(bench.script.calls(), ["run s0"; 4]);
    let stored = bench.only_run().await;
    assert_eq!(stored.history.len(), 4, "created, started, succeeded, finished: {:?}", stored.history);
}

#[tokio::test]
async fn failures_end_when_the_attempts_are_used_up_and_a_resume_gives_another_go() {
    let bench = Bench::new().await;
    bench.script.will("s1", vec![Act::Fail(ActionError::transient("busy")); 4]);
    let failed = bench.engine().run(chain(3)).await.unwrap();
    assert_eq!(failed.ending, FAILED);
    assert_eq!(failed.failures, [("s1".to_owned(), ActionError::transient("busy"))]);
    let finished = bench.engine().resume(failed.run).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(bench.script.calls(), ["run s0", "run s1", "run s1", "run s1", "run s1", "run s1", "run s2"]);
}

#[tokio::test]
async fn what_attempts_that_failed_have_changed_is_told_with_what_becomes_of_the_step() {
    let bench = Bench::new().await;
    let act = |what, error| Act::ChangeThenFail(what, error);
    let busy = || ActionError::transient("busy");
    bench.script.will("s0", [act("a", busy()), act("b", busy()), act("a", ActionError::permanent("no"))]);
    let failed = bench.engine().run(chain(1)).await.unwrap();
    assert_eq!((failed.ending, failed.changed), (FAILED, true));
    bench.script.will("s0", [act("c", busy()), Act::ChangeThenHang("d")]);
    let engine = bench.engine();
    let going = tokio::spawn({
        let (engine, run) = (engine.clone(), failed.run.clone());
        async move { engine.resume(run).await }
    });
    until(|| bench.script.calls().len() == 5).await;
    engine.drain().await;
    assert_eq!(going.await.unwrap().unwrap().ending, Ending::Interrupted);
    assert_eq!(bench.engine().resume(failed.run).await.unwrap().ending, SUCCEEDED);
    let told: Vec<_> = bench.only_run().await.history.into_iter().map(|timed| timed.entry).collect();
    let told = told.into_iter().filter_map(|entry| match entry {
        Entry::StepFailed { changes, .. } | Entry::StepSucceeded { changes, .. } => Some(changes),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [vec!["a", "b"], vec!["c", "d", "made it so"]]);
}

#[tokio::test]
async fn what_a_lost_attempt_had_changed_when_it_stored_a_checkpoint_is_told() {
    let bench = Bench::new().await;
    let never = Arc::new(Semaphore::new(0));
    bench.script.will("s0", [Act::ChangeThenStore("a", never)]);
    let (run, going) = begun(&bench, chain(1), 1).await;
    loop {
        let stored = bench.journal.load(run.clone()).await.unwrap();
        if stored.latest.iter().any(|timed| matches!(timed.entry, Entry::Checkpointed { .. })) {
            break;
        }
        tokio::task::yield_now().await;
    }
    // The process is dead, as another machine sees it when its lease has ended.
    let seen = bench.only_run().await.row;
    let take_over = TakeOverRequest { entries: vec![acquired(&seen)], ..taking(&seen) };
    assert!(bench.journal.take_over(take_over).await.unwrap());
    bench.journal.release(run.clone(), seen.epoch.next()).await.unwrap();
    let finished = bench.engine().resume(run).await.unwrap();
    assert_eq!((finished.ending, finished.changed), (SUCCEEDED, true));
    let succeeded = bench.only_run().await.history.into_iter().find_map(|timed| match timed.entry {
        Entry::StepSucceeded { changes, .. } => Some(changes),
        _ => None,
    });
    assert_eq!(succeeded.unwrap(), ["a", "made it so"]);
    going.abort();
}

/// The wish to hold a run that is as `seen`.
fn taking(seen: &RunRow) -> TakeOverRequest {
    TakeOverRequest {
        run: seen.id.clone(),
        seen_epoch: seen.epoch,
        seen_lease: seen.lease_until,
        after: seen.seq,
        owner: Owner::current_process().unwrap(),
        lease_until: UnixMillis(i64::MAX),
        entries: vec![],
        locks: vec![],
        evictions: vec![],
        at: seen.updated_at,
    }
}

fn acquired(seen: &RunRow) -> TimedEntry {
    let entry = Entry::RunAcquired { epoch: seen.epoch.next(), owner: "another machine".into() };
    TimedEntry { at: seen.updated_at, entry }
}

#[tokio::test]
async fn a_permanent_failure_is_not_tried_again_and_leaves_other_branches_running() {
    let bench = Bench::new().await;
    bench.script.will("a", [Act::Fail(ActionError::permanent("no"))]);
    let steps = vec![
        step("a", "test.find", &[]),
        step("after_a", "test.find", &[0]),
        step("b", "test.find", &[]),
        step("after_b", "test.find", &[2]),
    ];
    let finished = bench.engine().run(plan(steps)).await.unwrap();
    assert_eq!(finished.ending, FAILED);
    assert_eq!((bench.script.effects("after_a"), bench.script.effects("after_b")), (0, 1));
}

#[tokio::test]
async fn a_lost_reply_is_looked_into_before_anything_is_repeated() {
    let bench = Bench::new().await;
    bench.script.will("s0", [Act::LoseReply]);
    let finished = bench.engine().run(chain(1)).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(bench.script.calls(), ["run s0", "find s0"]);
    assert_eq!(bench.script.effects("s0"), 1);
}

#[tokio::test]
async fn a_lost_reply_without_effect_is_found_absent_and_run_again() {
    let bench = Bench::new().await;
    bench.script.will("s0", [Act::Fail(ActionError::unknown("timed out"))]);
    bench.engine().run(chain(1)).await.unwrap();
    assert_eq!(bench.script.calls(), ["run s0", "find s0", "run s0"]);
    assert_eq!(bench.script.effects("s0"), 1);
}

#[tokio::test]
async fn a_lost_reply_is_repeated_or_left_to_a_person_as_the_action_says() {
    let bench = Bench::new().await;
    bench.script.will("again", [Act::LoseReply]);
    bench.script.will("ask", [Act::LoseReply]);
    let steps = vec![step("again", "test.repeat", &[]), step("ask", "test.ask", &[])];
    let finished = bench.engine().run(plan(steps)).await.unwrap();
    assert_eq!(finished.ending, Ending::Finished(Outcome::InDoubt));
    assert_eq!((bench.script.effects("again"), bench.script.effects("ask")), (2, 1));
    assert_eq!(finished.failures[0].0, "ask");
}

#[tokio::test]
async fn what_a_look_cannot_tell_is_left_to_a_person() {
    let bench = Bench::new().await;
    bench.script.will("s0", [Act::LoseTrack]);
    let finished = bench.engine().run(chain(2)).await.unwrap();
    assert_eq!(finished.ending, Ending::Finished(Outcome::InDoubt));
    assert_eq!(bench.script.calls(), ["run s0", "find s0"]);
    assert_eq!(finished.failures, [("s0".into(), ActionError::unknown("there is nothing to look at"))]);
}

#[tokio::test]
async fn a_person_says_whether_a_step_in_doubt_took_effect() {
    let bench = Bench::new().await;
    bench.script.will("s0", [Act::LoseTrack]);
    let mut plan = chain(2);
    plan.steps[1].with =
        Template::Map(vec![("value".into(), Template::Expression(expression("steps.s0.outputs.value")))]);
    let run = bench.engine().run(plan).await.unwrap().run;
    let engine = bench.engine();
    let done = |output| Answer::Done { output };
    let wrong = engine.answer(run.clone(), "s0", &done(json!({ "price": 1 }))).await.unwrap_err();
    assert!(wrong.to_string().contains("output of test.find: missing field `value`"), "{wrong}");
    let wrong = engine.answer(run.clone(), "s1", &Answer::NotDone).await.unwrap_err();
    assert!(wrong.to_string().contains("it is blocked"), "{wrong}");
    engine.answer(run.clone(), "s0", &done(json!({ "value": 7 }))).await.unwrap();
    let finished = engine.resume(run.clone()).await.unwrap();
    assert_eq!((finished.ending, finished.questions), (SUCCEEDED, vec![]));
    assert_eq!(bench.script.calls(), ["run s0", "find s0", "run s1"]);
    let output = bench.only_run().await.history.into_iter().find_map(|timed| match timed.entry {
        Entry::StepSucceeded { step, output, .. } if step == "s1" => Some(output),
        _ => None,
    });
    assert_eq!(output, Some(json!({ "value": 7 })), "what the person said is what other steps see");
    let late = engine.answer(run, "s0", &Answer::NotDone).await.unwrap_err();
    assert!(late.to_string().contains("it is succeeded"), "{late}");
}

#[tokio::test]
async fn a_step_that_did_not_take_effect_is_made_when_the_run_is_resumed() {
    let bench = Bench::new().await;
    bench.script.will("s0", [Act::Fail(ActionError::unknown("lost"))]);
    let run = bench.engine().run(plan(vec![step("s0", "test.ask", &[])])).await.unwrap().run;
    let asks = bench.engine().resume(run.clone()).await.unwrap().questions;
    assert_eq!(asks, [("s0".to_owned(), Question::TookEffect)]);
    bench.engine().answer(run.clone(), "s0", &Answer::NotDone).await.unwrap();
    assert_eq!(bench.engine().resume(run).await.unwrap().ending, SUCCEEDED);
    assert_eq!(bench.script.calls(), ["run s0", "run s0"]);
}

#[tokio::test]
async fn a_step_with_an_approval_begins_once_a_person_says_so() {
    let bench = Bench::new().await;
    let mut plan = fan(3, None);
    plan.format = FORMAT;
    plan.steps[0].approval = Some(Template::Expression(expression("'make ' + string(size(inputs.items)) + '?'")));
    let finished = bench.engine().run(plan).await.unwrap();
    assert_eq!(finished.ending, Ending::Finished(Outcome::AwaitingApproval));
    assert_eq!(finished.questions, [("fan".to_owned(), Question::Approval("make 3?".into()))]);
    assert_eq!(bench.script.calls(), [""; 0], "nothing has begun");
    assert_eq!(bench.only_run().await.row.status, RunStatus::Finished(Outcome::AwaitingApproval));
    let (engine, run) = (bench.engine(), finished.run);
    let again = engine.resume(run.clone()).await.unwrap();
    assert_eq!(again.ending, Ending::Finished(Outcome::AwaitingApproval), "resuming is no approval");
    let refused = Answer::Refused { error: ActionError::permanent("not today") };
    engine.answer(run.clone(), "fan", &refused).await.unwrap();
    let again = engine.resume(run.clone()).await.unwrap();
    assert_eq!(again.failures, [("fan".to_owned(), ActionError::permanent("not today"))]);
    assert_eq!(
        engine.resume(run.clone()).await.unwrap().ending,
        Ending::Finished(Outcome::AwaitingApproval),
        "it asks again"
    );
    engine.answer(run.clone(), "fan", &Answer::Approved).await.unwrap();
    assert_eq!(engine.resume(run).await.unwrap().ending, SUCCEEDED);
    assert_eq!(bench.script.calls().len(), 4);
}

#[tokio::test]
async fn an_approval_without_words_asks_nobody_and_one_of_a_skipped_step_is_not_asked() {
    let bench = Bench::new().await;
    let mut plan = fan(2, None);
    plan.steps[0].approval = Some(Template::Literal(" ".into()));
    plan.steps[1].approval = Some(Template::Literal("really?".into()));
    plan.steps[1].when = Some(expression("false"));
    assert_eq!(bench.engine().run(plan).await.unwrap().ending, SUCCEEDED);
    assert_eq!(bench.script.calls().len(), 2);
}

#[tokio::test]
async fn captured_lines_are_in_the_journal_when_the_run_has_ended_and_no_attempt_floods_it() {
    let bench = Bench::new().await;
    bench.script.will("s0", [Act::Say(3)]);
    bench.script.will("s1", [Act::Fail(ActionError::transient("busy")), Act::Say(2_500)]);
    let run = bench.engine().run(chain(2)).await.unwrap().run;
    let lines = bench.journal.log_lines(run).await.unwrap();
    let of = |step: &str| lines.iter().filter(|line| line.step == step).collect::<Vec<_>>();
    assert_eq!(of("s0").iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["line 1", "line 2", "line 3"]);
    let flood = of("s1");
    assert!(flood.len() == 2_001 && flood.iter().all(|line| line.attempt == 2), "{}", flood.len());
    assert_eq!(flood[2_000].text, "(only the first 2000 lines of an attempt are kept)");
    assert!(bench.notes.0.lock().unwrap().len() > 2_500, "whoever watches sees all of them");
}

#[tokio::test]
async fn parts_that_get_another_go_keep_to_max_parallel() {
    let bench = Bench::new().await;
    (0..6).for_each(|i| bench.script.will(&format!("fan[{i}]"), [Act::Fail(ActionError::permanent("no"))]));
    let run = bench.engine().run(fan(6, Some(2))).await.unwrap().run;
    assert_eq!(bench.engine().resume(run).await.unwrap().ending, SUCCEEDED);
    assert_eq!(bench.script.most_at_once(), 2);
}

#[tokio::test]
async fn a_panic_is_an_unknown_outcome() {
    let bench = Bench::new().await;
    bench.script.will("s0", [Act::Panic]);
    let finished = bench.engine().run(chain(1)).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(bench.script.calls(), ["run s0", "find s0", "run s0"]);
}

#[tokio::test]
async fn an_attempt_past_its_deadline_is_tried_again() {
    let bench = Bench::new().await;
    bench.script.will("s0", [Act::Hang]);
    let mut plan = chain(1);
    plan.steps[0].timeout_ms = 30;
    let finished = bench.engine().run(plan).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(bench.script.effects("s0"), 1);
}

#[tokio::test]
async fn the_next_attempt_finds_what_the_last_one_stored() {
    let bench = Bench::new().await;
    bench.script.will("s0", [Act::CheckpointThenFail(json!({ "operation": "https://example/op" }))]);
    bench.engine().run(chain(1)).await.unwrap();
    let checkpoints = bench.script.checkpoints.lock().unwrap().clone();
    assert_eq!(checkpoints, [None, Some(json!({ "operation": "https://example/op" }))]);
}

/// A run of three steps whose engine is drained in the second.
async fn drained(bench: &Bench) -> RunReport {
    bench.script.will("s1", [Act::Hang]);
    let engine = bench.engine();
    let going = tokio::spawn({
        let engine = engine.clone();
        async move { engine.run(chain(3)).await }
    });
    until(|| bench.script.calls().len() == 2).await;
    engine.drain().await;
    going.await.unwrap().unwrap()
}

#[tokio::test]
async fn a_drained_engine_leaves_its_run_to_be_resumed() {
    let bench = Bench::new().await;
    let finished = drained(&bench).await;
    assert_eq!(finished.ending, Ending::Interrupted);
    assert_eq!(bench.only_run().await.row.owner, None);
    let finished = bench.engine().resume(finished.run).await.unwrap();
    assert_eq!(finished.ending, SUCCEEDED);
    assert_eq!(bench.script.calls(), ["run s0", "run s1", "find s1", "run s1", "run s2"]);
}

#[tokio::test]
async fn a_run_that_a_living_process_advances_is_refused_with_its_owner() {
    let bench = Bench::new().await;
    bench.script.will("s0", [Act::Hang]);
    let engine = bench.engine();
    tokio::spawn(async move { engine.run(chain(1)).await });
    until(|| !bench.script.calls().is_empty()).await;
    let run = bench.only_run().await.row.id;
    let refused = bench.engine().resume(run).await.unwrap_err();
    let EngineError::Owned { owner, .. } = refused else { panic!("{refused}") };
    assert_eq!(owner.pid, std::process::id());
}

#[tokio::test]
async fn a_run_that_has_succeeded_is_left_as_it_is() {
    let bench = Bench::new().await;
    let finished = bench.engine().run(chain(2)).await.unwrap();
    let before = bench.only_run().await;
    let again = bench.engine().resume(finished.run).await.unwrap();
    assert_eq!((again.ending, again.changed), (SUCCEEDED, false));
    assert_eq!(bench.only_run().await, before);
}

#[tokio::test]
async fn whichever_commit_fails_and_whether_it_was_written_or_not_a_resume_takes_each_effect_once() {
    for fault in [Fault::Before, Fault::After] {
        for nth in 2..=5 {
            let bench = Bench::new().await;
            bench.journal.fail(nth, fault, JournalError::Full);
            let error = bench.engine().run(chain(4)).await.unwrap_err();
            assert!(matches!(error, EngineError::Journal(JournalError::Full)), "{error}");
            let stored = bench.only_run().await;
            bench.journal.release(stored.row.id.clone(), stored.row.epoch).await.unwrap();
            let finished = bench.engine().resume(stored.row.id).await.unwrap();
            assert_eq!(finished.ending, SUCCEEDED, "commit {nth} {fault:?}");
            for step in ["s0", "s1", "s2", "s3"] {
                assert_eq!(bench.script.effects(step), 1, "step {step}, commit {nth} {fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn many_runs_share_one_dispatcher() {
    let bench = Bench::new().await;
    let engine = bench.engine();
    let runs: Vec<_> = (0..50)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.run(chain(5)).await })
        })
        .collect();
    for run in runs {
        assert_eq!(run.await.unwrap().unwrap().ending, SUCCEEDED);
    }
    assert!(bench.journal.commits() < 300, "runs share commits: {}", bench.journal.commits());
}

#[tokio::test]
async fn the_journal_tells_what_happened_in_order() {
    let bench = Bench::new().await;
    bench.engine().run(chain(1)).await.unwrap();
    let entries: Vec<Entry> = bench.only_run().await.history.into_iter().map(|r| r.entry).collect();
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

/// A plan of one step that holds the lock `l`.
fn locked(step_name: &str) -> Plan {
    Plan { locks: vec!["l".into()], ..plan(vec![step(step_name, "test.find", &[])]) }
}

#[tokio::test]
async fn a_run_whose_lock_is_held_is_not_begun_and_names_the_holder() {
    let bench = Bench::new().await;
    bench.script.will("a", [Act::Hang]);
    let engine = bench.engine();
    let holder = tokio::spawn({
        let engine = engine.clone();
        async move { engine.run(locked("a")).await }
    });
    until(|| !bench.script.calls().is_empty()).await;
    let run = bench.only_run().await.row.id;
    for engine in [engine.clone(), bench.engine()] {
        let refused = engine.run(locked("b")).await.unwrap_err();
        let EngineError::Locked(held) = refused else { panic!("{refused}") };
        assert_eq!((held.lock.as_str(), &held.run, held.owner.pid), ("l", &run, std::process::id()));
    }
    assert_eq!(engine.run(chain(1)).await.unwrap().ending, SUCCEEDED, "whoever wants no lock is not held up");
    engine.drain().await;
    assert_eq!(holder.await.unwrap().unwrap().ending, Ending::Interrupted);
    assert_eq!(bench.engine().run(locked("c")).await.unwrap().ending, SUCCEEDED);
    assert_eq!(bench.engine().resume(run).await.unwrap().ending, SUCCEEDED);
}

#[tokio::test]
async fn of_many_runs_that_want_one_lock_never_two_go_on_at_once() {
    let bench = Bench::new().await;
    let runs: Vec<_> = (0..12)
        .map(|i| {
            let engine = bench.engine().with_lock_timeout(Duration::from_mins(1));
            tokio::spawn(async move { engine.run(locked(&format!("s{i}"))).await })
        })
        .collect();
    for run in runs {
        assert_eq!(run.await.unwrap().unwrap().ending, SUCCEEDED);
    }
    assert_eq!(bench.script.most_at_once(), 1);
    assert_eq!(bench.journal.holders(vec!["l".into()]).await.unwrap(), []);
}

#[tokio::test]
async fn a_failed_run_has_given_its_lock_back_and_takes_it_again_when_it_is_resumed() {
    let bench = Bench::new().await;
    bench.script.will("a", [Act::Fail(ActionError::permanent("no"))]);
    let failed = bench.engine().run(locked("a")).await.unwrap();
    assert_eq!(failed.ending, FAILED);
    bench.script.will("b", [Act::Hang]);
    let engine = bench.engine();
    let holder = tokio::spawn({
        let engine = engine.clone();
        async move { engine.run(locked("b")).await }
    });
    until(|| bench.script.calls().len() == 2).await;
    let refused = bench.engine().resume(failed.run.clone()).await.unwrap_err();
    assert!(matches!(refused, EngineError::Locked(_)), "{refused}");
    engine.drain().await;
    holder.await.unwrap().unwrap();
    assert_eq!(bench.engine().resume(failed.run).await.unwrap().ending, SUCCEEDED);
}

#[tokio::test]
async fn whoever_loses_its_lock_because_it_seemed_dead_is_told_and_writes_nothing_more() {
    let bench = Bench::new().await;
    bench.script.will("a", [Act::Hang]);
    let engine = bench.engine();
    let mut plan = locked("a");
    plan.steps[0].timeout_ms = 300;
    let slow = tokio::spawn(async move { engine.run(plan).await });
    until(|| !bench.script.calls().is_empty()).await;
    let seen = bench.only_run().await.row;
    // What another machine would do when the lease has ended.
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
    };
    let commit = Commit { at: seen.created_at, creates: vec![create], appends: vec![] };
    assert_eq!(bench.journal.commit(commit).await.unwrap(), []);
    let told = slow.await.unwrap().unwrap_err();
    assert!(matches!(&told, EngineError::Fenced(run) if *run == seen.id), "{told}");
    assert_eq!(bench.journal.load(seen.id).await.unwrap().row.seq, seen.seq);
    assert_eq!(bench.journal.holders(vec!["l".into()]).await.unwrap()[0].holder.id, next);
}

/// Begins `plan` and waits until as many calls were made.
async fn begun(bench: &Bench, plan: Plan, calls: usize) -> (RunId, JoinHandle<Result<RunReport, EngineError>>) {
    let engine = bench.engine();
    let going = tokio::spawn(async move { engine.run(plan).await });
    until(|| bench.script.calls().len() == calls).await;
    (bench.only_run().await.row.id, going)
}

#[tokio::test]
async fn a_run_that_is_cancelled_elsewhere_lets_go_and_ends_for_good() {
    let bench = Bench::new().await;
    bench.script.will("s1", [Act::Hang]);
    let plan = Plan { locks: vec!["l".into()], ..chain(3) };
    let (run, going) = begun(&bench, plan, 2).await;
    let CancelResult::Requested(owner) = bench.engine().cancel(run.clone()).await.unwrap() else {
        panic!("it is going on")
    };
    assert_eq!(owner.pid, std::process::id());
    let finished = going.await.unwrap().unwrap();
    assert_eq!(finished.ending, Ending::Finished(Outcome::Cancelled));
    assert_eq!(bench.script.calls(), ["run s0", "run s1"], "nothing more is begun");
    let stored = bench.only_run().await;
    assert_eq!(stored.row.status, RunStatus::Finished(Outcome::Cancelled));
    assert!(matches!(stored.history.last().unwrap().entry, Entry::RunFinished { outcome: Outcome::Cancelled, .. }));
    assert_eq!(bench.journal.holders(vec!["l".into()]).await.unwrap(), []);
    let refused = bench.engine().resume(run.clone()).await.unwrap_err();
    assert!(matches!(&refused, EngineError::Cancelled(id) if *id == run), "{refused}");
    assert_eq!(bench.engine().cancel(run).await.unwrap(), CancelResult::AlreadyFinished(Outcome::Cancelled));
    assert_eq!(bench.only_run().await, stored, "neither wrote anything");
}

#[tokio::test]
async fn a_run_that_nobody_advances_is_cancelled_at_once_whether_it_was_interrupted_or_failed() {
    let bench = Bench::new().await;
    bench.script.will("s0", [Act::Fail(ActionError::permanent("no"))]);
    let failed = bench.engine().run(chain(2)).await.unwrap();
    assert_eq!(bench.engine().cancel(failed.run.clone()).await.unwrap(), CancelResult::Cancelled);
    assert!(matches!(bench.engine().resume(failed.run).await, Err(EngineError::Cancelled(_))));
    let bench = Bench::new().await;
    let run = drained(&bench).await.run;
    assert_eq!(bench.engine().cancel(run.clone()).await.unwrap(), CancelResult::Cancelled);
    assert_eq!(bench.only_run().await.row.status, RunStatus::Finished(Outcome::Cancelled));
    assert!(matches!(bench.engine().resume(run).await, Err(EngineError::Cancelled(_))));
}

#[tokio::test]
async fn a_run_that_has_succeeded_cannot_be_cancelled() {
    let bench = Bench::new().await;
    let run = bench.engine().run(chain(1)).await.unwrap().run;
    let before = bench.only_run().await;
    assert_eq!(bench.engine().cancel(run).await.unwrap(), CancelResult::AlreadyFinished(Outcome::Succeeded));
    assert_eq!(bench.only_run().await, before);
}

#[tokio::test]
async fn an_outcome_that_comes_with_the_cancellation_is_kept_and_nothing_that_follows_is_begun() {
    // The wish is written right before the outcome is: whoever advances the run learns of it when its commit is refused.
    for (act, kept) in [(Act::Succeed, "succeeded"), (Act::Fail(ActionError::transient("busy")), "in doubt")] {
        let bench = Bench::new().await;
        let open = bench.script.will_when_opened("s1", act);
        let (run, going) = begun(&bench, chain(3), 2).await;
        let row = bench.only_run().await.row;
        let entry = Entry::CancelRequested { by: "somebody".into() };
        let entries = vec![TimedEntry { at: row.created_at, entry }];
        let append = Append { run, epoch: row.epoch, after: row.seq, entries, status: RunStatus::Running };
        let commit = Commit { at: row.created_at, creates: vec![], appends: vec![append] };
        assert_eq!(bench.journal.commit(commit).await.unwrap(), []);
        open.add_permits(1);
        let finished = going.await.unwrap().unwrap();
        assert_eq!(finished.ending, Ending::Finished(Outcome::Cancelled), "{kept}");
        assert!(!bench.script.calls().contains(&"run s2".to_owned()), "{kept}");
        let about_s1 = |record: &&TimedEntry| match &record.entry {
            Entry::StepSucceeded { step, .. } => step == "s1" && kept == "succeeded",
            Entry::StepInDoubt { step, .. } => step == "s1" && kept == "in doubt",
            _ => false,
        };
        let history = bench.only_run().await.history;
        assert_eq!(history.iter().filter(about_s1).count(), 1, "{kept}: {history:?}");
    }
}

/// A step that asks before it begins, beside one that goes on.
fn asking() -> Plan {
    let mut plan = plan(vec![step("goes_on", "test.find", &[]), step("asks", "test.find", &[])]);
    plan.steps[1].approval = Some(Template::Literal("go on?".into()));
    plan
}

#[tokio::test]
async fn what_a_person_says_is_taken_in_by_the_process_that_advances_the_run() {
    let bench = Bench::new().await;
    let open = bench.script.will_when_opened("goes_on", Act::Succeed);
    let (run, going) = begun(&bench, asking(), 1).await;
    let told = bench.engine().answer(run.clone(), "asks", &Answer::Approved).await.unwrap();
    let AnswerResult::SentToOwner(owner) = told else { panic!("it goes on") };
    assert_eq!(owner.pid, std::process::id());
    until(|| bench.script.calls().contains(&"run asks".to_owned())).await;
    let late = bench.engine().answer(run, "asks", &Answer::Approved).await.unwrap_err();
    assert!(matches!(late, EngineError::UnexpectedAnswer { .. }), "{late}");
    open.add_permits(1);
    let finished = going.await.unwrap().unwrap();
    assert_eq!((finished.ending, finished.questions), (SUCCEEDED, vec![]));
}

/// The entries of a person, written right before the living process writes its own.
async fn write_behind(bench: &Bench, entries: Vec<Entry>) {
    let row = bench.only_run().await.row;
    let entries = entries.into_iter().map(|entry| TimedEntry { at: row.created_at, entry }).collect();
    let append = Append { run: row.id, epoch: row.epoch, after: row.seq, entries, status: RunStatus::Running };
    let commit = Commit { at: row.created_at, creates: vec![], appends: vec![append] };
    assert_eq!(bench.journal.commit(commit).await.unwrap(), []);
}

fn answered(answer: Answer) -> Entry {
    Entry::StepAnswered { step: "asks".into(), by: "somebody".into(), answer }
}

#[tokio::test]
async fn whatever_is_decided_while_a_person_answers_stands() {
    let busy = || Act::ChangeThenFail("half of it", ActionError::transient("busy"));
    let no = || Act::Fail(ActionError::permanent("no"));
    let lost = Act::LoseReply; // which is looked into
    let refused = || Answer::Refused { error: ActionError::permanent("not today") };
    for (act, answer, ending, calls, effects) in [
        (Act::Succeed, Answer::Approved, SUCCEEDED, 2, 1),
        (busy(), Answer::Approved, SUCCEEDED, 3, 1),
        (lost, Answer::Approved, SUCCEEDED, 3, 1),
        (no(), Answer::Approved, FAILED, 2, 0),
        (Act::Succeed, refused(), FAILED, 1, 1),
        (busy(), refused(), FAILED, 2, 1),
    ] {
        let bench = Bench::new().await;
        let open = bench.script.will_when_opened("goes_on", act.clone());
        let (run, going) = begun(&bench, asking(), 1).await;
        write_behind(&bench, vec![answered(answer.clone())]).await;
        open.add_permits(1);
        let finished = going.await.unwrap().unwrap();
        assert_eq!(finished.ending, ending, "{act:?}, {answer:?}: {finished:?}");
        assert_eq!(bench.script.calls().len(), calls, "{act:?}, {answer:?}: {:?}", bench.script.calls());
        assert_eq!(bench.script.effects("goes_on"), effects, "{act:?}, {answer:?}");
        let stored = bench.journal.load(run).await.unwrap();
        assert!(matches!(stored.history.last().unwrap().entry, Entry::RunFinished { .. }), "{stored:?}");
        let ends = stored.history.iter().filter(|timed| matches!(timed.entry, Entry::RunFinished { .. }));
        assert_eq!(ends.count(), 1, "an end that was not one is not written");
    }
}

#[tokio::test]
async fn a_run_that_is_answered_and_cancelled_at_once_ends() {
    let bench = Bench::new().await;
    let open = bench.script.will_when_opened("goes_on", Act::Succeed);
    let (_, going) = begun(&bench, asking(), 1).await;
    let cancel = Entry::CancelRequested { by: "somebody".into() };
    write_behind(&bench, vec![answered(Answer::Approved), cancel]).await;
    open.add_permits(1);
    let finished = going.await.unwrap().unwrap();
    assert_eq!(finished.ending, Ending::Finished(Outcome::Cancelled));
    assert_eq!(bench.script.calls(), ["run goes_on"]);
}

#[tokio::test]
async fn a_run_that_has_ended_is_nobodys_though_its_process_has_not_given_it_up_yet() {
    // What is between the commit that ends a run and the next one, which gives it up.
    let wish = |bench: &Bench, run: RunId, what: &'static str| {
        let engine = bench.engine();
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
        let bench = Bench::new().await;
        let run = bench.engine().run(asking()).await.unwrap().run;
        let before = bench.only_run().await;
        assert!(bench.journal.take_over(taking(&before.row)).await.unwrap());
        let row = bench.only_run().await.row;
        let ended = Entry::RunFinished { outcome: Outcome::AwaitingApproval, outputs: serde_json::Map::new() };
        assert_eq!(before.history.last().unwrap().entry, ended);
        assert_eq!(row.owner, Some(Owner::current_process().unwrap()), "its process lives");
        wish(&bench, run.clone(), what).await;
        bench.journal.load(run).await.unwrap();
    }
}

#[tokio::test]
async fn an_inlined_workflow_is_run_in_its_place_with_parts_over_what_its_steps_give() {
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
    let load = |name: &str| if name == "inner" { Ok((name.into(), inner.into())) } else { Err("no such file".into()) };
    for (go, last, calls) in [(true, "b!", 5), (false, "none", 2)] {
        let bench = Bench::new().await;
        let registry = support::registry(&bench.script);
        let checked = parse("outer.yaml", outer).check(&registry, &load).unwrap();
        let inputs = serde_json::Map::from_iter([("go".to_owned(), json!(go))]);
        let finished = bench.engine().run(checked.plan(inputs).unwrap()).await.unwrap();
        assert_eq!(finished.failures, []);
        assert_eq!((finished.ending, &finished.outputs["last"]), (SUCCEEDED, &json!(last)), "{finished:?}");
        assert_eq!(bench.script.calls().len(), calls, "{:?}", bench.script.calls());
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(tokio::time::Instant::now() < patience, "the condition never came true");
        tokio::task::yield_now().await;
    }
}
