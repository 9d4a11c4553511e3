use std::time::{Duration, Instant};

use super::UNIT;
use crate::host::Machine;
use crate::host::machine::Phase;

/// A kubelet that has nothing more to do looks around as often as this: twice in the time after which it renews its lease.
const SETTLED: Duration = Duration::from_secs(5);
/// One that waits, or that systemd starts again, does so as often as this.
const WAITING: Duration = Duration::from_secs(1);

/// What a kubelet has seen when it last looked around. Looking takes the reading of several files and certificates, so it
/// is done only when something has changed or enough time has gone by.
#[derive(Debug)]
pub(in crate::host) struct Looked {
    at: Instant,
    touched: u64,
    revision: u64,
    boots: u64,
    phase: Phase,
    settled: bool,
    /// Whether it did something when it looked, which may let it do more: it looks again at once.
    busy: bool,
}

impl Looked {
    /// What is so after a look.
    pub(super) fn now(machine: &Machine, touched: u64, revision: u64, busy: bool) -> Self {
        let settled = machine.kubelet.node.is_some() && machine.kubelet.said.ends_with("ready: true");
        Self { at: Instant::now(), touched, revision, boots: machine.boots, phase: machine.phase, settled, busy }
    }

    /// Whether there may be something to do. Of a settled kubelet the cluster's revision says nothing, because the leases
    /// of all the others change it; that its node is gone does.
    pub(super) fn is_stale(&self, machine: &Machine, touched: u64, revision: u64, has_node: bool) -> bool {
        let changed = self.touched != touched || self.boots != machine.boots || self.phase != machine.phase;
        let heard = if self.settled { !has_node } else { self.revision != revision };
        changed || heard || self.busy || self.is_due()
    }

    /// Whether enough time has gone by.
    pub(super) fn is_due(&self) -> bool {
        self.at.elapsed() >= if self.settled { SETTLED } else { WAITING }
    }
}

/// Whether a machine has, or had, a kubelet at all.
pub(super) fn concerns(machine: &Machine) -> bool {
    machine.units.contains_key(UNIT) || machine.kubelet.node.is_some()
}
