use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::cloud_init::CloudInit;
use super::files::Files;
use super::kernel_route::KernelRoute;
use super::kubelet_process::KubeletProcess;
use super::nft::Ruleset;
use super::tailscaled::Tailscaled;
use super::unit::UnitState;
use crate::event;

/// Progress of a machine's boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The kernel and the first units start; no port answers.
    Booting,
    /// The port of sshd answers.
    Listening,
    /// Every unit that starts at boot has started.
    Up,
}

/// Simulated virtual machine with Debian 13.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Properties from the machine's creation, with its NICs in their current state.
    pub spec: event::MachineSpec,
    /// Port on loopback on which its sshd answers; 0 before the first boot.
    pub port: u16,
    /// Number of boots. A program stops as soon as its boot is not the current one.
    pub boots: u64,
    /// Progress of the current boot.
    pub phase: Phase,
    /// Start of the current boot.
    pub booted: Timestamp,
    /// Current host name of the kernel.
    pub hostname: String,
    /// Files on the disk, including `/run` and `/tmp`, which are cleared by a reboot.
    pub files: Files,
    /// Kernel settings (`sysctl`) in force, by their name with dots.
    pub sysctls: BTreeMap<String, String>,
    /// Ruleset of nftables in force.
    #[serde(default)]
    pub ruleset: Ruleset,
    /// Routes that programs have added.
    ///
    /// Local routes and the routes of tailscaled are computed and not stored here.
    pub kernel_routes: Vec<KernelRoute>,
    /// IPv4 addresses in force, by interface.
    pub addresses: BTreeMap<String, Vec<Ipv4Net>>,
    /// Configuration of networkd in force, by interface, which shows if the files have changed
    /// since.
    pub applied: BTreeMap<String, String>,
    /// State of the units that have run in this boot.
    pub units: BTreeMap<String, UnitState>,
    /// SHA-256 digest of the text that systemd has read, by loaded unit.
    #[serde(default)]
    pub loaded: BTreeMap<String, String>,
    /// Versions of the installed packages by name.
    pub packages: BTreeMap<String, String>,
    /// State of tailscaled that survives a reboot.
    pub tailscaled: Tailscaled,
    /// State of cloud-init on this machine.
    pub cloud_init: CloudInit,
    /// Process id that was assigned last.
    pub last_pid: u32,
    /// State of the kubelet; the default if it has never run.
    #[serde(default)]
    pub kubelet: KubeletProcess,
}

impl Machine {
    /// Returns the content of `/etc/machine-id`: 32 hexadecimal digits, derived from the machine's
    /// id.
    pub fn machine_id(&self) -> String {
        let hash = Sha256::digest(&self.spec.id);
        hash.iter().take(16).flat_map(|byte| [byte >> 4, byte & 15]).map(hexadecimal).collect()
    }

    /// Returns the kernel's identifier of the current boot, in the form of a random UUID.
    ///
    /// It is derived from the machine, the number of the boot and its start.
    pub fn boot_id(&self) -> String {
        let hash = Sha256::digest(format!("{} {} {}", self.spec.id, self.boots, self.booted));
        let hex: String = hash.iter().take(16).flat_map(|byte| [byte >> 4, byte & 15]).map(hexadecimal).collect();
        format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
    }

    /// Returns the time since the start of the boot, in seconds.
    pub fn uptime(&self) -> f64 {
        Timestamp::now().duration_since(self.booted).as_secs_f64()
    }
}

/// Returns the hexadecimal character of a digit from 0 to 15.
fn hexadecimal(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).expect("it is below 16")
}
