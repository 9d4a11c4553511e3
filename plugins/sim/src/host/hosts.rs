use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::kubelet::Looked;
use super::machine::Machine;
use crate::World;

/// Every simulated machine.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hosts {
    /// By the name of the virtual machine.
    pub machines: BTreeMap<String, Machine>,
    /// Disks of the containers that programs were run in, by pod and container.
    pub(super) containers: BTreeMap<String, Machine>,
    /// The latest event that has been made real.
    pub seen: u64,
    /// The nodes that kubelets of the machines have registered.
    pub nodes: BTreeSet<String>,
    /// How often a command has changed what, by machine: `file`, `sysctl`, `route`, `package`, `unit`, `tailscale`, …
    pub writes: BTreeMap<String, BTreeMap<String, u64>>,
    /// How often a program has had its hands on a machine, by machine.
    #[serde(skip)]
    pub(super) touched: BTreeMap<String, u64>,
    /// What the kubelets have seen when they last looked around, by machine.
    #[serde(skip)]
    pub(super) looked: BTreeMap<String, Looked>,
}

impl Hosts {
    /// The machine or the container of this key, for a program that has its hands on it.
    pub(super) fn reach(&mut self, key: &str) -> Option<&mut Machine> {
        if self.containers.contains_key(key) {
            return self.containers.get_mut(key);
        }
        *self.touched.entry(key.to_owned()).or_default() += 1;
        self.machines.get_mut(key)
    }

    /// The address of a container; `None` for a machine.
    pub(super) fn address_of(&self, key: &str) -> Option<Ipv4Addr> {
        self.containers.get(key)?.spec.nics.first()?.private_ip.parse().ok()
    }

    /// Counts a change of a machine by a command, here and among the world's traffic.
    pub fn count_write(world: &mut World, host: &str, what: &str) {
        let counters = world.hosts.writes.entry(host.to_owned()).or_default();
        *counters.entry(what.to_owned()).or_default() += 1;
        world.traffic.record_host_write(host, what);
    }

    /// How many changes there were in all.
    pub fn written(&self) -> u64 {
        self.writes.values().flat_map(BTreeMap::values).sum()
    }
}
