use std::time::{Duration, Instant};

use super::UNIT;
use crate::host::state::{Machine, Phase};

/// Interval between checks of a kubelet that has no work left.
///
/// It is half the interval at which a kubelet renews its lease.
const SETTLED: Duration = Duration::from_secs(5);
/// Interval between checks of a kubelet that waits or that systemd starts again.
const WAITING: Duration = Duration::from_secs(1);

/// Result of a kubelet's last check of its machine.
///
/// A check reads several files and certificates. It is repeated only after a change or when its
/// interval has expired.
#[derive(Debug)]
pub(in crate::host) struct KubeletCheck {
    at: Instant,
    touched: u64,
    revision: u64,
    boots: u64,
    phase: Phase,
    settled: bool,
    /// True if the check changed something.
    ///
    /// More work may follow from it, so the next check is immediate.
    busy: bool,
}

impl KubeletCheck {
    /// Records a check that has just finished.
    pub(super) fn now(machine: &Machine, touched: u64, revision: u64, busy: bool) -> Self {
        let settled = machine.kubelet.node.is_some() && machine.kubelet.said.ends_with("ready: true");
        Self { at: Instant::now(), touched, revision, boots: machine.boots, phase: machine.phase, settled, busy }
    }

    /// Returns true if the kubelet may have work.
    ///
    /// A settled kubelet ignores the cluster's revision, because the leases of all other nodes
    /// change it. It does notice that its node is missing.
    pub(super) fn is_stale(&self, machine: &Machine, touched: u64, revision: u64, has_node: bool) -> bool {
        let changed = self.touched != touched || self.boots != machine.boots || self.phase != machine.phase;
        let heard = if self.settled { !has_node } else { self.revision != revision };
        changed || heard || self.busy || self.is_due()
    }

    /// Returns true if the interval since the last check has expired.
    pub(super) fn is_due(&self) -> bool {
        self.at.elapsed() >= if self.settled { SETTLED } else { WAITING }
    }
}

/// Returns true if the machine has, or had, a kubelet.
pub(super) fn concerns(machine: &Machine) -> bool {
    machine.units.contains_key(UNIT) || machine.kubelet.node.is_some()
}
