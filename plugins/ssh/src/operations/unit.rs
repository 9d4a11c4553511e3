use std::collections::BTreeMap;

use stargate_sdk::ActionError;

use crate::{command::RemoteCommand, remote::Remote};

/// A unit, as systemd has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnitState {
    /// `active`, `activating`, `failed`, …
    pub(crate) active: String,
    /// `enabled`, `disabled`, `static`, …; empty for a unit that does not exist.
    pub(crate) file_state: String,
    /// Whether its file has changed since systemd has read it.
    pub(crate) stale: bool,
}

/// Refuses what is no name of a unit.
pub(crate) fn check_name(name: &str) -> Result<(), ActionError> {
    let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.contains('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._@-".contains(&b));
    if fits {
        return Ok(());
    }
    Err(ActionError::permanent(format!("{name:?} is not the name of a unit")).with_hint("write it as kubelet.service"))
}

/// How the unit is now.
pub(crate) async fn read(remote: &Remote<'_>, name: &str) -> Result<UnitState, ActionError> {
    let show = ["show", "--property=ActiveState,UnitFileState,NeedDaemonReload", name];
    let shown = remote.succeed(&RemoteCommand::read("systemctl").args(show)).await?;
    let properties: BTreeMap<&str, &str> = shown.stdout.lines().filter_map(|line| line.split_once('=')).collect();
    let text = |name: &str| properties.get(name).copied().unwrap_or_default().to_owned();
    Ok(UnitState {
        active: text("ActiveState"),
        file_state: text("UnitFileState"),
        stale: properties.get("NeedDaemonReload") == Some(&"yes"),
    })
}

/// Has systemd read changed files of units.
pub(crate) async fn reload(remote: &Remote<'_>) -> Result<(), ActionError> {
    systemctl(remote, &["daemon-reload"]).await
}

/// `enable`, `disable`, `start`, `stop` or `restart`.
pub(crate) async fn tell(remote: &Remote<'_>, verb: &str, name: &str) -> Result<(), ActionError> {
    systemctl(remote, &[verb, name]).await
}

async fn systemctl(remote: &Remote<'_>, arguments: &[&str]) -> Result<(), ActionError> {
    remote.succeed(&RemoteCommand::change("systemctl").args(arguments.iter().copied())).await.map(drop)
}
