//! Runs are bound to the external systems that they work on, and hold locks in them.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod support;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::BoxFuture;
use stargate::{
    clock::Clock,
    engine::{DEFAULT_LEASE, Ending, Engine, EngineError, EngineOptions},
    event::{Event, EventKind, Reporter},
    journal::Journal,
    plan::{Plan, PlannedStep},
    run::{Entry, Outcome},
};
use stargate_sdk::{
    ActionContext, ActionError, LockAttempt, LockService, Permission, Registry, RemoteHolder, RemoteLockRequest,
    Secrets, Target, TargetId,
};
use support::{Act, Harness, Scripted, plan, step};
use tokio::sync::Semaphore;

/// Target whose identifications are scripted; the last one repeats.
struct FakeTarget(Mutex<VecDeque<Result<TargetId, ActionError>>>);

impl Target for FakeTarget {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn permissions(&self) -> &'static [Permission] {
        &[]
    }

    fn identify<'a>(&'a self, _: &'a ActionContext) -> BoxFuture<'a, Result<TargetId, ActionError>> {
        let mut scripted = self.0.lock().unwrap();
        let next = if scripted.len() > 1 { scripted.pop_front() } else { scripted.front().cloned() };
        Box::pin(async { next.unwrap() })
    }

    fn setting(&self) -> &'static str {
        "--fake NAME"
    }
}

/// Locks whose holder is scripted, and a record of the calls.
#[derive(Clone, Default)]
struct FakeLocks {
    holder: Arc<Mutex<Option<String>>>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl FakeLocks {
    fn call(&self, method: &str, request: &RemoteLockRequest) {
        self.calls.lock().unwrap().push(format!("{method} {} epoch {}", request.lock, request.epoch));
    }

    fn attempt(&self) -> LockAttempt {
        match self.holder.lock().unwrap().clone() {
            Some(run) => LockAttempt::Held(Box::new(RemoteHolder {
                run,
                workflow: "w".into(),
                owner: "a@b, process 1".into(),
                process: String::new(),
                since: "2026".into(),
                may_have_ended: false,
            })),
            None => LockAttempt::Taken,
        }
    }
}

impl LockService for FakeLocks {
    fn target(&self) -> &'static str {
        "fake"
    }

    fn covers(&self, lock: &str) -> bool {
        lock.starts_with("fake/")
    }

    fn object(&self, lock: &str) -> String {
        format!("object {lock}")
    }

    fn permissions(&self) -> &'static [Permission] {
        &[]
    }

    fn take<'a>(
        &'a self,
        _: &'a ActionContext,
        request: &'a RemoteLockRequest,
    ) -> BoxFuture<'a, Result<LockAttempt, ActionError>> {
        self.call("take", request);
        Box::pin(async { Ok(self.attempt()) })
    }

    fn renew<'a>(
        &'a self,
        _: &'a ActionContext,
        request: &'a RemoteLockRequest,
    ) -> BoxFuture<'a, Result<LockAttempt, ActionError>> {
        self.call("renew", request);
        Box::pin(async { Ok(self.attempt()) })
    }

    fn release<'a>(
        &'a self,
        _: &'a ActionContext,
        request: &'a RemoteLockRequest,
    ) -> BoxFuture<'a, Result<(), ActionError>> {
        self.call("release", request);
        Box::pin(async { Ok(()) })
    }
}

fn identity(id: &str) -> TargetId {
    TargetId { id: Some(id.into()), address: "here".into(), description: format!("system {id}") }
}

fn gone() -> ActionError {
    ActionError::transient("not there yet")
}

/// Starts an engine of another process, for which the target is identified like this.
fn engine(
    harness: &Harness,
    identified: impl IntoIterator<Item = Result<TargetId, ActionError>>,
    locks: &FakeLocks,
) -> Engine {
    let mut registry = Registry::default();
    registry.add_for_target("fake", |actions| actions.add(Scripted::<0>(Arc::clone(&harness.script))));
    registry.add_target(FakeTarget(Mutex::new(identified.into_iter().collect())));
    registry.add_lock_service(locks.clone());
    Engine::start(EngineOptions {
        journal: Arc::clone(&harness.journal) as Arc<dyn Journal>,
        registry,
        secrets: Arc::new(Secrets::default()),
        reporter: Arc::clone(&harness.events) as Arc<dyn Reporter>,
        clock: Clock::system(),
        max_parallel: 8,
        lease: stargate::engine::DEFAULT_LEASE,
    })
    .unwrap()
}

/// Plan of two steps, the second of which needs an approval.
fn gate() -> Plan {
    let mut second = step("b", "test.find", &[0]);
    second.approval = Some(stargate::plan::Template::Literal("Go on?".into()));
    plan(vec![step("a", "test.find", &[]), second])
}

fn locked() -> Plan {
    Plan { locks: vec!["fake/x".into(), "other".into()], ..plan(vec![step("a", "test.find", &[])]) }
}

/// Returns the targets that the run has recorded, in order.
async fn recorded(harness: &Harness) -> Vec<TargetId> {
    let entries = harness.only_run().await.history.into_iter().map(|timed| timed.entry);
    let targets = entries.filter_map(|entry| match entry {
        Entry::TargetRecorded { identity, .. } => Some(identity),
        _ => None,
    });
    targets.collect()
}

#[tokio::test]
async fn a_run_continues_on_the_system_that_it_has_recorded_and_on_no_other() {
    let (harness, locks) = (Harness::new().await, FakeLocks::default());
    let report = engine(&harness, [Ok(identity("1"))], &locks).run(gate()).await.unwrap();
    assert_eq!(report.ending, Ending::Finished(Outcome::AwaitingApproval));
    assert_eq!(recorded(&harness).await, [identity("1")]);
    let run = harness.only_run().await;
    let refused = engine(&harness, [Ok(identity("2"))], &locks).resume(report.run.clone()).await.unwrap_err();
    assert!(matches!(refused, EngineError::OtherTarget(_)), "{refused}");
    assert_eq!(refused.to_string(), format!("run {} works on system 1, and the settings name system 2", report.run));
    let failed = [Err(ActionError::permanent("no such file"))];
    let refused = engine(&harness, failed, &locks).resume(report.run.clone()).await.unwrap_err();
    assert!(matches!(refused, EngineError::UnverifiedTarget(_)), "{refused}");
    assert_eq!((harness.only_run().await, harness.script.calls()), (run, vec!["run a".to_owned()]));
    engine(&harness, [Ok(identity("1"))], &locks).resume(report.run).await.unwrap();
    assert_eq!(recorded(&harness).await, [identity("1")], "it is recorded once");
}

#[tokio::test]
async fn a_system_that_is_not_reached_before_the_run_is_recorded_before_the_first_call() {
    let (harness, locks) = (Harness::new().await, FakeLocks::default());
    let later = [Err(gone()), Err(gone()), Err(gone()), Err(gone()), Ok(identity("1"))];
    let report = engine(&harness, later, &locks).run(gate()).await.unwrap();
    assert_eq!(
        report.ending,
        Ending::Finished(Outcome::AwaitingApproval),
        "the first attempt failed, the next one did not"
    );
    assert_eq!((recorded(&harness).await, harness.script.calls()), (vec![identity("1")], vec!["run a".to_owned()]));
    let events = harness.events.0.lock().unwrap().clone();
    let bound = events.iter().find_map(|event| match &event.kind {
        EventKind::RunBound { targets, .. } => Some(targets.clone()),
        _ => None,
    });
    assert_eq!(bound.unwrap()[0].unidentified.as_deref(), Some("not there yet"));
}

#[tokio::test]
async fn a_step_makes_no_call_on_another_system_than_the_recorded_one() {
    let (harness, locks) = (Harness::new().await, FakeLocks::default());
    harness.script.will("a", [Act::Fail(ActionError::permanent("no"))]);
    let report = engine(&harness, [Ok(identity("1"))], &locks).run(gate()).await.unwrap();
    let later = [Err(gone()), Err(gone()), Err(gone()), Ok(identity("2"))];
    let resumed = engine(&harness, later, &locks).resume(report.run).await.unwrap();
    assert_eq!(resumed.ending, Ending::Finished(Outcome::Failed));
    let (step, error) = &resumed.failures[0];
    assert_eq!((step.as_str(), error.code.as_deref()), ("a", Some("OtherTarget")));
    assert!(error.message.contains("works on system 1, and the settings name system 2"), "{error}");
    assert_eq!(harness.script.calls(), ["run a"], "the action was not called again");
}

#[tokio::test]
async fn an_identity_that_becomes_known_later_is_recorded_in_addition() {
    let (harness, locks) = (Harness::new().await, FakeLocks::default());
    let without_id = TargetId { id: None, ..identity("1") };
    let report = engine(&harness, [Ok(without_id.clone())], &locks).run(gate()).await.unwrap();
    engine(&harness, [Ok(identity("1"))], &locks).resume(report.run.clone()).await.unwrap();
    assert_eq!(recorded(&harness).await, [without_id, identity("1")]);
    let refused = engine(&harness, [Ok(identity("2"))], &locks).resume(report.run).await.unwrap_err();
    assert!(matches!(refused, EngineError::OtherTarget(_)), "the address is the same, the id is not: {refused}");
}

#[tokio::test]
async fn a_lock_in_the_system_is_taken_before_the_run_and_released_after_it() {
    let (harness, locks) = (Harness::new().await, FakeLocks::default());
    *locks.holder.lock().unwrap() = Some("01OTHER".into());
    let refused = engine(&harness, [Ok(identity("1"))], &locks).run(locked()).await.unwrap_err();
    let expected = "lock \"fake/x\" (object fake/x) is held by run 01OTHER of w, owned by a@b, process 1, since 2026";
    assert_eq!(refused.to_string(), expected);
    assert!(harness.journal.runs(10).await.unwrap().is_empty(), "nothing was created");
    *locks.holder.lock().unwrap() = None;
    harness.script.will("a", [Act::Fail(ActionError::permanent("no"))]);
    let report = engine(&harness, [Ok(identity("1"))], &locks).run(locked()).await.unwrap();
    engine(&harness, [Ok(identity("1"))], &locks).resume(report.run).await.unwrap();
    let calls = [
        "take fake/x epoch 1",
        "take fake/x epoch 1",
        "release fake/x epoch 1",
        "take fake/x epoch 2",
        "release fake/x epoch 2",
    ];
    assert_eq!(*locks.calls.lock().unwrap(), calls, "a resumed run takes it under its new epoch");
}

#[tokio::test]
async fn a_lock_in_a_system_that_is_reached_later_is_taken_by_the_first_step_that_uses_it() {
    let (harness, locks) = (Harness::new().await, FakeLocks::default());
    let later = || [Err(gone()), Err(gone()), Err(gone()), Ok(identity("1"))];
    *locks.holder.lock().unwrap() = Some("01OTHER".into());
    let report = engine(&harness, later(), &locks).run(locked()).await.unwrap();
    assert_eq!(report.ending, Ending::Finished(Outcome::Failed), "its retries are used up");
    assert!(report.failures[0].1.message.contains("is held by run 01OTHER"), "{report:?}");
    assert_eq!(harness.script.calls(), [""; 0]);
    *locks.holder.lock().unwrap() = None;
    let resumed = engine(&harness, later(), &locks).resume(report.run).await.unwrap();
    assert_eq!(resumed.ending, Ending::Finished(Outcome::Succeeded));
    assert_eq!(locks.calls.lock().unwrap().last().unwrap(), "release fake/x epoch 2");
}

/// Target that lets all callers of `identify` wait, and then fails.
struct SlowTarget {
    calls: Arc<AtomicUsize>,
    open: Arc<Semaphore>,
}

impl Target for SlowTarget {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn permissions(&self) -> &'static [Permission] {
        &[]
    }

    fn identify<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<TargetId, ActionError>> {
        Box::pin(async move {
            // The call before the run starts fails immediately.
            if self.calls.fetch_add(1, Ordering::SeqCst) > 0 {
                tokio::select! {
                    permit = self.open.acquire() => permit.unwrap().forget(),
                    () = tokio::time::sleep_until(cx.deadline()) => {}
                }
            }
            Err(ActionError::permanent("the login program failed"))
        })
    }

    fn setting(&self) -> &'static str {
        "--fake NAME"
    }
}

#[tokio::test]
async fn parallel_steps_share_one_failed_check_of_their_target() {
    for timeout_ms in [60_000, 20] {
        let harness = Harness::new().await;
        let (calls, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let mut registry = Registry::default();
        registry.add_for_target("fake", |actions| actions.add(Scripted::<0>(Arc::clone(&harness.script))));
        registry.add_target(SlowTarget { calls: Arc::clone(&calls), open: Arc::clone(&open) });
        let engine = Engine::start(EngineOptions {
            journal: Arc::clone(&harness.journal) as Arc<dyn Journal>,
            registry,
            secrets: Arc::new(Secrets::default()),
            reporter: Arc::clone(&harness.events) as Arc<dyn Reporter>,
            clock: Clock::system(),
            max_parallel: 8,
            lease: DEFAULT_LEASE,
        })
        .unwrap();
        let steps = (0..8).map(move |n| PlannedStep { timeout_ms, ..step(&format!("s{n}"), "test.find", &[]) });
        let running = tokio::spawn(async move { engine.run(plan(steps.collect())).await });
        let is_started = |event: &Event| matches!(event.kind, EventKind::StepStarted { .. });
        while harness.events.0.lock().unwrap().iter().filter(|event| is_started(event)).count() < 8 {
            tokio::task::yield_now().await;
        }
        if timeout_ms > 1000 {
            // All attempts wait once the runtime has nothing else to do.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            open.add_permits(1); // for one call only
        }
        let report = running.await.unwrap().unwrap();
        assert_eq!(report.failures.len(), 8);
        assert!(report.failures.iter().all(|(_, error)| error.message == "the login program failed"));
        assert_eq!(calls.load(Ordering::SeqCst), 2, "one before the run, and one for all steps");
        assert_eq!(harness.script.calls(), Vec::<String>::new());
    }
}
