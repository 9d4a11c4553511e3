//! Locks of a live run in external systems: taken before it starts, renewed, released at its end.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stargate_sdk::{
    ActionContext, ActionError, BootTime, FailureKind, LockAttempt, LockService, RemoteHolder, RemoteLockRequest,
    RunLease, Secrets,
};
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

/// Number of renewals in the duration of a lock, so that one failed renewal does not end it.
const RENEWALS: u32 = 3;
/// Number of further tries between two renewals, after one has failed.
const RETRIES: u32 = 5;
/// Part of a lock's duration, as a divisor, in which no call is sent any more: it has to arrive
/// before the lock expires.
const MARGIN: u32 = 10;
/// Maximum time to take, renew or release one lock.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of requests to take a lock that fail for a transient reason.
const MAX_TRIES: u32 = 5;

/// A lock in an external system that a run holds, or has to hold.
#[derive(Clone)]
pub(super) struct RemoteLock {
    pub(super) service: Arc<dyn LockService>,
    pub(super) request: RemoteLockRequest,
}

impl RemoteLock {
    /// Object in the external system that is the lock.
    pub(super) fn object(&self) -> String {
        self.service.object(&self.request.lock)
    }

    /// Takes the lock; repeats a request that fails for a transient reason.
    async fn take(&self, cx: &ActionContext) -> Result<LockAttempt, ActionError> {
        let mut delay = Duration::from_millis(200);
        for _ in 1..MAX_TRIES {
            match bounded(self.service.take(cx, &self.request)).await {
                Err(error) if error.kind != FailureKind::Permanent => tokio::time::sleep(delay).await,
                other => return other,
            }
            delay *= 2;
        }
        bounded(self.service.take(cx, &self.request)).await
    }

    async fn release(&self, cx: &ActionContext) {
        if let Err(error) = bounded(self.service.release(cx, &self.request)).await {
            tracing::warn!(%error, lock = self.request.lock, "cannot release the lock: it expires");
        }
    }
}

/// Limits one call to [`CALL_TIMEOUT`].
async fn bounded<T>(call: impl Future<Output = Result<T, ActionError>>) -> Result<T, ActionError> {
    let late = || ActionError::unknown(format!("no answer within {} s", CALL_TIMEOUT.as_secs()));
    timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| Err(late()))
}

/// Locks that a live run holds in external systems.
///
/// A task of its own renews them; it ends when this is dropped, and then the locks expire.
pub(super) struct RemoteLocks {
    shared: Arc<SharedLocks>,
    stop: CancellationToken,
}

struct SharedLocks {
    secrets: Arc<Secrets>,
    /// Time for which a lock is held without renewal.
    duration: Duration,
    held: Mutex<Vec<HeldRemoteLock>>,
    /// Lease of the run, once its attempts can start.
    run: Mutex<Option<Arc<RunLease>>>,
    /// Notified when an attempt needs a renewal now.
    requests: Arc<Notify>,
    /// Cancelled when a lock is lost.
    lost: CancellationToken,
    /// Reason for the loss.
    reason: Mutex<Option<String>>,
}

struct HeldRemoteLock {
    lock: RemoteLock,
    /// Start of the last renewal that succeeded.
    renewed: BootTime,
    /// Lease that the run's attempts depend on.
    lease: Arc<RunLease>,
}

impl Drop for RemoteLocks {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl RemoteLocks {
    /// Returns no locks yet. Each is held for `duration` without renewal.
    pub(super) fn new(secrets: Arc<Secrets>, duration: Duration) -> Self {
        let shared = SharedLocks {
            secrets,
            duration,
            held: Mutex::default(),
            run: Mutex::default(),
            requests: Arc::default(),
            lost: CancellationToken::new(),
            reason: Mutex::default(),
        };
        Self { shared: Arc::new(shared), stop: CancellationToken::new() }
    }

    /// Takes a lock and renews it from then on.
    ///
    /// # Errors
    /// Those of [`LockService::take`], after some repetitions.
    pub(super) async fn take(&self, lock: &RemoteLock) -> Result<LockAttempt, ActionError> {
        let started = BootTime::now();
        let attempt = lock.take(&self.shared.context()).await?;
        if attempt == LockAttempt::Taken {
            self.insert(lock.clone(), started);
        }
        Ok(attempt)
    }

    fn insert(&self, lock: RemoteLock, renewed: BootTime) {
        let requests = Arc::clone(&self.shared.requests);
        let lease = Arc::new(RunLease::new(self.shared.calls_until(renewed), requests));
        if let Some(run) = &*self.shared.run() {
            run.depend_on(Arc::clone(&lease));
        }
        let is_first = {
            let mut all = self.shared.held();
            all.push(HeldRemoteLock { lock, renewed, lease });
            all.len() == 1
        };
        if is_first {
            let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
            tokio::spawn(async move { stop.run_until_cancelled(shared.keep()).await });
        }
    }

    /// Lets the calls of the run depend on the locks.
    pub(super) fn attach(&self, run: &Arc<RunLease>) {
        self.shared.held().iter().for_each(|held| run.depend_on(Arc::clone(&held.lease)));
        *self.shared.run() = Some(Arc::clone(run));
        if self.shared.lost.is_cancelled() {
            run.lose();
        }
    }

    /// Token that is cancelled when a lock is lost.
    pub(super) fn lost(&self) -> &CancellationToken {
        &self.shared.lost
    }

    /// Reason for which a lock was lost, if one was.
    pub(super) fn loss(&self) -> Option<String> {
        self.shared.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops renewing and releases all locks.
    pub(super) async fn release(&self) {
        self.stop.cancel();
        let held: Vec<_> = self.shared.held().drain(..).collect();
        let cx = self.shared.context();
        futures::future::join_all(held.iter().map(|held| held.lock.release(&cx))).await;
    }
}

impl SharedLocks {
    fn held(&self) -> MutexGuard<'_, Vec<HeldRemoteLock>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn context(&self) -> ActionContext {
        ActionContext::detached("locks", Arc::clone(&self.secrets))
    }

    fn run(&self) -> MutexGuard<'_, Option<Arc<RunLease>>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time after which the owner sends no calls, as a time that counts suspension.
    fn calls_until(&self, renewed: BootTime) -> BootTime {
        renewed.plus(self.duration.saturating_sub(self.duration / MARGIN))
    }

    /// Renews the locks until one is lost.
    async fn keep(&self) {
        let (period, retry_period) = (self.duration / RENEWALS, self.duration / RENEWALS / RETRIES);
        let mut delay = period;
        loop {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.requests.notified() => {}
            }
            let locks: Vec<_> = self.held().iter().map(|held| held.lock.clone()).collect();
            match futures::future::try_join_all(locks.iter().map(|lock| self.renew(lock))).await {
                Ok(renewed) if renewed.iter().all(|renewed| *renewed) => delay = period,
                Ok(_) => delay = retry_period,
                Err(reason) => return self.lose(reason),
            }
        }
    }

    /// Renews a lock. Returns false if that failed and there is time for another try.
    ///
    /// # Errors
    /// The reason for which the lock is lost.
    async fn renew(&self, lock: &RemoteLock) -> Result<bool, String> {
        let started = BootTime::now();
        let name = &lock.request.lock;
        match bounded(lock.service.renew(&self.context(), &lock.request)).await {
            Ok(LockAttempt::Taken) => {
                self.set_renewed(name, started);
                return Ok(true);
            }
            Ok(LockAttempt::Held(holder)) => return Err(taken_by(lock, &holder)),
            Ok(LockAttempt::Unavailable(reason)) => tracing::warn!(reason, lock = name, "cannot renew the lock"),
            Err(error) => tracing::warn!(%error, lock = name, "cannot renew the lock"),
        }
        if self.is_overdue(name) {
            let seconds = self.renewal_deadline().as_secs();
            return Err(format!("lock {name:?} ({}) could not be renewed for {seconds} s", lock.object()));
        }
        Ok(false)
    }

    /// Time after the last renewal at which the run stops: its attempts need the rest of the lock's
    /// duration to end.
    fn renewal_deadline(&self) -> Duration {
        self.duration * 2 / RENEWALS
    }

    fn set_renewed(&self, name: &str, at: BootTime) {
        for held in self.held().iter_mut().filter(|held| held.lock.request.lock == name) {
            held.renewed = at;
            held.lease.extend(self.calls_until(at));
        }
    }

    fn is_overdue(&self, name: &str) -> bool {
        let overdue = |held: &HeldRemoteLock| BootTime::now() >= held.renewed.plus(self.renewal_deadline());
        self.held().iter().filter(|held| held.lock.request.lock == name).any(overdue)
    }

    /// Stops the run's attempts.
    fn lose(&self, reason: String) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        if let Some(run) = &*self.run() {
            run.lose();
        }
        self.lost.cancel();
    }
}

fn taken_by(lock: &RemoteLock, holder: &RemoteHolder) -> String {
    let RemoteHolder { run, owner, .. } = holder;
    let of = if run.is_empty() { String::new() } else { format!("run {run} of ") };
    format!("lock {:?} ({}) was taken over by {of}{owner}", lock.request.lock, lock.object())
}
