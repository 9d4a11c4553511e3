use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    SshHost,
    client::ConnectionPool,
    client::Remote,
    host::short_hash,
    operations::{
        file::{self, HostFile},
        unit::{self, SystemdUnitState},
    },
};

/// Desired state of a systemd unit on a host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnitEnsureInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Name with its suffix, such as `kubelet.service`.
    pub name: String,
    /// The whole text of its file in /etc/systemd/system. If absent, the file is not managed.
    #[serde(default)]
    pub content: Option<String>,
    /// Start the unit at boot; true by default.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Run the unit now; true by default.
    #[serde(default = "yes")]
    pub active: bool,
    /// Digests of files that the unit reads when it starts. It is restarted if one has changed
    /// since this action started it.
    #[serde(default)]
    pub restart_on: Vec<String>,
}

/// Unit in its desired state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct UnitEnsureOutput {
    /// Name of the unit.
    pub name: String,
}

fn yes() -> bool {
    true
}

/// Action `ssh.unit.ensure`: makes a systemd unit have its file, run, and start at boot.
///
/// The digest of the configuration that is in force is kept in a file on the host. It is removed
/// before the configuration changes and written after the restart, so an interrupted attempt
/// restarts the unit once too often rather than never.
pub(crate) struct UnitEnsure {
    pool: Arc<ConnectionPool>,
}

/// Actual state of a unit. `content` is `None` if the file does not exist or is not managed.
pub(crate) struct ActualUnit {
    state: SystemdUnitState,
    content: Option<String>,
    /// Digest of the configuration with which this action started the unit last.
    stamp: Option<String>,
}

impl UnitEnsure {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for UnitEnsure {}

impl Resource for UnitEnsure {
    type Desired = UnitEnsureInput;
    type Actual = ActualUnit;
    type Output = UnitEnsureOutput;
    const NAME: &'static str = "ssh.unit.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a systemd unit has its file, runs, and starts at boot.";

    async fn read(&self, cx: &ActionContext, desired: &UnitEnsureInput) -> Result<Option<ActualUnit>, ActionError> {
        unit::check_name(&desired.name)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        let content = match &desired.content {
            Some(_) => file::read(&remote, &unit_path(desired)).await?,
            None => None,
        };
        let stamp = file::read(&remote, &stamp_path(desired)).await?.map(|text| text.trim().to_owned());
        Ok(Some(ActualUnit { state: unit::read(&remote, &desired.name).await?, content, stamp }))
    }

    fn diff(&self, desired: &UnitEnsureInput, actual: Option<&ActualUnit>) -> Result<Vec<Difference>, ActionError> {
        let Some(actual) = actual else { return Ok(vec![Difference::missing(&desired.name, "a unit")]) };
        let what = |property: &str| format!("{} {property}", desired.name);
        let enabled = if desired.enabled { "enabled" } else { "disabled" };
        // Units without an install section, and units without a file, are neither enabled nor
        // disabled.
        let is_same = match actual.state.file_state.as_str() {
            "static" | "indirect" | "generated" => true,
            "" | "transient" | "masked" => !desired.enabled,
            _ => false,
        };
        let file_state = Difference::between(&what("at boot"), actual.state.file_state.as_str(), enabled);
        let active = Difference::new(what("now"), actual.state.active.as_str(), desired_state(desired));
        let restart = Difference::new(what("configuration in force"), actual.stamp.clone(), stamp(desired));
        Ok([
            file_differs(desired, actual).then(|| Difference::new(what("file"), "another", stamp(desired))),
            file_state.filter(|_| !is_same),
            (!is_in_state(desired, actual)).then_some(active),
            needs_restart(desired, actual).then_some(restart),
        ]
        .into_iter()
        .flatten()
        .collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &UnitEnsureInput,
        actual: Option<&ActualUnit>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let Some(actual) = actual else { return Ok(()) };
        let remote = self.pool.remote(cx, &desired.host)?;
        let file_changes = desired.active && file_differs(desired, actual);
        let restart = file_changes || needs_restart(desired, actual);
        if file_changes {
            // Removed first: if this attempt is interrupted, the next one restarts the unit.
            file::remove(&remote, &stamp_path(desired)).await?;
        }
        write_file(&remote, desired, actual).await?;
        let enabled = actual.state.file_state == "enabled";
        if enabled != desired.enabled {
            unit::control(&remote, if desired.enabled { "enable" } else { "disable" }, &desired.name).await?;
        }
        if desired.active && actual.state.active == "failed" {
            // systemd does not start a unit that has failed too often, until its failures are
            // reset.
            unit::control(&remote, "reset-failed", &desired.name).await?;
        }
        match (desired.active, restart) {
            (false, _) => unit::control(&remote, "stop", &desired.name).await,
            (true, false) => {
                unit::control(&remote, "start", &desired.name).await?;
                unit::wait_until_active(cx, &remote, &desired.name).await
            }
            (true, true) => {
                unit::control(&remote, "restart", &desired.name).await?;
                unit::wait_until_active(cx, &remote, &desired.name).await?;
                // Written after the restart: an attempt that is interrupted in between restarts the
                // unit again.
                file::ensure(&remote, &HostFile::readable(stamp_path(desired), format!("{}\n", stamp(desired)))).await
            }
        }
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &UnitEnsureInput,
        _: &ActualUnit,
    ) -> Result<UnitEnsureOutput, ActionError> {
        Ok(UnitEnsureOutput { name: desired.name.clone() })
    }
}

/// Writes the unit's file if it differs, and makes systemd read it.
async fn write_file(remote: &Remote<'_>, desired: &UnitEnsureInput, actual: &ActualUnit) -> Result<(), ActionError> {
    let differs = file_differs(desired, actual);
    if let Some(content) = desired.content.as_ref().filter(|_| differs) {
        file::ensure(remote, &HostFile::readable(unit_path(desired), content.as_str())).await?;
    }
    if differs || actual.state.stale { unit::reload(remote).await } else { Ok(()) }
}

/// True if the file is managed and has another text, or none.
fn file_differs(desired: &UnitEnsureInput, actual: &ActualUnit) -> bool {
    desired.content.is_some() && desired.content != actual.content
}

/// True if the unit runs as desired. A failed unit counts as stopped: stopping it again changes
/// nothing.
fn is_in_state(desired: &UnitEnsureInput, actual: &ActualUnit) -> bool {
    if desired.active {
        actual.state.active == "active"
    } else {
        ["inactive", "failed"].contains(&actual.state.active.as_str())
    }
}

fn desired_state(desired: &UnitEnsureInput) -> &'static str {
    if desired.active { "active" } else { "inactive" }
}

/// True if the unit was not started with the desired configuration by this action.
fn needs_restart(desired: &UnitEnsureInput, actual: &ActualUnit) -> bool {
    let is_configured = desired.content.is_some() || !desired.restart_on.is_empty();
    desired.active && is_configured && actual.stamp.as_deref() != Some(stamp(desired).as_str())
}

/// Digest of the desired configuration.
fn stamp(desired: &UnitEnsureInput) -> String {
    let content = desired.content.as_deref().unwrap_or_default();
    short_hash(format!("{content}\0{}", desired.restart_on.join("\0")).as_bytes())
}

/// Path of the unit's file. Files of packages are in other directories and are overridden by it.
fn unit_path(desired: &UnitEnsureInput) -> String {
    format!("/etc/systemd/system/{}", desired.name)
}

// On disk and not in /run, because after a reboot the unit has started with the configuration on
// disk.
fn stamp_path(desired: &UnitEnsureInput) -> String {
    format!("/etc/stargate/units/{}", desired.name)
}
