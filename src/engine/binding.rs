//! External systems that a live run works on, and its locks in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use stargate_sdk::{
    ActionContext, ActionError, FailureKind, LockAttempt, RemoteHolder, RemoteLockRequest, RunLease, Target, TargetId,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    EngineError, RemoteLockHolder, RunReport,
    message::DispatcherMessage,
    remote_locks::{RemoteLock, RemoteLocks},
    targets::{TargetIdentities, TargetMismatch, UnverifiedTarget},
};
use crate::{
    event::{BoundLock, BoundTarget, EventKind},
    id::{Epoch, RunId},
    journal::{Liveness, LockEviction, Owner},
    plan::Plan,
    run::Entry,
};

/// A run that is about to be created or acquired.
pub(super) struct BindingRequest<'a> {
    pub(super) run: &'a RunId,
    /// Epoch under which this process will own it.
    pub(super) epoch: Epoch,
    pub(super) plan: &'a Plan,
    /// Targets that the run has recorded.
    pub(super) recorded: &'a BTreeMap<String, TargetId>,
    /// Runs that lose their locks in the journal.
    pub(super) evictions: &'a [LockEviction],
}

/// Binds runs of one engine.
#[derive(Clone)]
pub(super) struct RunBinder {
    targets: Arc<TargetIdentities>,
    /// This process.
    here: Arc<Owner>,
    /// Description of this process in locks.
    owner: String,
    /// Time for which locks are held without renewal.
    lease: Duration,
}

impl RunBinder {
    pub(super) fn new(targets: TargetIdentities, here: Arc<Owner>, lease: Duration) -> Self {
        let owner = described(&here);
        Self { targets: Arc::new(targets), here, owner, lease }
    }

    /// Identifies the targets of the run, compares them with the recorded ones, and takes the
    /// run's locks in them.
    ///
    /// A target that does not answer is not an error: it is identified when a step uses it first.
    ///
    /// # Errors
    /// [`EngineError::OtherTarget`], [`EngineError::UnverifiedTarget`],
    /// [`EngineError::LockedElsewhere`], or [`EngineError::LockUnavailable`] if a target refuses
    /// the lock. No lock is held then.
    pub(super) async fn bind(&self, request: &BindingRequest<'_>) -> Result<Arc<RunBinding>, EngineError> {
        // Before the first program of this machine is run.
        request.plan.env_references().iter().for_each(|reference| self.targets.secrets.reserve(reference));
        let targets = self.targets.of_plan(request.plan);
        let identified = join_all(targets.iter().map(|target| self.targets.identify_soon(&**target))).await;
        let mut binding = RunBinding {
            run: request.run.clone(),
            targets: Arc::clone(&self.targets),
            state: Mutex::new(BindingState { recorded: request.recorded.clone(), verified: BTreeSet::new() }),
            checking: tokio::sync::Mutex::default(),
            first_entries: Vec::new(),
            first_event: None,
            locks: RemoteLocks::new(Arc::clone(&self.targets.secrets), self.lease),
            untaken: Mutex::default(),
        };
        let mut shown = Vec::new();
        for (target, identified) in targets.iter().zip(identified) {
            shown.push(binding.first_check(&**target, identified)?);
        }
        let locks = self.take_locks(request, &binding).await;
        let locks = match locks {
            Ok(locks) => locks,
            Err(error) => {
                binding.locks.release().await;
                return Err(error);
            }
        };
        if !shown.is_empty() || !locks.is_empty() {
            binding.first_event = Some(EventKind::RunBound { targets: shown, locks });
        }
        Ok(Arc::new(binding))
    }

    async fn take_locks(
        &self,
        request: &BindingRequest<'_>,
        binding: &RunBinding,
    ) -> Result<Vec<BoundLock>, EngineError> {
        let mut shown = Vec::new();
        for lock in self.locks(request) {
            let target = lock.service.target();
            let attempt = if binding.state().verified.contains(target) {
                self.take(binding, &lock).await
            } else {
                Ok(LockAttempt::Unavailable(format!("{target} cannot be reached")))
            };
            let journal_only = match attempt {
                Ok(LockAttempt::Taken) => None,
                Ok(LockAttempt::Unavailable(reason)) => {
                    binding.untaken().push(lock.clone());
                    Some(reason)
                }
                Ok(LockAttempt::Held(holder)) => {
                    let holder =
                        RemoteLockHolder { lock: lock.request.lock.clone(), object: lock.object(), holder: *holder };
                    return Err(EngineError::LockedElsewhere(Box::new(holder)));
                }
                Err(error) => return Err(EngineError::LockUnavailable { lock: lock.request.lock.clone(), error }),
            };
            shown.push(BoundLock { lock: lock.request.lock.clone(), object: lock.object(), journal_only });
        }
        Ok(shown)
    }

    /// Takes a lock. The hold of a process of this machine that has exited is void.
    async fn take(&self, binding: &RunBinding, lock: &RemoteLock) -> Result<LockAttempt, ActionError> {
        match binding.locks.take(lock).await? {
            LockAttempt::Held(holder) if self.has_exited(&holder) => {
                let mut lock = lock.clone();
                lock.request.ended_runs.push(holder.run.clone());
                binding.locks.take(&lock).await
            }
            attempt => Ok(attempt),
        }
    }

    fn has_exited(&self, holder: &RemoteHolder) -> bool {
        let owner = serde_json::from_str::<Owner>(&holder.process);
        owner.is_ok_and(|owner| owner.liveness(&self.here) == Liveness::Exited)
    }

    /// Returns the run's locks that are in targets.
    fn locks(&self, request: &BindingRequest<'_>) -> Vec<RemoteLock> {
        let ended_runs: Vec<_> = request.evictions.iter().map(|eviction| eviction.run.to_string()).collect();
        let remote = |lock: &String| {
            let service = Arc::clone(self.targets.registry.lock_service(lock)?);
            let request = RemoteLockRequest {
                lock: lock.clone(),
                run: request.run.to_string(),
                epoch: request.epoch.0,
                workflow: request.plan.workflow.clone(),
                owner: self.owner.clone(),
                process: serde_json::to_string(&*self.here).unwrap_or_default(),
                ended_runs: ended_runs.clone(),
                duration: self.lease,
            };
            Some(RemoteLock { service, request })
        };
        request.plan.locks.iter().filter_map(remote).collect()
    }
}

/// Targets and locks of one live run.
pub(super) struct RunBinding {
    run: RunId,
    targets: Arc<TargetIdentities>,
    state: Mutex<BindingState>,
    /// Held while a target is identified for the first time in the run. Attempts that come
    /// meanwhile share the failure: otherwise each of them would wait for a login program that
    /// hangs, one after the other.
    checking: tokio::sync::Mutex<BTreeMap<&'static str, CheckFailure>>,
    /// Entries that the run stores with its first commit.
    first_entries: Vec<Entry>,
    /// Event that names targets and locks.
    first_event: Option<EventKind>,
    locks: RemoteLocks,
    /// Locks whose target could not be reached.
    untaken: Mutex<Vec<RemoteLock>>,
}

struct BindingState {
    recorded: BTreeMap<String, TargetId>,
    /// Names of the targets that are the recorded ones.
    verified: BTreeSet<&'static str>,
}

/// Last failure to check a target.
struct CheckFailure {
    at: Instant,
    /// True if the timeout of the step expired that checked the target.
    timed_out: bool,
    error: ActionError,
}

impl CheckFailure {
    /// Error for an attempt that has waited for the check since `called`.
    fn shared(&self, cx: &ActionContext, called: Instant) -> Option<ActionError> {
        let is_shared = self.at > called && (!self.timed_out || cx.remaining().is_zero());
        is_shared.then(|| self.error.clone())
    }
}

impl RunBinding {
    /// Compares a target with the recorded one before the run starts.
    ///
    /// A target that does not answer is compared when a step uses it. If the run has recorded it,
    /// settings that cannot lead to it are an error.
    fn first_check(
        &mut self,
        target: &dyn Target,
        identified: Result<TargetId, ActionError>,
    ) -> Result<BoundTarget, EngineError> {
        let name = target.name();
        let identity = match identified {
            Ok(identity) => identity,
            Err(error) => {
                let recorded = self.state().recorded.get(name).cloned();
                if let Some(recorded) = recorded.filter(|_| error.kind == FailureKind::Permanent) {
                    let (run, setting) = (self.run.clone(), target.setting());
                    let unverified = UnverifiedTarget { run, recorded, setting, error };
                    return Err(EngineError::UnverifiedTarget(Box::new(unverified)));
                }
                let unidentified = Some(error.to_string());
                return Ok(BoundTarget { target: name.to_owned(), identity: None, unidentified });
            }
        };
        let entry = self.compare(target, &identity)?;
        self.state().verified.insert(name);
        self.first_entries.extend(entry);
        Ok(BoundTarget { target: name.to_owned(), identity: Some(identity), unidentified: None })
    }

    /// Compares an identity with the recorded one. Returns the entry that records it, if it is new.
    fn compare(&self, target: &dyn Target, found: &TargetId) -> Result<Option<Entry>, Box<TargetMismatch>> {
        let mut state = self.state();
        let recorded = state.recorded.get(target.name());
        TargetMismatch::check(&self.run, target, recorded, found)?;
        let is_new = recorded.is_none_or(|recorded| recorded.id.is_none() && found.id.is_some());
        if !is_new {
            return Ok(None);
        }
        state.recorded.insert(target.name().to_owned(), found.clone());
        Ok(Some(Entry::TargetRecorded { target: target.name().to_owned(), identity: found.clone() }))
    }

    /// Entries that the run stores with its first commit.
    pub(super) fn first_entries(&self) -> &[Entry] {
        &self.first_entries
    }

    /// Event that names targets and locks, if there are any.
    pub(super) fn first_event(&self) -> Option<EventKind> {
        self.first_event.clone()
    }

    /// Checks before an attempt that its target is the recorded one. A target that is identified
    /// for the first time is recorded durably, and its locks are taken.
    ///
    /// # Errors
    /// The attempt must make no call.
    pub(super) async fn check_target(
        &self,
        cx: &ActionContext,
        target: &dyn Target,
        dispatcher: &mpsc::Sender<DispatcherMessage>,
    ) -> Result<(), ActionError> {
        if self.state().verified.contains(target.name()) {
            return Ok(());
        }
        let called = Instant::now();
        let mut failures = tokio::select! {
            failures = self.checking.lock() => failures,
            () = cx.cancellation().cancelled() => return Err(ActionError::transient("interrupted")),
        };
        if self.state().verified.contains(target.name()) {
            return Ok(());
        }
        if let Some(error) = failures.get(target.name()).and_then(|failure| failure.shared(cx, called)) {
            return Err(error);
        }
        let checked = self.check_first(cx, target, dispatcher).await;
        if let Err(error) = &checked
            && !cx.cancellation().is_cancelled()
        {
            let timed_out = cx.remaining().is_zero();
            failures.insert(target.name(), CheckFailure { at: Instant::now(), timed_out, error: error.clone() });
        }
        checked
    }

    /// Identifies a target for the first time in the run, records it and takes its locks.
    async fn check_first(
        &self,
        cx: &ActionContext,
        target: &dyn Target,
        dispatcher: &mpsc::Sender<DispatcherMessage>,
    ) -> Result<(), ActionError> {
        let found = self.targets.identify(cx, target).await?;
        let entry = self.compare(target, &found).map_err(|mismatch| {
            ActionError::permanent(mismatch.to_string()).with_code("OtherTarget").with_hint(mismatch.hint())
        })?;
        if let Some(entry) = entry {
            self.record(entry, dispatcher).await?;
        }
        self.take_untaken(target).await?;
        self.state().verified.insert(target.name());
        Ok(())
    }

    /// Stores the entry and waits until it is durable.
    async fn record(&self, entry: Entry, dispatcher: &mpsc::Sender<DispatcherMessage>) -> Result<(), ActionError> {
        let stopped = || ActionError::transient("the engine stopped before the target was recorded");
        let (reply, stored) = oneshot::channel();
        let message = DispatcherMessage::Record { run: self.run.clone(), entry, reply };
        dispatcher.send(message).await.map_err(|_| stopped())?;
        stored.await.map_err(|_| stopped())?
    }

    /// Takes the locks in a target that could not be reached before.
    async fn take_untaken(&self, target: &dyn Target) -> Result<(), ActionError> {
        let locks: Vec<_> = self.untaken().clone();
        for lock in locks.into_iter().filter(|lock| lock.service.target() == target.name()) {
            match self.locks.take(&lock).await? {
                // A server without such locks has answered: the journal's lock is all there is.
                LockAttempt::Taken | LockAttempt::Unavailable(_) => {
                    self.untaken().retain(|untaken| untaken.request.lock != lock.request.lock);
                }
                LockAttempt::Held(holder) => {
                    let holder =
                        RemoteLockHolder { lock: lock.request.lock.clone(), object: lock.object(), holder: *holder };
                    return Err(ActionError::transient(holder.to_string()).with_code("Locked"));
                }
            }
        }
        Ok(())
    }

    /// Lets the calls of the run's attempts depend on its locks, and cancels the attempts when a
    /// lock is lost.
    pub(super) fn attach(&self, lease: &Arc<RunLease>) {
        self.locks.attach(lease);
    }

    /// Reason for which a lock was lost, if one was: the run starts no attempt any more.
    pub(super) fn loss(&self) -> Option<String> {
        self.locks.loss()
    }

    /// Token that is cancelled when a lock is lost.
    pub(super) fn lost(&self) -> &CancellationToken {
        self.locks.lost()
    }

    /// Releases the locks.
    pub(super) async fn release(&self) {
        self.locks.release().await;
    }

    /// Releases the locks after the run has ended with `result`. Returns the loss of a lock instead
    /// of the interruption that it caused.
    pub(super) async fn end(&self, result: Result<RunReport, EngineError>) -> Result<RunReport, EngineError> {
        match &result {
            // The locks expire: attempts may still be ending, and another process may have
            // acquired the run with its locks.
            Err(EngineError::Fenced(_) | EngineError::Journal(_)) => {}
            _ => self.release().await,
        }
        match (self.loss(), result) {
            // The process that has acquired the run holds its locks.
            (_, fenced @ Err(EngineError::Fenced(_))) | (None, fenced) => fenced,
            (Some(reason), _) => Err(EngineError::RemoteLockLost { run: self.run.clone(), reason }),
        }
    }

    fn state(&self) -> MutexGuard<'_, BindingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn untaken(&self) -> MutexGuard<'_, Vec<RemoteLock>> {
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Describes this process with its user, such as `anna@laptop, process 4711`.
pub(super) fn described(here: &Owner) -> String {
    let user = user_name().map(|user| format!("{user}@")).unwrap_or_default();
    format!("{user}{}, process {}", here.host, here.pid)
}

/// Returns the name of the user that this process runs as, if the machine knows it.
fn user_name() -> Option<String> {
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut entries = users.lines().map(|line| line.split(':'));
    entries.find_map(|mut fields| {
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id == uid).then(|| name.to_owned())
    })
}
