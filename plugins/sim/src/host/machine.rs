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

    /// Reads a file, including the supported ones in `/proc` and `/sys`.
    ///
    /// Permissions are checked for files on the disk only.
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

    /// Writes a file.
    ///
    /// Root changes a kernel setting through its file in `/proc/sys`.
    ///
    /// Fails with `ENOENT` for an unknown setting and with `EACCES` for other users.
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
        // Opening a file for writing arrives here as an empty write.
        let known = if value.is_empty() { self.sysctls.contains_key(&key) } else { self.set_sysctl(&key, &value) };
        if known { Ok(()) } else { Err(Errno::Missing) }
    }

    /// Returns the time since the start of the boot, in seconds.
    pub fn uptime(&self) -> f64 {
        Timestamp::now().duration_since(self.booted).as_secs_f64()
    }

    /// Reads a kernel setting as the content of its file.
    fn read_setting(&self, key: &str) -> Result<Vec<u8>, Errno> {
        let value = match key {
            "kernel/random/boot_id" => self.boot_id(),
            "kernel/hostname" => self.hostname.clone(),
            key => self.sysctls.get(&key.replace('/', ".")).cloned().ok_or(Errno::Missing)?,
        };
        Ok(format!("{value}\n").into_bytes())
    }

    /// Returns the hardware address of an interface, as Linux writes it.
    fn mac(&self, interface: &str) -> Option<String> {
        let index: usize = interface.strip_prefix("eth")?.parse().ok()?;
        self.spec.nics.get(index).map(super::network::linux_mac)
    }
}

/// Returns the hexadecimal character of a digit from 0 to 15.
fn hexadecimal(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).expect("it is below 16")
}
