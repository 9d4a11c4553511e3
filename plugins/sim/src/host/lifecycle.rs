use std::collections::BTreeMap;

use jiff::Timestamp;

use super::state::{CloudInit, KubeletProcess, Machine, Phase, Ruleset, Tailscaled};
use super::{image, sysctl};
use crate::event;

impl Machine {
    /// Returns a machine before its first boot, with the disk of the image.
    pub fn new(spec: event::MachineSpec) -> Self {
        let (files, packages) = image::disk(&spec.name);
        Self {
            hostname: spec.name.clone(),
            spec,
            port: 0,
            boots: 0,
            phase: Phase::Booting,
            booted: Timestamp::now(),
            files,
            sysctls: BTreeMap::new(),
            ruleset: Ruleset::default(),
            kernel_routes: Vec::new(),
            addresses: BTreeMap::new(),
            applied: BTreeMap::new(),
            units: BTreeMap::new(),
            loaded: BTreeMap::new(),
            packages,
            tailscaled: Tailscaled::default(),
            cloud_init: CloudInit::default(),
            last_pid: 400,
            kubelet: KubeletProcess::default(),
        }
    }

    /// Discards all state that a reboot discards, and starts another boot.
    ///
    /// Programs of the earlier boot end with `Halted`.
    pub fn reset(&mut self) {
        self.kubelet.said.clear();
        self.boots += 1;
        self.phase = Phase::Booting;
        self.booted = Timestamp::now();
        self.files.nodes.retain(|path, _| !["/run/", "/tmp/"].iter().any(|volatile| path.starts_with(volatile)));
        image::write_resolver_files(&mut self.files);
        self.sysctls = sysctl::defaults();
        self.ruleset = Ruleset::default();
        self.tailscaled.rules = None;
        self.kernel_routes.clear();
        self.addresses.clear();
        self.applied.clear();
        self.units.clear();
        self.loaded.clear();
        self.last_pid = 400;
    }
}
