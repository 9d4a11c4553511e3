use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    Host,
    operations::{
        file::{self, File},
        mss_clamp::{self, Clamped, RULES_PATH, UNIT, UNIT_PATH},
        unit::{self, UnitState},
    },
    pool::Pool,
};

/// A router whose tunnel TCP's segments are to fit into.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredClamp {
    /// The host.
    pub host: Host,
}

/// The clamp in force, now and after a reboot.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ClampOutput {
    /// The unit that puts it in force at boot.
    pub unit: String,
}

/// The clamp of TCP's segment size on a router: without it large answers hang where small ones pass.
///
/// Its rules do not depend on whether the tunnel is there, so nothing that happens to tailscaled or to the network's links takes
/// them away.
pub(crate) struct MssClampEnsure {
    pool: Arc<Pool>,
}

pub(crate) struct ActualClamp {
    clamped: Clamped,
    rules: Option<String>,
    unit: Option<String>,
    state: UnitState,
}

impl MssClampEnsure {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for MssClampEnsure {}

impl Resource for MssClampEnsure {
    type Desired = DesiredClamp;
    type Actual = ActualClamp;
    type Output = ClampOutput;
    const NAME: &'static str = "ssh.mss_clamp.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Clamps TCP's segment size to what Tailscale's tunnel carries, both ways, now and after a reboot.";

    async fn read(&self, cx: &ActionContext, desired: &DesiredClamp) -> Result<Option<ActualClamp>, ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        Ok(Some(ActualClamp {
            clamped: mss_clamp::read(&remote).await?,
            rules: file::read(&remote, RULES_PATH).await?,
            unit: file::read(&remote, UNIT_PATH).await?,
            state: unit::read(&remote, UNIT).await?,
        }))
    }

    fn diff(&self, _: &DesiredClamp, actual: Option<&ActualClamp>) -> Result<Vec<Difference>, ActionError> {
        let Some(actual) = actual else { return Ok(Vec::new()) };
        let now = Difference::between("MSS clamp", actual.clamped.words(), Clamped::BothWays.words());
        let rules = file_difference(RULES_PATH, actual.rules.as_deref(), &mss_clamp::rules());
        let unit = file_difference(UNIT_PATH, actual.unit.as_deref(), &mss_clamp::unit());
        let at_boot = Difference::between("MSS clamp at boot", at_boot(actual), "enabled");
        Ok([now, rules, unit, at_boot].into_iter().flatten().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &DesiredClamp,
        actual: Option<&ActualClamp>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let Some(actual) = actual else { return Ok(()) };
        let remote = self.pool.remote(cx, &desired.host)?;
        let (rules, text) = (mss_clamp::rules(), mss_clamp::unit());
        if actual.rules.as_ref() != Some(&rules) {
            file::ensure(&remote, &File::readable(RULES_PATH, rules)).await?;
        }
        let is_other = actual.unit.as_ref() != Some(&text);
        if is_other {
            file::ensure(&remote, &File::readable(UNIT_PATH, text)).await?;
        }
        if is_other || actual.state.stale {
            unit::reload(&remote).await?;
        }
        if at_boot(actual) != "enabled" {
            unit::tell(&remote, "enable", UNIT).await?;
        }
        if actual.clamped != Clamped::BothWays {
            if actual.state.active == "failed" {
                // One that has failed too often in a row is not started before this is forgotten.
                unit::tell(&remote, "reset-failed", UNIT).await?;
            }
            // Not started: one that has run counts as active, whatever has become of what it loaded.
            unit::tell(&remote, "restart", UNIT).await?;
            unit::until_active(cx, &remote, UNIT).await?;
        }
        Ok(())
    }

    fn output(&self, _: &ActionContext, _: &DesiredClamp, _: &ActualClamp) -> Result<ClampOutput, ActionError> {
        Ok(ClampOutput { unit: UNIT.to_owned() })
    }
}

/// Whether the unit starts at boot; a unit without a file does not.
fn at_boot(actual: &ActualClamp) -> &str {
    if actual.state.file_state.is_empty() { "disabled" } else { &actual.state.file_state }
}

fn file_difference(path: &str, present: Option<&str>, wanted: &str) -> Option<Difference> {
    match present {
        None => Some(Difference::missing(path, "the clamp's")),
        Some(present) => (present != wanted).then(|| Difference::new(path, "another", "the clamp's")),
    }
}
