//! Shared parts of the library's tests: scripted actions, plans made in code, and a journal that
//! fails on command.
#![expect(dead_code, reason = "every test binary uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stargate::{
    clock::{Clock, UnixMillis},
    engine::{DEFAULT_LEASE, Engine, EngineOptions},
    event::{Event, Reporter},
    id::{Epoch, RunId},
    journal::{
        self, Commit, Cursor, HeldLock, Journal, JournalError, LockTaking, LogLine, RunRow, StoredRun, TakeOverRequest,
    },
    plan::{FORMAT, ForEach, Plan, PlannedExpression, PlannedStep, Retry, Scope, Template},
    run::TimedEntry,
};
use stargate_sdk::{
    Action, ActionContext, ActionError, FindResult, Nature, Recovery, Registry, RequiredPermissions, Secrets,
};
use tokio::sync::Semaphore;

pub(crate) mod sqlite;

/// Behaviour of one scripted attempt.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Takes effect and then succeeds.
    Succeed,
    /// Succeeds with this value as the output.
    Return(Value),
    /// Fails without effect.
    Fail(ActionError),
    /// Reports a change, then fails.
    ChangeThenFail(&'static str, ActionError),
    /// Reports a change, stores a checkpoint, waits for the semaphore even if it is cancelled, and
    /// succeeds.
    ChangeThenStore(&'static str, Arc<Semaphore>),
    /// Reports a change, then waits until it is cancelled or past its deadline.
    ChangeThenHang(&'static str),
    /// Takes effect, and its outcome is unknown.
    LoseReply,
    /// Takes effect, its outcome is unknown, and find cannot determine it.
    LoseTrack,
    /// Stores a checkpoint, then fails without effect.
    CheckpointThenFail(Value),
    /// Captures this number of log lines, takes effect and succeeds.
    Log(usize),
    /// Checks the lease of the run, takes effect and succeeds.
    CheckLease,
    /// Waits until it is cancelled or past its deadline.
    Hang,
    /// Panics during the call.
    Panic,
    /// Waits for the semaphore even if it is cancelled, then behaves like this.
    When(Arc<Semaphore>, Box<Act>),
}

/// Behaviour of the test actions, and a record of their calls.
#[derive(Default)]
pub(crate) struct ActionScript {
    acts: Mutex<HashMap<String, VecDeque<Act>>>,
    /// Calls in order, such as `run a` and `find a`.
    pub(crate) calls: Mutex<Vec<String>>,
    /// Number of times that each step took effect.
    pub(crate) effects: Mutex<BTreeMap<String, u32>>,
    /// Checkpoint that each call got.
    pub(crate) checkpoints: Mutex<Vec<Option<Value>>>,
    /// Steps whose effect find cannot determine.
    undeterminable: Mutex<HashSet<String>>,
    /// Number of attempts that are running, and its maximum so far.
    running: Mutex<(usize, usize)>,
}

impl ActionScript {
    /// Sets the behaviour of the next attempts of `step`. Later ones succeed.
    pub(crate) fn will(&self, step: &str, acts: impl IntoIterator<Item = Act>) {
        self.acts.lock().unwrap().entry(step.into()).or_default().extend(acts);
    }

    /// Lets the next attempt of `step` wait for a permit of the returned semaphore.
    pub(crate) fn will_when_opened(&self, step: &str, act: Act) -> Arc<Semaphore> {
        let open = Arc::new(Semaphore::new(0));
        self.will(step, [Act::When(Arc::clone(&open), Box::new(act))]);
        open
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn effects(&self, step: &str) -> u32 {
        self.effects.lock().unwrap().get(step).copied().unwrap_or_default()
    }

    pub(crate) fn running(&self) -> usize {
        self.running.lock().unwrap().0
    }

    pub(crate) fn max_concurrent(&self) -> usize {
        self.running.lock().unwrap().1
    }

    fn take_effect(&self, step: &str) {
        *self.effects.lock().unwrap().entry(step.into()).or_default() += 1;
    }

    async fn attempt(&self, cx: &ActionContext, input: &Input) -> Result<Output, ActionError> {
        self.calls.lock().unwrap().push(format!("run {}", cx.step()));
        self.checkpoints.lock().unwrap().push(cx.checkpoint());
        let act = self.acts.lock().unwrap().get_mut(cx.step()).and_then(VecDeque::pop_front).unwrap_or(Act::Succeed);
        let act = match act {
            Act::When(open, act) => {
                open.acquire().await.unwrap().forget();
                *act
            }
            act => act,
        };
        match act {
            Act::When(..) => panic!("one condition is enough"),
            Act::Succeed => {
                self.take_effect(cx.step());
                cx.changed("made it so");
                Ok(Output { value: input.value.clone() })
            }
            Act::Return(value) => Ok(Output { value }),
            Act::Fail(error) => Err(error),
            Act::ChangeThenFail(what, error) => {
                cx.changed(what);
                Err(error)
            }
            Act::LoseReply => {
                self.take_effect(cx.step());
                Err(ActionError::unknown("the reply was lost"))
            }
            Act::LoseTrack => {
                self.take_effect(cx.step());
                self.undeterminable.lock().unwrap().insert(cx.step().into());
                Err(ActionError::unknown("the reply was lost"))
            }
            Act::CheckpointThenFail(value) => {
                cx.save_checkpoint(value).await?;
                Err(ActionError::transient("not yet"))
            }
            Act::Log(lines) => {
                (1..=lines).for_each(|line| cx.log(format!("line {line}")));
                self.take_effect(cx.step());
                Ok(Output { value: input.value.clone() })
            }
            Act::CheckLease => {
                cx.check_lease().await?;
                self.take_effect(cx.step());
                Ok(Output { value: input.value.clone() })
            }
            Act::Hang => hang(cx).await,
            Act::ChangeThenStore(what, open) => {
                cx.changed(what);
                cx.save_checkpoint(json!("begun")).await?;
                open.acquire().await.unwrap().forget();
                Ok(Output { value: input.value.clone() })
            }
            Act::ChangeThenHang(what) => {
                cx.changed(what);
                hang(cx).await
            }
            Act::Panic => panic!("as scripted"),
        }
    }

    async fn counted(&self, cx: &ActionContext, input: &Input) -> Result<Output, ActionError> {
        {
            let mut running = self.running.lock().unwrap();
            running.0 += 1;
            running.1 = running.1.max(running.0);
        }
        tokio::task::yield_now().await;
        let result = self.attempt(cx, input).await;
        self.running.lock().unwrap().0 -= 1;
        result
    }
}

async fn hang(cx: &ActionContext) -> Result<Output, ActionError> {
    cx.sleep(cx.remaining().saturating_sub(Duration::from_millis(1))).await?;
    cx.sleep(Duration::from_mins(1)).await?;
    Err(ActionError::transient("woke up"))
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Input {
    #[serde(default)]
    pub(crate) value: Value,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Output {
    pub(crate) value: Value,
}

/// Name, nature and recovery of the scripted actions.
const KINDS: [(&str, Nature, Recovery); 5] = [
    ("test.find", Nature::Once, Recovery::Find),
    ("test.repeat", Nature::Once, Recovery::Repeat),
    ("test.ask", Nature::Once, Recovery::Ask),
    ("test.observe", Nature::Observe, Recovery::Repeat),
    ("test.ensure", Nature::Ensure, Recovery::Find),
];

/// Action that behaves like its script. `KIND` is an index into [`KINDS`].
pub(crate) struct Scripted<const KIND: usize>(pub(crate) Arc<ActionScript>);

impl<const KIND: usize> RequiredPermissions for Scripted<KIND> {}

impl<const KIND: usize> Action for Scripted<KIND> {
    type Input = Input;
    type Output = Output;
    const NAME: &'static str = KINDS[KIND].0;
    const VERSION: u32 = 1;
    const NATURE: Nature = KINDS[KIND].1;
    const RECOVERY: Recovery = KINDS[KIND].2;
    const SUMMARY: &'static str = "Does as its script says.";

    async fn run(&self, cx: &ActionContext, input: &Input) -> Result<Output, ActionError> {
        self.0.counted(cx, input).await
    }

    async fn find(&self, cx: &ActionContext, input: &Input) -> Result<FindResult<Output>, ActionError> {
        self.0.calls.lock().unwrap().push(format!("find {}", cx.step()));
        if self.0.undeterminable.lock().unwrap().contains(cx.step()) {
            return Ok(FindResult::Unclear("there is nothing to look at".into()));
        }
        let there = self.0.effects(cx.step()) > 0;
        Ok(if there { FindResult::Present(Output { value: input.value.clone() }) } else { FindResult::Absent })
    }
}

pub(crate) fn registry(script: &Arc<ActionScript>) -> Registry {
    let mut registry = Registry::default();
    registry.add(Scripted::<0>(Arc::clone(script)));
    registry.add(Scripted::<1>(Arc::clone(script)));
    registry.add(Scripted::<2>(Arc::clone(script)));
    registry.add(Scripted::<3>(Arc::clone(script)));
    registry.add(Scripted::<4>(Arc::clone(script)));
    registry
}

/// Returns a step without input that depends on the steps with these indexes.
pub(crate) fn step(name: &str, action: &str, needs: &[usize]) -> PlannedStep {
    let &(_, nature, recovery) = KINDS.iter().find(|(name, ..)| *name == action).expect("a scripted action");
    PlannedStep {
        name: name.into(),
        action: action.into(),
        version: 1,
        nature,
        recovery,
        with: Template::Literal(json!({})),
        needs: needs.to_vec(),
        after: vec![],
        needs_each: vec![],
        when: None,
        approval: None,
        for_each: None,
        retry: Retry { attempts: 4, initial_ms: 1, factor: 1.5, max_ms: 5, budget_ms: 60_000 },
        timeout_ms: 60_000,
        scope: 0,
        allow_failure: false,
        is_finally: false,
    }
}

pub(crate) fn expression(source: &str) -> PlannedExpression {
    PlannedExpression::new(source, 0)
}

pub(crate) fn plan(steps: Vec<PlannedStep>) -> Plan {
    let scope = Scope {
        prefix: String::new(),
        workflow: "test".into(),
        parent: None,
        inputs: vec![],
        outputs: vec![],
        item: None,
        allow_failure: false,
    };
    Plan {
        format: FORMAT,
        workflow: "test".into(),
        inputs: Map::new(),
        scopes: vec![scope],
        loops: vec![],
        locks: vec![],
        steps,
        outputs: vec![],
    }
}

/// Returns a plan of `n` sequential steps.
pub(crate) fn chain(n: usize) -> Plan {
    let needs = |i: usize| if i == 0 { vec![] } else { vec![i - 1] };
    plan((0..n).map(|i| step(&format!("s{i}"), "test.find", &needs(i))).collect())
}

fn for_each(items: &str, max_parallel: Option<u32>) -> ForEach {
    ForEach {
        items: expression(items),
        variable: "item".into(),
        key: expression("item"),
        group: None,
        max_parallel,
        max_failures: None,
    }
}

/// Returns a step with the instances 0, 1 and 2.
pub(crate) fn each(name: &str, needs: &[usize]) -> PlannedStep {
    PlannedStep { for_each: Some(for_each("['0', '1', '2']", None)), ..step(name, "test.ensure", needs) }
}

/// Returns a plan of one `for_each` step over a list of numbers and one step after it.
pub(crate) fn fan(items: usize, max_parallel: Option<u32>) -> Plan {
    let list: Vec<String> = (0..items).map(|i| i.to_string()).collect();
    let mut fan = step("fan", "test.find", &[]);
    fan.for_each = Some(for_each("inputs.items", max_parallel));
    fan.with = Template::Map(vec![("value".into(), Template::Expression(expression("item")))]);
    let mut plan = plan(vec![fan, step("after", "test.find", &[0])]);
    plan.inputs.insert("items".into(), json!(list));
    plan
}

/// Reporter that keeps all events.
#[derive(Default)]
pub(crate) struct EventLog(pub(crate) Mutex<Vec<Event>>);

impl Reporter for EventLog {
    fn report(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// Effect of a commit that fails on command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitFault {
    /// The commit writes nothing and returns an error.
    Before,
    /// The commit writes everything and returns an error.
    After,
}

/// Journal that counts the commits of a real one and fails on command.
pub(crate) struct FaultyJournal {
    inner: Arc<dyn Journal>,
    commits: AtomicU64,
    fault: Mutex<Option<(u64, CommitFault, JournalError)>>,
    renewals_fail: AtomicBool,
    /// Permits of commits; `None` while they need none.
    held_commits: Mutex<Option<Arc<Semaphore>>>,
}

impl FaultyJournal {
    pub(crate) async fn open(path: &Path) -> Self {
        let inner = journal::open(path).await.unwrap();
        Self {
            inner,
            commits: AtomicU64::new(0),
            fault: Mutex::new(None),
            renewals_fail: AtomicBool::new(false),
            held_commits: Mutex::new(None),
        }
    }

    /// Lets the `nth` commit from now, counted from 1, fail.
    pub(crate) fn fail(&self, nth: u64, fault: CommitFault, error: JournalError) {
        *self.fault.lock().unwrap() = Some((self.commits.load(Ordering::SeqCst) + nth, fault, error));
    }

    /// Lets renewals of leases fail from now on, or no longer.
    pub(crate) fn fail_renewals(&self, fail: bool) {
        self.renewals_fail.store(fail, Ordering::SeqCst);
    }

    /// Lets each commit from now on wait for a permit of the returned semaphore.
    pub(crate) fn hold_commits(&self) -> Arc<Semaphore> {
        let permits = Arc::new(Semaphore::new(0));
        *self.held_commits.lock().unwrap() = Some(Arc::clone(&permits));
        permits
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    fn fault_of(&self, commit: u64) -> Option<(CommitFault, JournalError)> {
        let fault = self.fault.lock().unwrap();
        fault.as_ref().filter(|(nth, ..)| *nth == commit).map(|(_, fault, error)| (*fault, error.clone()))
    }
}

impl Journal for FaultyJournal {
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Vec<RunId>, JournalError>> {
        Box::pin(async move {
            let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
            let held = self.held_commits.lock().unwrap().clone();
            if let Some(permits) = held {
                permits.acquire().await.unwrap().forget();
            }
            match self.fault_of(number) {
                Some((CommitFault::Before, error)) => Err(error),
                Some((CommitFault::After, error)) => self.inner.commit(commit).await.and(Err(error)),
                None => self.inner.commit(commit).await,
            }
        })
    }

    fn take_over(&self, request: TakeOverRequest) -> BoxFuture<'_, Result<bool, JournalError>> {
        self.inner.take_over(request)
    }

    fn renew(
        &self,
        owned: Vec<(RunId, Epoch)>,
        lease_until: UnixMillis,
    ) -> BoxFuture<'_, Result<Vec<RunId>, JournalError>> {
        if self.renewals_fail.load(Ordering::SeqCst) {
            return Box::pin(async { Err(JournalError::Busy) });
        }
        self.inner.renew(owned, lease_until)
    }

    fn release(&self, run: RunId, epoch: Epoch) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inner.release(run, epoch)
    }

    fn load(&self, run: RunId) -> BoxFuture<'_, Result<StoredRun, JournalError>> {
        self.inner.load(run)
    }

    fn external_entries(&self, after: Vec<Cursor>) -> BoxFuture<'_, Result<Vec<(RunId, TimedEntry)>, JournalError>> {
        self.inner.external_entries(after)
    }

    fn holders(&self, locks: Vec<String>) -> BoxFuture<'_, Result<Vec<HeldLock>, JournalError>> {
        self.inner.holders(locks)
    }

    fn last_takers(&self, locks: Vec<String>) -> BoxFuture<'_, Result<Vec<LockTaking>, JournalError>> {
        self.inner.last_takers(locks)
    }

    fn log(&self, lines: Vec<LogLine>) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inner.log(lines)
    }

    fn log_lines(&self, run: RunId) -> BoxFuture<'_, Result<Vec<LogLine>, JournalError>> {
        self.inner.log_lines(run)
    }

    fn prune(&self, before: UnixMillis) -> BoxFuture<'_, Result<u64, JournalError>> {
        self.inner.prune(before)
    }

    fn runs(&self, limit: u32) -> BoxFuture<'_, Result<Vec<RunRow>, JournalError>> {
        self.inner.runs(limit)
    }

    fn verify_identity(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inner.verify_identity()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inner.close()
    }
}

/// A journal in its own directory and a script, for engines that share both.
pub(crate) struct Harness {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) journal: Arc<FaultyJournal>,
    pub(crate) script: Arc<ActionScript>,
    pub(crate) events: Arc<EventLog>,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Arc::new(FaultyJournal::open(&folder.path().join("journal.db")).await);
        Self { folder, journal, script: Arc::default(), events: Arc::default() }
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine_with(8)
    }

    pub(crate) fn engine_with(&self, max_parallel: usize) -> Engine {
        self.start(max_parallel, DEFAULT_LEASE)
    }

    pub(crate) fn engine_with_lease(&self, lease: Duration) -> Engine {
        self.start(8, lease)
    }

    fn start(&self, max_parallel: usize, lease: Duration) -> Engine {
        Engine::start(EngineOptions {
            journal: Arc::clone(&self.journal) as Arc<dyn Journal>,
            registry: registry(&self.script),
            secrets: Arc::new(Secrets::default()),
            reporter: Arc::clone(&self.events) as Arc<dyn Reporter>,
            clock: Clock::system(),
            max_parallel,
            lease,
        })
        .unwrap()
    }

    pub(crate) async fn only_run(&self) -> StoredRun {
        let rows = self.journal.runs(10).await.unwrap();
        assert_eq!(rows.len(), 1, "there is one run");
        self.journal.load(rows[0].id.clone()).await.unwrap()
    }
}
