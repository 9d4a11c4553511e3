use std::{fmt, time::Duration};

use stargate_sdk::RemoteLockRequest;

/// A holder of a lease, as its `holderIdentity` names it: owner, run and epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseHolder {
    /// Description of the owner; the whole text if a program other than this one wrote it.
    pub(super) owner: String,
    /// Id of the run; empty for another program.
    pub(super) run: String,
    /// Epoch of the run.
    pub(super) epoch: u64,
}

impl LeaseHolder {
    pub(super) fn of(request: &RemoteLockRequest) -> Self {
        Self { owner: request.owner.clone(), run: request.run.clone(), epoch: request.epoch }
    }

    /// Parses a `holderIdentity`.
    pub(super) fn parse(text: &str) -> Self {
        let other = || Self { owner: text.to_owned(), run: String::new(), epoch: 0 };
        let Some((rest, epoch)) = text.rsplit_once(", epoch ") else { return other() };
        let (Some((owner, run)), Ok(epoch)) = (rest.rsplit_once(", run "), epoch.parse()) else { return other() };
        Self { owner: owner.to_owned(), run: run.to_owned(), epoch }
    }
}

impl fmt::Display for LeaseHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, run {}, epoch {}", self.owner, self.run, self.epoch)
    }
}

/// Decision about a lease that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseClaim {
    /// The run holds it under this epoch.
    Own,
    /// The run may take it.
    Free,
    /// Another run holds it.
    Held,
}

/// Decides whether the run of `request` may take a lease that `holder` holds.
///
/// A hold has expired if the lease has not changed for `duration` while this process observed it,
/// for the time `unchanged`. The times in the lease are never compared with a clock: the clocks of
/// two machines can differ by more than a lease lasts. A hold under an earlier epoch of the same
/// run, or of a run that the journal shows to have ended, is void.
pub(super) fn decide(
    request: &RemoteLockRequest,
    holder: Option<&LeaseHolder>,
    unchanged: Duration,
    duration: Duration,
) -> LeaseClaim {
    let Some(holder) = holder else { return LeaseClaim::Free };
    let is_same_run = holder.run == request.run;
    if is_same_run && *holder == LeaseHolder::of(request) {
        return LeaseClaim::Own;
    }
    let is_void = (is_same_run && holder.epoch < request.epoch) || request.ended_runs.contains(&holder.run);
    if is_void || unchanged >= duration { LeaseClaim::Free } else { LeaseClaim::Held }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn request(run: &str, epoch: u64) -> RemoteLockRequest {
        RemoteLockRequest {
            lock: "cluster/a".into(),
            run: run.into(),
            epoch,
            workflow: "w".into(),
            owner: "me@here, process 1".into(),
            process: String::new(),
            ended_runs: vec!["ended".into()],
            duration: LEASE,
        }
    }

    fn holder(owner: &str, run: &str, epoch: u64) -> LeaseHolder {
        LeaseHolder { owner: owner.into(), run: run.into(), epoch }
    }

    fn claim(holder: &LeaseHolder, unchanged: Duration) -> LeaseClaim {
        decide(&request("r", 2), Some(holder), unchanged, LEASE)
    }

    #[test]
    fn a_lease_of_another_run_is_free_once_it_has_not_changed_for_its_duration() {
        let other = holder("you@there, process 1", "other", 9);
        assert_eq!(claim(&other, Duration::ZERO), LeaseClaim::Held);
        assert_eq!(claim(&other, LEASE.saturating_sub(Duration::from_millis(1))), LeaseClaim::Held);
        assert_eq!(claim(&other, LEASE), LeaseClaim::Free);
        assert_eq!(decide(&request("r", 2), None, Duration::ZERO, LEASE), LeaseClaim::Free);
    }

    #[test]
    fn a_later_epoch_of_the_same_run_takes_its_lease_at_once() {
        assert_eq!(claim(&holder("you@there, process 1", "r", 1), Duration::ZERO), LeaseClaim::Free);
        assert_eq!(claim(&holder("me@here, process 1", "r", 2), Duration::ZERO), LeaseClaim::Own);
        // Two processes resume the run at the same time, or the journal is a copy.
        assert_eq!(claim(&holder("me@here, process 2", "r", 2), Duration::ZERO), LeaseClaim::Held);
        assert_eq!(claim(&holder("me@here, process 1", "r", 3), Duration::ZERO), LeaseClaim::Held);
    }

    #[test]
    fn the_lease_of_a_run_that_the_journal_shows_as_ended_is_free() {
        assert_eq!(claim(&holder("you@there, process 1", "ended", 7), Duration::ZERO), LeaseClaim::Free);
    }

    #[test]
    fn a_holder_is_read_as_it_was_written() {
        let written = holder("a, run b@c, process 1", "01K", 12);
        assert_eq!(LeaseHolder::parse(&written.to_string()), written);
        let foreign = LeaseHolder::parse("controller-7f_1234");
        assert_eq!(foreign, holder("controller-7f_1234", "", 0));
        assert_eq!(claim(&foreign, Duration::ZERO), LeaseClaim::Held);
    }
}
