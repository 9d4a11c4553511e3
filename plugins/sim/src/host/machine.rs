use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::cloud_init::CloudInit;
use super::files::{Actor, Errno, Files};
use super::kubelet::KubeletProcess;
use super::network::KernelRoute;
use super::nft::Ruleset;
use super::prefs::Tailscaled;
use super::units::UnitState;
use super::{image, sysctl};
use crate::event;

/// How far a machine's boot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The kernel and the first units start: nothing answers.
    Booting,
    /// sshd answers.
    Listening,
    /// Everything that starts at boot has started.
    Up,
}

/// A simulated machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// What it was created from, its NICs as they are now.
    pub spec: event::Machine,
    /// Port on loopback where its sshd answers; 0 before it first did.
    pub port: u16,
    /// How often it has booted. Programs of an earlier boot are gone.
    pub boots: u64,
    /// How far this boot is.
    pub phase: Phase,
    /// When this boot began.
    pub booted: Timestamp,
    /// The kernel's host name.
    pub hostname: String,
    /// The disk, with `/run` and `/tmp`, which do not survive a reboot.
    pub files: Files,
    /// The kernel's settings, in force now.
    pub sysctls: BTreeMap<String, String>,
    /// nftables' tables in force.
    #[serde(default)]
    pub ruleset: Ruleset,
    /// The routes that were made, without those that follow from addresses and from tailscaled.
    pub kernel_routes: Vec<KernelRoute>,
    /// Addresses in force, by interface.
    pub addresses: BTreeMap<String, Vec<Ipv4Net>>,
    /// networkd's configuration in force, by interface, to tell whether it has changed.
    pub applied: BTreeMap<String, String>,
    /// Units that have run in this boot.
    pub units: BTreeMap<String, UnitState>,
    /// Digest of the text that systemd has read, by unit that it has loaded.
    #[serde(default)]
    pub loaded: BTreeMap<String, String>,
    /// Installed packages and their versions.
    pub packages: BTreeMap<String, String>,
    /// tailscaled's state, on the disk.
    pub tailscaled: Tailscaled,
    /// What cloud-init has done.
    pub cloud_init: CloudInit,
    /// The latest process id.
    pub last_pid: u32,
    /// The kubelet, if it has ever run.
    #[serde(default)]
    pub kubelet: KubeletProcess,
}

impl Machine {
    /// A machine that has not booted yet, its disk as the image has it.
    pub fn new(spec: event::Machine) -> Self {
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

    /// Loses everything that does not survive a reboot, and begins another boot.
    pub fn reset(&mut self) {
        self.kubelet.said.clear();
        self.boots += 1;
        self.phase = Phase::Booting;
        self.booted = Timestamp::now();
        self.files.nodes.retain(|path, _| !["/run/", "/tmp/"].iter().any(|volatile| path.starts_with(volatile)));
        self.sysctls = sysctl::defaults();
        self.ruleset = Ruleset::default();
        self.kernel_routes.clear();
        self.addresses.clear();
        self.applied.clear();
        self.units.clear();
        self.loaded.clear();
        self.last_pid = 400;
    }

    /// What is in /etc/machine-id: made when the machine first booted.
    pub fn machine_id(&self) -> String {
        let hash = Sha256::digest(&self.spec.id);
        hash.iter().take(16).flat_map(|byte| [byte >> 4, byte & 15]).map(hexadecimal).collect()
    }

    /// The kernel's id of this boot.
    pub fn boot_id(&self) -> String {
        let hash = Sha256::digest(format!("{} {} {}", self.spec.id, self.boots, self.booted));
        let hex: String = hash.iter().take(16).flat_map(|byte| [byte >> 4, byte & 15]).map(hexadecimal).collect();
        format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
    }

    /// Reads a file, or what the kernel shows as one.
    pub fn read_file(&self, actor: &Actor, path: &str) -> Result<Vec<u8>, Errno> {
        if let Some(key) = path.strip_prefix("/proc/sys/") {
            return self.read_setting(key);
        }
        let text = match path {
            "/dev/null" => String::new(),
            "/etc/machine-id" => format!("{}\n", self.machine_id()),
            "/proc/uptime" => format!("{:.2} 0.00\n", self.uptime()),
            "/proc/version" => "Linux version 6.12.48+deb13-cloud-amd64 (debian-kernel@lists.debian.org)\n".to_owned(),
            "/proc/mounts" => "/dev/sda1 / ext4 rw,relatime 0 0\n".to_owned(),
            "/proc/meminfo" => {
                "MemTotal:        8129616 kB\nMemFree:         7012345 kB\nMemAvailable:    7512345 kB\n".to_owned()
            }
            "/proc/swaps" => "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_owned(),
            path => {
                let interface = path.strip_prefix("/sys/class/net/").and_then(|rest| rest.strip_suffix("/address"));
                match interface.and_then(|interface| self.mac(interface)) {
                    Some(mac) => format!("{mac}\n"),
                    None => return self.files.read(actor, path),
                }
            }
        };
        Ok(text.into_bytes())
    }

    /// Writes a file, or through what the kernel shows as one.
    pub fn write_file(
        &mut self,
        actor: &Actor,
        path: &str,
        bytes: &[u8],
        append: bool,
        mode: u32,
    ) -> Result<(), Errno> {
        if path == "/dev/null" {
            return Ok(());
        }
        let Some(key) = path.strip_prefix("/proc/sys/") else {
            return self.files.write(actor, path, bytes, append, mode);
        };
        if !actor.is_root() {
            return Err(Errno::Access);
        }
        let key = key.replace('/', ".");
        let value = String::from_utf8_lossy(bytes).trim().to_owned();
        // An empty write is the opening of the file.
        let known = if value.is_empty() { self.sysctls.contains_key(&key) } else { self.set_sysctl(&key, &value) };
        if known { Ok(()) } else { Err(Errno::Missing) }
    }

    /// Seconds since the machine began to boot.
    pub fn uptime(&self) -> f64 {
        Timestamp::now().duration_since(self.booted).as_secs_f64()
    }

    fn read_setting(&self, key: &str) -> Result<Vec<u8>, Errno> {
        let value = match key {
            "kernel/random/boot_id" => self.boot_id(),
            "kernel/hostname" => self.hostname.clone(),
            key => self.sysctls.get(&key.replace('/', ".")).cloned().ok_or(Errno::Missing)?,
        };
        Ok(format!("{value}\n").into_bytes())
    }

    fn mac(&self, interface: &str) -> Option<String> {
        let index: usize = interface.strip_prefix("eth")?.parse().ok()?;
        self.spec.nics.get(index).map(super::network::linux_mac)
    }
}

fn hexadecimal(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).expect("it is below 16")
}
