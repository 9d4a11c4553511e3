use std::{collections::BTreeMap, sync::Arc, time::Duration};

use stargate_sdk::{Registry, Secrets};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    AnswerResult, CancelResult, EngineError, Prepared, RunReport,
    acquire::{Acquired, acquire},
    answer,
    binding::{BindingRequest, RunBinder, RunBinding, described},
    cancel,
    dispatcher::Dispatcher,
    locks::{self, AwaitedLock, LockWait},
    message::DispatcherMessage,
    renewal::{HeldLeases, LeaseRenewal},
    targets::TargetIdentities,
};
use crate::{
    clock::Clock,
    event::Reporter,
    id::{Epoch, RunId},
    journal::{Journal, Owner, SeenTaker},
    plan::Plan,
    run::Answer,
};

/// Maximum number of messages that wait for the dispatcher. Further senders wait for room.
const MAX_MESSAGES: usize = 4096;

/// Usual duration of a lease: time after which another process can acquire a run whose owner has
/// not renewed the lease.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// Environment of an engine.
#[derive(Clone)]
pub struct EngineOptions {
    /// Store of runs.
    pub journal: Arc<dyn Journal>,
    /// Actions that plans can use.
    pub registry: Registry,
    /// Resolver of secret references.
    pub secrets: Arc<Secrets>,
    /// Receiver of events.
    pub reporter: Arc<dyn Reporter>,
    /// Source of time.
    pub clock: Clock,
    /// Maximum number of concurrent attempts of one run; 0 means 1.
    pub max_parallel: usize,
    /// Duration of a lease, usually [`DEFAULT_LEASE`].
    pub lease: Duration,
}

/// Conditions under which a run is resumed that is otherwise refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResumePolicy {
    /// Take the run from a process that exists but has let its lease expire, such as a stopped one.
    pub take_over: bool,
    /// Resume the run although a later one has held one of its locks.
    pub overtaken: bool,
}

/// Executes runs and writes answers and cancel requests. Cheap to clone; all clones share one
/// dispatcher.
#[derive(Clone)]
pub struct Engine {
    options: EngineOptions,
    owner: Arc<Owner>,
    binder: RunBinder,
    dispatcher: mpsc::Sender<DispatcherMessage>,
    lock_timeout: Duration,
    /// Cancelled when the engine is drained.
    draining: CancellationToken,
}

impl Engine {
    /// Starts an engine on the current Tokio runtime.
    ///
    /// Its dispatcher ends when the last clone is dropped and no attempt is running.
    ///
    /// # Errors
    /// [`EngineError::Identity`].
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(options: EngineOptions) -> Result<Self, EngineError> {
        let owner = Arc::new(Owner::current_process().map_err(EngineError::Identity)?);
        let draining = CancellationToken::new();
        let targets = TargetIdentities::new(options.registry.clone(), Arc::clone(&options.secrets), draining.clone());
        let binder = RunBinder::new(targets, Arc::clone(&owner), options.lease);
        let (dispatcher, messages) = mpsc::channel(MAX_MESSAGES);
        let held = Arc::new(HeldLeases::default());
        let stop = CancellationToken::new();
        let renewal = LeaseRenewal {
            journal: Arc::clone(&options.journal),
            clock: options.clock.clone(),
            lease: options.lease,
            held: Arc::clone(&held),
            dispatcher: dispatcher.downgrade(),
            stop: stop.clone(),
        };
        tokio::spawn(renewal.serve());
        let task = Dispatcher::new(options.clone(), Arc::clone(&owner), held, dispatcher.downgrade());
        tokio::spawn(async move {
            let _stop_renewal = stop.drop_guard();
            task.serve(messages).await;
        });
        Ok(Self { options, owner, binder, dispatcher, lock_timeout: Duration::ZERO, draining })
    }

    /// Returns an engine that waits up to `timeout` for locks that other runs hold, before
    /// [`EngineError::Locked`].
    #[must_use]
    pub fn with_lock_timeout(self, timeout: Duration) -> Self {
        Self { lock_timeout: timeout, ..self }
    }

    /// Creates a run of `plan` and executes it until it finishes or the engine is drained.
    ///
    /// A run that fails is not an error: [`RunReport::ending`] has its outcome.
    ///
    /// # Errors
    /// [`EngineError::Locked`] if another run with a live owner holds one of the plan's locks:
    /// nothing was created. [`EngineError::Journal`] if the journal failed: the run can be resumed
    /// if it was created. [`EngineError::Fenced`] if another process acquired the run.
    pub async fn run(&self, plan: Plan) -> Result<RunReport, EngineError> {
        self.run_prepared(Arc::new(Prepared::new(plan, &self.options.registry)?)).await
    }

    /// Creates and executes a run of a plan that was prepared before.
    ///
    /// # Errors
    /// As for [`Engine::run`].
    pub async fn run_prepared(&self, prepared: Arc<Prepared>) -> Result<RunReport, EngineError> {
        self.with_lock_wait(RunId::generate(), |run| self.create(run, Arc::clone(&prepared), None)).await
    }

    /// Creates and executes a run as [`Engine::run`] does, unless another run has taken the lock
    /// of `seen` since: of several processes that have read the same, one creates its run.
    ///
    /// # Errors
    /// [`EngineError::TakenMeanwhile`], or as for [`Engine::run`].
    pub async fn run_unless_taken(&self, plan: Plan, seen: SeenTaker) -> Result<RunReport, EngineError> {
        let prepared = Arc::new(Prepared::new(plan, &self.options.registry)?);
        self.with_lock_wait(RunId::generate(), |run| self.create(run, Arc::clone(&prepared), Some(seen.clone()))).await
    }

    async fn create(
        &self,
        run: RunId,
        prepared: Arc<Prepared>,
        seen: Option<SeenTaker>,
    ) -> Result<RunReport, EngineError> {
        loop {
            if let Some(seen) = &seen {
                locks::check_last_taker(&self.options, seen).await?;
            }
            let evictions = locks::check_free(&self.options, &self.owner, &prepared.plan().locks, None).await?;
            let recorded = BTreeMap::new();
            let (plan, epoch) = (prepared.plan(), Epoch::FIRST);
            let request = BindingRequest { run: &run, epoch, plan, recorded: &recorded, evictions: &evictions };
            let binding = self.binder.bind(&request).await?;
            let (reply, report) = oneshot::channel();
            let (run, prepared) = (run.clone(), Arc::clone(&prepared));
            let (seen_takers, binding_of_run) = (seen.clone().into_iter().collect(), binding.clone());
            let message = DispatcherMessage::Create {
                run: run.clone(),
                prepared,
                evictions,
                seen_takers,
                binding: binding_of_run,
                reply,
            };
            self.send(message).await?;
            match self.report(run, &binding, report).await {
                Err(EngineError::LockLost(_)) => {} // Another run was faster: check the locks again.
                other => return other,
            }
        }
    }

    /// Acquires the run and executes it until it finishes or the engine is drained.
    ///
    /// Failed steps are retried. A run that has succeeded is not changed.
    ///
    /// # Errors
    /// [`EngineError::Owned`] if a live process owns the run, [`EngineError::Overtaken`] if another
    /// run has held one of its locks since, [`EngineError::Cancelled`], or as for [`Engine::run`].
    pub async fn resume(&self, run: RunId) -> Result<RunReport, EngineError> {
        self.resume_with(run, ResumePolicy::default()).await
    }

    /// Resumes the run as [`Engine::resume`] does, also under the conditions of `policy`.
    ///
    /// # Errors
    /// As for [`Engine::resume`].
    pub async fn resume_with(&self, run: RunId, policy: ResumePolicy) -> Result<RunReport, EngineError> {
        self.with_lock_wait(run, |run| self.acquire(run, policy, None)).await
    }

    /// Acquires the run as [`Engine::resume_with`] does, and executes a step again with all that
    /// depends on it, with any result. What else is stale is obtained again as after an
    /// interruption, and other results are kept. A run that has succeeded is opened again.
    ///
    /// `step` is the name of a step or instance, or of a step that includes a workflow.
    ///
    /// # Errors
    /// [`EngineError::CannotRetry`], or as for [`Engine::resume`].
    pub async fn retry(&self, run: RunId, step: &str, policy: ResumePolicy) -> Result<RunReport, EngineError> {
        self.with_lock_wait(run, |run| self.acquire(run, policy, Some(step))).await
    }

    async fn acquire(&self, run: RunId, policy: ResumePolicy, retry: Option<&str>) -> Result<RunReport, EngineError> {
        let (reply, report) = oneshot::channel();
        let acquired = match acquire(&self.options, &self.binder, &self.owner, run.clone(), policy, retry).await? {
            Acquired::AlreadySucceeded(report) => return Ok(report),
            Acquired::Owned(acquired) => acquired,
        };
        let binding = Arc::clone(&acquired.binding);
        self.send(DispatcherMessage::Adopt { run: acquired, reply }).await?;
        self.report(run, &binding, report).await
    }

    /// Waits for the end of a run, and releases its locks in external systems.
    async fn report(
        &self,
        run: RunId,
        binding: &RunBinding,
        mut report: oneshot::Receiver<Result<RunReport, EngineError>>,
    ) -> Result<RunReport, EngineError> {
        let reported = tokio::select! {
            reported = &mut report => reported,
            () = binding.lost().cancelled() => {
                self.send(DispatcherMessage::LockLost { run }).await?;
                report.await
            }
        };
        binding.end(reported.map_err(|_| EngineError::Stopped)?).await
    }

    /// Cancels a run permanently.
    ///
    /// If a process owns the run and its lease is in force, that process cancels the running
    /// attempts and finishes the run, within a second or two after this returns
    /// [`CancelResult::Requested`]. If that process is stopped, call this again when its lease has
    /// expired.
    ///
    /// # Errors
    /// The journal failed, or the run cannot be read.
    pub async fn cancel(&self, run: RunId) -> Result<CancelResult, EngineError> {
        cancel::cancel(&self.options, &self.owner, run, &described(&self.owner), false).await
    }

    /// Cancels a run as [`Engine::cancel`] does, and stores the reason.
    ///
    /// # Errors
    /// As for [`Engine::cancel`].
    pub async fn cancel_because(&self, run: RunId, reason: &str) -> Result<CancelResult, EngineError> {
        cancel::cancel(&self.options, &self.owner, run, &format!("{}: {reason}", described(&self.owner)), false).await
    }

    /// Cancels a run as [`Engine::cancel`] does. A run without an owner whose lease is in force is
    /// cancelled at once, and its steps under `finally` do not run.
    ///
    /// # Errors
    /// As for [`Engine::cancel`].
    pub async fn cancel_without_finally(&self, run: RunId) -> Result<CancelResult, EngineError> {
        cancel::cancel(&self.options, &self.owner, run, &described(&self.owner), true).await
    }

    /// Stores an operator's answer for a step that waits for approval or is in doubt.
    ///
    /// If a live process owns the run, that process applies the answer within a second or two;
    /// otherwise the process that resumes the run does.
    ///
    /// # Errors
    /// [`EngineError::NoSuchStep`], [`EngineError::UnexpectedAnswer`] if the step does not wait for
    /// this answer, or [`EngineError::InvalidOutput`] if the step's action cannot have this output.
    /// Nothing was written.
    pub async fn answer(&self, run: RunId, step: &str, answer: &Answer) -> Result<AnswerResult, EngineError> {
        answer::answer(&self.options, &self.owner, run, step, answer).await
    }

    /// Starts no further attempts, interrupts the running ones and releases the runs.
    ///
    /// [`Engine::run`] and [`Engine::resume`] then return
    /// [`Ending::Interrupted`](super::Ending::Interrupted).
    pub async fn drain(&self) {
        self.draining.cancel();
        // An engine that has stopped has nothing to drain.
        let _ = self.send(DispatcherMessage::Drain).await;
    }

    /// Repeats `execute` while another run holds a lock, until the lock timeout expires or the
    /// engine is drained.
    async fn with_lock_wait<F: Future<Output = Result<RunReport, EngineError>>>(
        &self,
        run: RunId,
        execute: impl Fn(RunId) -> F,
    ) -> Result<RunReport, EngineError> {
        let mut wait = LockWait::new(self.lock_timeout, self.options.lease);
        loop {
            match execute(run.clone()).await {
                Err(error) => {
                    let Some(awaited) = AwaitedLock::of(&error).filter(|awaited| wait.goes_on_for(awaited)) else {
                        return Err(error);
                    };
                    wait.report(&self.options, &run, &awaited);
                    let delay = wait.next_delay();
                    let woken = self.draining.run_until_cancelled(tokio::time::sleep(delay)).await;
                    if woken.is_none() {
                        return Err(EngineError::WaitInterrupted { lock: awaited.lock });
                    }
                }
                Ok(report) => return Ok(report),
            }
        }
    }

    async fn send(&self, message: DispatcherMessage) -> Result<(), EngineError> {
        self.dispatcher.send(message).await.map_err(|_| EngineError::Stopped)
    }
}
