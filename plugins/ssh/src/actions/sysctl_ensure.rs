use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    Host,
    operations::{
        file::{self, File},
        sysctl, sysctl_file,
    },
    pool::Pool,
};

/// The kernel settings that a host is to have.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredSettings {
    /// The host.
    pub host: Host,
    /// Values by name, as in `net.ipv4.ip_forward: "1"`.
    pub settings: BTreeMap<String, String>,
}

/// The kernel settings in force, now and after a reboot.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct KernelSettings {
    /// Values by name.
    pub settings: BTreeMap<String, String>,
}

/// Kernel settings: in force now, and in a file that puts them in force at boot.
pub(crate) struct SysctlEnsure {
    pool: Arc<Pool>,
}

pub(crate) struct ActualSettings {
    in_force: BTreeMap<String, String>,
    at_boot: BTreeMap<String, String>,
    file: Option<String>,
}

impl SysctlEnsure {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for SysctlEnsure {}

impl Resource for SysctlEnsure {
    type Desired = DesiredSettings;
    type Actual = ActualSettings;
    type Output = KernelSettings;
    const NAME: &'static str = "ssh.sysctl.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Puts kernel settings in force, now and after a reboot.";

    async fn read(&self, cx: &ActionContext, desired: &DesiredSettings) -> Result<Option<ActualSettings>, ActionError> {
        sysctl::check(&desired.settings)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        let in_force = sysctl::read(&remote, desired.settings.keys()).await?;
        let file = file::read(&remote, sysctl_file::PATH).await?;
        let at_boot = file.as_deref().map(sysctl::parse).unwrap_or_default();
        Ok(Some(ActualSettings { in_force, at_boot, file }))
    }

    fn diff(&self, desired: &DesiredSettings, actual: Option<&ActualSettings>) -> Result<Vec<Difference>, ActionError> {
        let mut differences = Vec::new();
        for (key, value) in &desired.settings {
            let value = sysctl::normal(value);
            let now = actual.and_then(|actual| actual.in_force.get(key)).cloned();
            let at_boot = actual.and_then(|actual| actual.at_boot.get(key)).cloned();
            differences.extend(Difference::between(key, now, value.clone()));
            differences.extend(Difference::between(&format!("{key} at boot"), at_boot, value));
        }
        Ok(differences)
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &DesiredSettings,
        actual: Option<&ActualSettings>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        let differs = |values: Option<&BTreeMap<String, String>>, key: &str, value: &str| {
            values.and_then(|values| values.get(key)) != Some(&sysctl::normal(value))
        };
        if desired.settings.iter().any(|(key, value)| differs(actual.map(|a| &a.at_boot), key, value)) {
            let present = actual.and_then(|actual| actual.file.as_deref());
            let text = sysctl_file::merged(present, &desired.settings);
            file::ensure(&remote, &File::readable(sysctl_file::PATH, text)).await?;
        }
        for (key, value) in &desired.settings {
            if differs(actual.map(|a| &a.in_force), key, value) {
                sysctl::write(&remote, key, &sysctl::normal(value)).await?;
            }
        }
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &DesiredSettings,
        _: &ActualSettings,
    ) -> Result<KernelSettings, ActionError> {
        Ok(KernelSettings { settings: desired.settings.clone() })
    }
}
