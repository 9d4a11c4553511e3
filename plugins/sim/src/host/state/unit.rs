use serde::{Deserialize, Serialize};

/// Directory with the links of enabled units.
pub(in crate::host) const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";

/// State of a systemd unit in the current boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// Active state: `active`, `activating`, `inactive` or `failed`.
    pub active: String,
    /// Sub-state: `running`, `exited`, `dead`, `failed` or `auto-restart`.
    pub sub: String,
    /// Process id of the unit; 0 if it has none.
    pub pid: u32,
    /// Exit status of the unit's last process.
    pub status: i32,
    /// Number of restarts by systemd.
    pub restarts: u32,
}

/// Returns the full name of a unit: `tailscaled` becomes `tailscaled.service`.
pub(in crate::host) fn unit_name(name: &str) -> String {
    let suffixes = [".service", ".target", ".socket", ".timer", ".mount"];
    let complete = suffixes.iter().any(|suffix| name.ends_with(suffix));
    if complete { name.to_owned() } else { format!("{name}.service") }
}

/// Returns the path of the link that starts a unit at boot.
pub(in crate::host) fn wants(name: &str) -> String {
    format!("{WANTS}/{}", unit_name(name))
}
