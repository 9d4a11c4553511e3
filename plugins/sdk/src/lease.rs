use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Point in time of `CLOCK_BOOTTIME`, which also counts while the machine is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(Duration);

impl BootTime {
    const MAX: Self = Self(Duration::MAX);

    /// The current time.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        Self(Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default()))
    }

    /// The time `duration` later, or the maximum if that is out of range.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// The duration since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Another process may have acquired the run: this one must change nothing for it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another process has acquired the run")]
pub struct LeaseLost;

#[derive(Debug, Clone, Copy)]
enum LeaseState {
    /// Calls may be sent until then.
    Until(BootTime),
    /// The run has another owner.
    Lost,
}

/// Lease of a run, as the engine that renews it and the attempts of the run see it.
///
/// A process can be stopped or suspended at any instant, and another one may have acquired the run
/// when it continues. The journal refuses what such a process appends; the lease stops its calls to
/// external systems.
#[derive(Debug)]
pub struct RunLease {
    state: watch::Sender<LeaseState>,
    /// Notified by an attempt that needs a renewal now.
    requests: Arc<Notify>,
    lost: CancellationToken,
    /// Leases that have to be in force as well.
    dependencies: Mutex<Vec<Arc<Self>>>,
}

impl RunLease {
    /// A lease during which calls may be sent until `until`. `requests` is notified when an attempt
    /// needs a renewal.
    pub fn new(until: BootTime, requests: Arc<Notify>) -> Self {
        Self {
            state: watch::Sender::new(LeaseState::Until(until)),
            requests,
            lost: CancellationToken::new(),
            dependencies: Mutex::default(),
        }
    }

    /// A lease that does not expire, for calls outside of a run.
    pub fn unlimited() -> Self {
        Self::new(BootTime::MAX, Arc::default())
    }

    /// Extends the lease to `until`. Has no effect on a lease that is lost.
    pub fn extend(&self, until: BootTime) {
        self.state.send_if_modified(|state| match state {
            LeaseState::Until(end) => {
                *end = until.max(*end);
                true
            }
            LeaseState::Lost => false,
        });
    }

    /// Ends the lease permanently and cancels [`Self::lost`].
    pub fn lose(&self) {
        self.state.send_replace(LeaseState::Lost);
        self.lost.cancel();
    }

    /// Token that is cancelled when the lease is lost.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Lets calls wait for `other` as well: the lease of a lock that the run holds elsewhere.
    pub fn depend_on(&self, other: Arc<Self>) {
        self.dependencies.lock().unwrap_or_else(PoisonError::into_inner).push(other);
    }

    fn dependencies(&self) -> Vec<Arc<Self>> {
        self.dependencies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True if a call that changes something may be sent now.
    pub fn is_in_force(&self) -> bool {
        self.is_itself_in_force() && self.dependencies().iter().all(|other| other.is_itself_in_force())
    }

    fn is_itself_in_force(&self) -> bool {
        matches!(*self.state.borrow(), LeaseState::Until(end) if BootTime::now() < end)
    }

    /// Returns as soon as the lease is in force, with those that it depends on. If it has expired,
    /// requests a renewal and waits for it.
    ///
    /// # Errors
    /// [`LeaseLost`].
    pub async fn in_force(&self) -> Result<(), LeaseLost> {
        loop {
            self.itself_in_force().await?;
            for other in self.dependencies() {
                other.itself_in_force().await?;
            }
            if self.is_in_force() {
                return Ok(());
            }
        }
    }

    async fn itself_in_force(&self) -> Result<(), LeaseLost> {
        let mut changes = self.state.subscribe();
        loop {
            match *changes.borrow_and_update() {
                LeaseState::Lost => return Err(LeaseLost),
                LeaseState::Until(end) if BootTime::now() < end => return Ok(()),
                LeaseState::Until(_) => self.requests.notify_one(),
            }
            changes.changed().await.map_err(|_| LeaseLost)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn expired(requests: &Arc<Notify>) -> RunLease {
        RunLease::new(BootTime::now(), Arc::clone(requests))
    }

    #[test]
    fn a_lease_in_force_needs_no_renewal() {
        let requests = Arc::new(Notify::new());
        let lease = RunLease::new(BootTime::now().plus(Duration::from_hours(1)), Arc::clone(&requests));
        assert_eq!(lease.in_force().now_or_never(), Some(Ok(())));
        assert_eq!(requests.notified().now_or_never(), None);
        assert!(RunLease::unlimited().is_in_force());
    }

    #[tokio::test]
    async fn an_expired_lease_is_renewed_first() {
        let requests = Arc::new(Notify::new());
        let lease = expired(&requests);
        assert!(!lease.is_in_force());
        let renew = async {
            requests.notified().await;
            lease.extend(BootTime::now().plus(Duration::from_hours(1)));
        };
        assert_eq!(tokio::join!(lease.in_force(), renew).0, Ok(()));
    }

    #[tokio::test]
    async fn a_lease_is_in_force_only_with_those_that_it_depends_on() {
        let requests = Arc::new(Notify::new());
        let (lease, other) = (RunLease::unlimited(), Arc::new(expired(&requests)));
        lease.depend_on(Arc::clone(&other));
        assert!(!lease.is_in_force());
        let renew = async {
            requests.notified().await;
            other.extend(BootTime::now().plus(Duration::from_hours(1)));
        };
        assert_eq!(tokio::join!(lease.in_force(), renew).0, Ok(()));
        other.lose();
        assert_eq!(lease.in_force().await, Err(LeaseLost));
    }

    #[tokio::test]
    async fn a_lost_lease_is_never_in_force_again() {
        let requests = Arc::new(Notify::new());
        let lease = expired(&requests);
        let lose = async {
            requests.notified().await;
            lease.lose();
        };
        assert_eq!(tokio::join!(lease.in_force(), lose).0, Err(LeaseLost));
        lease.extend(BootTime::now().plus(Duration::from_hours(1)));
        assert!(!lease.is_in_force() && lease.lost().is_cancelled());
    }
}
