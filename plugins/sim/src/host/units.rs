use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::machine::Machine;
use super::networkd::{Section, sections};

/// A unit since the machine has booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// `active`, `inactive` or `failed`.
    pub active: String,
    /// `running`, `exited`, `dead` or `failed`.
    pub sub: String,
    /// Its process, 0 for none.
    pub pid: u32,
    /// Exit status of its last process.
    pub status: i32,
    /// How often systemd has restarted it.
    pub restarts: u32,
}

const DIRECTORIES: [&str; 3] = ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"];
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";

/// `tailscaled` means `tailscaled.service`.
pub(super) fn unit_name(name: &str) -> String {
    let suffixes = [".service", ".target", ".socket", ".timer", ".mount"];
    let complete = suffixes.iter().any(|suffix| name.ends_with(suffix));
    if complete { name.to_owned() } else { format!("{name}.service") }
}

impl Machine {
    /// The file that defines a unit, if it exists.
    pub fn unit_file(&self, name: &str) -> Option<String> {
        let name = unit_name(name);
        let paths = DIRECTORIES.iter().map(|directory| format!("{directory}/{name}"));
        paths.into_iter().find(|path| self.files.get(path).is_some())
    }

    /// The settings of a unit: those of its file, then those of its drop-ins.
    pub(super) fn unit_sections(&self, name: &str) -> Vec<Section> {
        self.unit_texts(name).iter().flat_map(|text| sections(text)).collect()
    }

    fn unit_texts(&self, name: &str) -> Vec<String> {
        let Some(file) = self.unit_file(name) else { return Vec::new() };
        let directories: Vec<String> =
            DIRECTORIES.iter().map(|directory| format!("{directory}/{}.d", unit_name(name))).collect();
        let directories: Vec<&str> = directories.iter().map(String::as_str).collect();
        let drop_ins = super::networkd::configuration_files(&self.files, &directories, ".conf");
        let paths = std::iter::once(file).chain(drop_ins);
        paths.filter_map(|path| self.files.text(&path)).collect()
    }

    /// Whether the files of a unit are others than those that systemd has read. It reads them when it loads the unit, and
    /// again at every [`reload_units`](Self::reload_units).
    pub fn needs_reload(&self, name: &str) -> bool {
        self.loaded.get(&unit_name(name)).is_some_and(|read| *read != self.unit_digest(name))
    }

    /// `daemon-reload`: the files as they are now count, and units without one are forgotten.
    pub fn reload_units(&mut self) {
        let names = std::mem::take(&mut self.loaded).into_keys();
        let kept: Vec<String> = names.filter(|name| self.unit_file(name).is_some()).collect();
        self.loaded = kept.into_iter().map(|name| (name.clone(), self.unit_digest(&name))).collect();
    }

    fn unit_digest(&self, name: &str) -> String {
        STANDARD.encode(Sha256::digest(self.unit_texts(name).join("\n")))
    }

    /// Whether a unit is active now.
    pub fn unit_active(&self, name: &str) -> bool {
        self.units.get(&unit_name(name)).is_some_and(|unit| unit.active == "active")
    }

    /// `enabled`, `disabled`, `static` or `masked`; none if there is no such unit.
    pub fn unit_file_state(&self, name: &str) -> Option<&'static str> {
        self.unit_file(name)?;
        let installable = self.unit_sections(name).iter().any(|(section, _)| section == "Install");
        let enabled = self.files.nodes.contains_key(&wants(name));
        Some(match (enabled, installable) {
            (true, _) => "enabled",
            (false, true) => "disabled",
            (false, false) => "static",
        })
    }

    /// Units that start at boot.
    pub fn enabled_units(&self) -> Vec<String> {
        self.files.children(WANTS).map(|(name, _)| name.to_owned()).collect()
    }

    /// Notes what became of a unit.
    pub fn set_unit(&mut self, name: &str, active: &str, sub: &str, status: i32) {
        let running = sub == "running";
        let pid = if running { self.next_pid() } else { 0 };
        let state = UnitState { active: active.to_owned(), sub: sub.to_owned(), pid, status, restarts: 0 };
        self.units.insert(unit_name(name), state);
        if !self.loaded.contains_key(&unit_name(name)) {
            self.loaded.insert(unit_name(name), self.unit_digest(name));
        }
    }

    /// `reset-failed`: a unit that has failed is inactive, and nothing counts as a restart. Whether anything was to be done.
    pub fn reset_failed(&mut self, name: &str) -> bool {
        let Some(unit) = self.units.get_mut(&unit_name(name)) else { return false };
        let before = unit.clone();
        unit.restarts = 0;
        if unit.active == "failed" {
            "inactive".clone_into(&mut unit.active);
            "dead".clone_into(&mut unit.sub);
        }
        *unit != before
    }

    fn next_pid(&mut self) -> u32 {
        self.last_pid += 17;
        self.last_pid
    }
}

/// The link that makes a unit start at boot.
pub(super) fn wants(name: &str) -> String {
    format!("{WANTS}/{}", unit_name(name))
}
