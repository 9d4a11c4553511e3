use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::state::{Machine, UnitState, WANTS, unit_name, wants};
use super::systemd_files::{Section, configuration_files, sections};

/// Directories of unit files, in descending priority.
const DIRECTORIES: [&str; 3] = ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"];

impl Machine {
    /// Returns the path of the file that defines a unit, if it exists.
    pub fn unit_file(&self, name: &str) -> Option<String> {
        let name = unit_name(name);
        let paths = DIRECTORIES.iter().map(|directory| format!("{directory}/{name}"));
        paths.into_iter().find(|path| self.files.get(path).is_some())
    }

    /// Returns the settings of a unit: those of its file, followed by those of its drop-ins.
    pub(super) fn unit_sections(&self, name: &str) -> Vec<Section> {
        self.unit_texts(name).iter().flat_map(|text| sections(text)).collect()
    }

    /// Returns the texts of the unit's file and of its drop-ins.
    fn unit_texts(&self, name: &str) -> Vec<String> {
        let Some(file) = self.unit_file(name) else { return Vec::new() };
        let directories: Vec<String> =
            DIRECTORIES.iter().map(|directory| format!("{directory}/{}.d", unit_name(name))).collect();
        let directories: Vec<&str> = directories.iter().map(String::as_str).collect();
        let drop_ins = configuration_files(&self.files, &directories, ".conf");
        let paths = std::iter::once(file).chain(drop_ins);
        paths.filter_map(|path| self.files.text(&path)).collect()
    }

    /// Returns true if the files of a unit differ from the text that systemd has read.
    ///
    /// systemd reads them when it loads the unit and at each [`reload_units`](Self::reload_units).
    pub fn needs_reload(&self, name: &str) -> bool {
        self.loaded.get(&unit_name(name)).is_some_and(|read| *read != self.unit_digest(name))
    }

    /// Reads all unit files again, as `daemon-reload` does.
    ///
    /// Units without a file are unloaded.
    pub fn reload_units(&mut self) {
        let names = std::mem::take(&mut self.loaded).into_keys();
        let kept: Vec<String> = names.filter(|name| self.unit_file(name).is_some()).collect();
        self.loaded = kept.into_iter().map(|name| (name.clone(), self.unit_digest(&name))).collect();
    }

    /// Returns the digest of the unit's current files.
    fn unit_digest(&self, name: &str) -> String {
        STANDARD.encode(Sha256::digest(self.unit_texts(name).join("\n")))
    }

    /// Returns true if a unit is active.
    pub fn unit_active(&self, name: &str) -> bool {
        self.units.get(&unit_name(name)).is_some_and(|unit| unit.active == "active")
    }

    /// Returns `enabled`, `disabled` or `static`; `None` if the unit does not exist.
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

    /// Returns the names of the units that start at boot.
    pub fn enabled_units(&self) -> Vec<String> {
        self.files.children(WANTS).map(|(name, _)| name.to_owned()).collect()
    }

    /// Records the state of a unit and loads it. The number of restarts becomes 0.
    pub fn set_unit(&mut self, name: &str, active: &str, sub: &str, status: i32) {
        let running = sub == "running";
        let pid = if running { self.next_pid() } else { 0 };
        let state = UnitState { active: active.to_owned(), sub: sub.to_owned(), pid, status, restarts: 0 };
        self.units.insert(unit_name(name), state);
        if !self.loaded.contains_key(&unit_name(name)) {
            self.loaded.insert(unit_name(name), self.unit_digest(name));
        }
    }

    /// Resets a unit, as `reset-failed` does. Returns true if something has changed.
    ///
    /// A failed unit becomes inactive, and the number of restarts becomes 0.
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

    /// Returns the next process id.
    fn next_pid(&mut self) -> u32 {
        self.last_pid += 17;
        self.last_pid
    }
}
