use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::kubelet::KubeletCheck;
use super::state::Machine;

/// State of all simulated machines.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hosts {
    /// Machines by the name of their virtual machine.
    pub machines: BTreeMap<String, Machine>,
    /// Disks of the containers in which programs were executed, by pod and container.
    pub(super) containers: BTreeMap<String, Machine>,
    /// Sequence number of the latest event of the world that was applied to the machines.
    pub seen: u64,
    /// Names of the nodes that the machines' kubelets have registered.
    pub nodes: BTreeSet<String>,
    /// Number of changes by commands, by machine and then by object: `file`, `sysctl`, `route`,
    /// `package`, `unit`, `tailscale`, …
    ///
    /// Tests use it to check that an unchanged resource is not written again.
    pub writes: BTreeMap<String, BTreeMap<String, u64>>,
    /// Number of times that a program accessed a machine, by machine.
    #[serde(skip)]
    pub(super) touched: BTreeMap<String, u64>,
    /// Result of each kubelet's last check of its machine, by machine.
    #[serde(skip)]
    pub(super) kubelet_checks: BTreeMap<String, KubeletCheck>,
}

impl Hosts {
    /// Returns the machine or container with this key, for a program that may change it.
    ///
    /// Counts the access to a machine, so that its kubelet checks the machine again.
    pub(super) fn reach(&mut self, key: &str) -> Option<&mut Machine> {
        if self.containers.contains_key(key) {
            return self.containers.get_mut(key);
        }
        *self.touched.entry(key.to_owned()).or_default() += 1;
        self.machines.get_mut(key)
    }

    /// Returns the address of a container, or `None` for a machine.
    pub(super) fn address_of(&self, key: &str) -> Option<Ipv4Addr> {
        self.containers.get(key)?.spec.nics.first()?.private_ip.parse().ok()
    }

    /// Returns the total number of changes by commands.
    pub fn written(&self) -> u64 {
        self.writes.values().flat_map(BTreeMap::values).sum()
    }
}
