use std::{collections::BTreeMap, time::Duration};

use stargate_client::{Backoff, Waiter};
use stargate_sdk::{ActionContext, ActionError};

use crate::client::{Remote, RemoteCommand};

/// Maximum time that a unit may be starting: systemd's own `DefaultTimeoutStartSec`.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// A unit is active within a second in most cases.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// State of a systemd unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SystemdUnitState {
    /// `ActiveState`: `active`, `activating`, `failed`, …
    pub(crate) active: String,
    /// `UnitFileState`: `enabled`, `disabled`, `static`, …; empty for a unit that does not exist.
    pub(crate) file_state: String,
    /// True if the unit's file has changed since systemd read it.
    pub(crate) stale: bool,
}

/// Checks the name of a unit.
///
/// # Errors
/// `Permanent` if it is malformed.
pub(crate) fn check_name(name: &str) -> Result<(), ActionError> {
    let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.contains('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._@-".contains(&b));
    if fits {
        return Ok(());
    }
    Err(ActionError::permanent(format!("{name:?} is not the name of a unit")).with_hint("write it as kubelet.service"))
}

/// Reads the state of the unit.
pub(crate) async fn read(remote: &Remote<'_>, name: &str) -> Result<SystemdUnitState, ActionError> {
    let show = ["show", "--property=ActiveState,UnitFileState,NeedDaemonReload", name];
    let shown = remote.succeed(&RemoteCommand::read("systemctl").args(show)).await?;
    let properties: BTreeMap<&str, &str> = shown.stdout.lines().filter_map(|line| line.split_once('=')).collect();
    let text = |name: &str| properties.get(name).copied().unwrap_or_default().to_owned();
    Ok(SystemdUnitState {
        active: text("ActiveState"),
        file_state: text("UnitFileState"),
        stale: properties.get("NeedDaemonReload") == Some(&"yes"),
    })
}

/// Makes systemd read changed unit files.
pub(crate) async fn reload(remote: &Remote<'_>) -> Result<(), ActionError> {
    systemctl(remote, &["daemon-reload"]).await
}

/// Runs `systemctl` with `verb`: `enable`, `disable`, `start`, `stop`, `restart` or `reset-failed`.
pub(crate) async fn control(remote: &Remote<'_>, verb: &str, name: &str) -> Result<(), ActionError> {
    systemctl(remote, &[verb, name]).await
}

/// Polls while the unit is starting, which includes a unit that exits and is started again.
///
/// # Errors
/// `Transient` with the end of the unit's journal if it fails, or is still starting after 90
/// seconds.
pub(crate) async fn wait_until_active(cx: &ActionContext, remote: &Remote<'_>, name: &str) -> Result<(), ActionError> {
    let since = cx.elapsed();
    let mut waiter = Waiter::new(cx, BACKOFF);
    loop {
        let state = read(remote, name).await?.active;
        let is_starting = ["activating", "reloading"].contains(&state.as_str());
        if state == "active" {
            return Ok(());
        }
        if !is_starting || cx.elapsed() > since + START_TIMEOUT {
            let journal = journal_tail(remote, name).await?;
            let error =
                ActionError::transient(format!("{name} is {state}, not active: {}", cx.redactor().redact(&journal)));
            return Err(remote.context(error.with_hint(format!("see `journalctl -u {name}` on the host"))));
        }
        waiter.pending(format!("{name} is {state}"), None).await?;
    }
}

/// Reads the last lines of the unit's journal.
async fn journal_tail(remote: &Remote<'_>, name: &str) -> Result<String, ActionError> {
    let arguments = ["-u", name, "-n", "5", "-o", "cat", "--no-pager"];
    let output = remote.run(&RemoteCommand::read("journalctl").args(arguments).with_root().confidential()).await?;
    Ok(if output.is_success() { output.text() } else { "its journal cannot be read".into() })
}

async fn systemctl(remote: &Remote<'_>, arguments: &[&str]) -> Result<(), ActionError> {
    remote.succeed(&RemoteCommand::change("systemctl").args(arguments.iter().copied())).await.map(drop)
}
