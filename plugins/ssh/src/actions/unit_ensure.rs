use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    Host,
    host::short_hash,
    operations::{
        file::{self, File},
        unit::{self, UnitState},
    },
    pool::Pool,
    remote::Remote,
};

/// How a unit is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredUnit {
    /// The host.
    pub host: Host,
    /// Name with its suffix, as in `kubelet.service`.
    pub name: String,
    /// The whole text of its file in /etc/systemd/system; without this, whatever file it has.
    #[serde(default)]
    pub content: Option<String>,
    /// Whether it starts at boot.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether it runs.
    #[serde(default = "yes")]
    pub active: bool,
    /// Digests of what it reads when it starts: it is restarted when one has changed since it was started by this action.
    #[serde(default)]
    pub restart_on: Vec<String>,
}

/// A unit in its state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct UnitOutput {
    /// Its name.
    pub name: String,
}

fn yes() -> bool {
    true
}

/// `ssh.unit.ensure`.
pub(crate) struct UnitEnsure {
    pool: Arc<Pool>,
}

pub(crate) struct ActualUnit {
    state: UnitState,
    content: Option<String>,
    /// What it was started with.
    stamp: Option<String>,
}

impl UnitEnsure {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for UnitEnsure {}

impl Resource for UnitEnsure {
    type Desired = DesiredUnit;
    type Actual = ActualUnit;
    type Output = UnitOutput;
    const NAME: &'static str = "ssh.unit.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a systemd unit has its file, runs, and starts at boot.";

    async fn read(&self, cx: &ActionContext, desired: &DesiredUnit) -> Result<Option<ActualUnit>, ActionError> {
        unit::check_name(&desired.name)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        let content = match &desired.content {
            Some(_) => file::read(&remote, &unit_path(desired)).await?,
            None => None,
        };
        let stamp = file::read(&remote, &stamp_path(desired)).await?.map(|text| text.trim().to_owned());
        Ok(Some(ActualUnit { state: unit::read(&remote, &desired.name).await?, content, stamp }))
    }

    fn diff(&self, desired: &DesiredUnit, actual: Option<&ActualUnit>) -> Result<Vec<Difference>, ActionError> {
        let Some(actual) = actual else { return Ok(vec![Difference::missing(&desired.name, "a unit")]) };
        let what = |property: &str| format!("{} {property}", desired.name);
        let enabled = if desired.enabled { "enabled" } else { "disabled" };
        // What has no file of its own, or none that says so, does not start at boot by itself.
        let same = match actual.state.file_state.as_str() {
            "static" | "indirect" | "generated" => true,
            "" | "transient" | "masked" => !desired.enabled,
            _ => false,
        };
        let file_state = Difference::between(&what("at boot"), actual.state.file_state.as_str(), enabled);
        let active = Difference::new(what("now"), actual.state.active.as_str(), wanted_state(desired));
        let restart = Difference::new(what("configuration in force"), actual.stamp.clone(), stamp(desired));
        Ok([
            is_other_file(desired, actual).then(|| Difference::new(what("file"), "another", stamp(desired))),
            file_state.filter(|_| !same),
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
        desired: &DesiredUnit,
        actual: Option<&ActualUnit>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let Some(actual) = actual else { return Ok(()) };
        let remote = self.pool.remote(cx, &desired.host)?;
        let is_other = desired.active && is_other_file(desired, actual);
        let restart = is_other || needs_restart(desired, actual);
        if is_other {
            // What it runs with is not known from here on, should this be interrupted.
            file::remove(&remote, &stamp_path(desired)).await?;
        }
        put_file(&remote, desired, actual).await?;
        let enabled = actual.state.file_state == "enabled";
        if enabled != desired.enabled {
            unit::tell(&remote, if desired.enabled { "enable" } else { "disable" }, &desired.name).await?;
        }
        if desired.active && actual.state.active == "failed" {
            // One that has failed too often in a row is not started before this is forgotten.
            unit::tell(&remote, "reset-failed", &desired.name).await?;
        }
        match (desired.active, restart) {
            (false, _) => unit::tell(&remote, "stop", &desired.name).await,
            (true, false) => {
                unit::tell(&remote, "start", &desired.name).await?;
                unit::until_active(cx, &remote, &desired.name).await
            }
            (true, true) => {
                unit::tell(&remote, "restart", &desired.name).await?;
                unit::until_active(cx, &remote, &desired.name).await?;
                // After the restart: whoever is interrupted in between restarts it once more.
                file::ensure(&remote, &File::readable(stamp_path(desired), format!("{}\n", stamp(desired)))).await
            }
        }
    }

    fn output(&self, _: &ActionContext, desired: &DesiredUnit, _: &ActualUnit) -> Result<UnitOutput, ActionError> {
        Ok(UnitOutput { name: desired.name.clone() })
    }
}

async fn put_file(remote: &Remote<'_>, desired: &DesiredUnit, actual: &ActualUnit) -> Result<(), ActionError> {
    let other = is_other_file(desired, actual);
    if let Some(content) = desired.content.as_ref().filter(|_| other) {
        file::ensure(remote, &File::readable(unit_path(desired), content.as_str())).await?;
    }
    if other || actual.state.stale { unit::reload(remote).await } else { Ok(()) }
}

fn is_other_file(desired: &DesiredUnit, actual: &ActualUnit) -> bool {
    desired.content.is_some() && desired.content != actual.content
}

fn is_in_state(desired: &DesiredUnit, actual: &ActualUnit) -> bool {
    if desired.active {
        actual.state.active == "active"
    } else {
        ["inactive", "failed"].contains(&actual.state.active.as_str())
    }
}

fn wanted_state(desired: &DesiredUnit) -> &'static str {
    if desired.active { "active" } else { "inactive" }
}

/// Whether it runs with another configuration than the wanted one, as far as this action knows.
fn needs_restart(desired: &DesiredUnit, actual: &ActualUnit) -> bool {
    let speaks = desired.content.is_some() || !desired.restart_on.is_empty();
    desired.active && speaks && actual.stamp.as_deref() != Some(stamp(desired).as_str())
}

fn stamp(desired: &DesiredUnit) -> String {
    let content = desired.content.as_deref().unwrap_or_default();
    short_hash(format!("{content}\0{}", desired.restart_on.join("\0")).as_bytes())
}

fn unit_path(desired: &DesiredUnit) -> String {
    format!("/etc/systemd/system/{}", desired.name)
}

// On the disk and not in /run: after a reboot the unit has started with what is there.
fn stamp_path(desired: &DesiredUnit) -> String {
    format!("/etc/stargate/units/{}", desired.name)
}
