use std::{collections::BTreeMap, time::Duration};

use stargate_sdk::{ActionContext, ActionError};

use crate::{command::RemoteCommand, pause::Pause, remote::Remote};

/// How long a unit may be on its way up: as long as systemd's own `DefaultTimeoutStartSec`.
const START_PATIENCE: Duration = Duration::from_secs(90);

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

/// Waits while the unit is on its way up, which one that ends again and again always is.
pub(crate) async fn until_active(cx: &ActionContext, remote: &Remote<'_>, name: &str) -> Result<(), ActionError> {
    let since = cx.elapsed();
    let mut pause = Pause::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        let state = read(remote, name).await?.active;
        let on_its_way = ["activating", "reloading"].contains(&state.as_str());
        if state == "active" {
            return Ok(());
        }
        if !on_its_way || cx.elapsed() > since + START_PATIENCE {
            let words = last_words(remote, name).await?;
            let error =
                ActionError::transient(format!("{name} is {state}, not active: {}", cx.redactor().redact(&words)));
            return Err(remote.context(error.with_hint(format!("see `journalctl -u {name}` on the host"))));
        }
        pause.after_seeing(cx, format!("{name} is {state}")).await?;
    }
}

/// The end of its journal; a host without one has nothing to say.
async fn last_words(remote: &Remote<'_>, name: &str) -> Result<String, ActionError> {
    let arguments = ["-u", name, "-n", "5", "-o", "cat", "--no-pager"];
    let outcome = remote.run(&RemoteCommand::read("journalctl").args(arguments).with_root().confidential()).await?;
    Ok(if outcome.is_success() { outcome.words() } else { "its journal cannot be read".into() })
}

async fn systemctl(remote: &Remote<'_>, arguments: &[&str]) -> Result<(), ActionError> {
    remote.succeed(&RemoteCommand::change("systemctl").args(arguments.iter().copied())).await.map(drop)
}
