use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    SshHost,
    client::ConnectionPool,
    operations::{
        file::{self, HostFile},
        mss_clamp::{self, Clamped, RULES_PATH, UNIT, UNIT_PATH},
        unit::{self, SystemdUnitState},
    },
};

/// The router on which TCP segments are clamped.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MssClampEnsureInput {
    /// Host to connect to.
    pub host: SshHost,
}

/// MSS clamp that is in force.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MssClampEnsureOutput {
    /// Name of the unit that loads the rules at boot.
    pub unit: String,
}

/// Action `ssh.mss_clamp.ensure`: limits TCP's segment size on a router to what the tunnel carries.
/// Without the limit, large responses are lost while small ones pass.
///
/// The rules do not refer to an existing device, so that they survive restarts of tailscaled and of
/// the network.
///
/// Kernel and files are compared separately: a firewall that was reloaded has lost the rules
/// although the unit counts as active, and rules in the kernel alone are gone after a reboot.
pub(crate) struct MssClampEnsure {
    pool: Arc<ConnectionPool>,
}

/// Clamp in the kernel, the two files, and the state of the unit. A file is `None` if it does not
/// exist.
pub(crate) struct ActualClamp {
    clamped: Clamped,
    rules: Option<String>,
    unit: Option<String>,
    state: SystemdUnitState,
}

impl MssClampEnsure {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for MssClampEnsure {}

impl Resource for MssClampEnsure {
    type Desired = MssClampEnsureInput;
    type Actual = ActualClamp;
    type Output = MssClampEnsureOutput;
    const NAME: &'static str = "ssh.mss_clamp.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Clamps TCP's segment size to what Tailscale's tunnel carries, in both directions, now and after a reboot.";

    async fn read(
        &self,
        cx: &ActionContext,
        desired: &MssClampEnsureInput,
    ) -> Result<Option<ActualClamp>, ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        Ok(Some(ActualClamp {
            clamped: mss_clamp::read(&remote).await?,
            rules: file::read(&remote, RULES_PATH).await?,
            unit: file::read(&remote, UNIT_PATH).await?,
            state: unit::read(&remote, UNIT).await?,
        }))
    }

    fn diff(&self, _: &MssClampEnsureInput, actual: Option<&ActualClamp>) -> Result<Vec<Difference>, ActionError> {
        let Some(actual) = actual else { return Ok(Vec::new()) };
        let now = Difference::between("MSS clamp", actual.clamped.as_str(), Clamped::BothDirections.as_str());
        let rules = file_difference(RULES_PATH, actual.rules.as_deref(), &mss_clamp::rules());
        let unit = file_difference(UNIT_PATH, actual.unit.as_deref(), &mss_clamp::unit());
        let at_boot = Difference::between("MSS clamp at boot", at_boot(actual), "enabled");
        Ok([now, rules, unit, at_boot].into_iter().flatten().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &MssClampEnsureInput,
        actual: Option<&ActualClamp>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let Some(actual) = actual else { return Ok(()) };
        let remote = self.pool.remote(cx, &desired.host)?;
        let (rules, text) = (mss_clamp::rules(), mss_clamp::unit());
        if actual.rules.as_ref() != Some(&rules) {
            file::ensure(&remote, &HostFile::readable(RULES_PATH, rules)).await?;
        }
        let is_other = actual.unit.as_ref() != Some(&text);
        if is_other {
            file::ensure(&remote, &HostFile::readable(UNIT_PATH, text)).await?;
        }
        if is_other || actual.state.stale {
            unit::reload(&remote).await?;
        }
        if at_boot(actual) != "enabled" {
            unit::control(&remote, "enable", UNIT).await?;
        }
        if actual.clamped != Clamped::BothDirections {
            if actual.state.active == "failed" {
                // systemd does not start a unit that has failed too often, until its failures are
                // reset.
                unit::control(&remote, "reset-failed", UNIT).await?;
            }
            // Restarted, because a unit that has run counts as active even if its rules are gone.
            unit::control(&remote, "restart", UNIT).await?;
            unit::wait_until_active(cx, &remote, UNIT).await?;
        }
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &MssClampEnsureInput,
        _: &ActualClamp,
    ) -> Result<MssClampEnsureOutput, ActionError> {
        Ok(MssClampEnsureOutput { unit: UNIT.to_owned() })
    }
}

/// State of the unit at boot; `disabled` for a unit without a file.
fn at_boot(actual: &ActualClamp) -> &str {
    if actual.state.file_state.is_empty() { "disabled" } else { &actual.state.file_state }
}

/// Difference of a file to its desired text, without either text, since both are long.
fn file_difference(path: &str, present: Option<&str>, desired: &str) -> Option<Difference> {
    match present {
        None => Some(Difference::missing(path, "the clamp's")),
        Some(present) => (present != desired).then(|| Difference::new(path, "another", "the clamp's")),
    }
}
