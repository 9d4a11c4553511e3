use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    SshHost,
    client::ConnectionPool,
    operations::{
        file::{self, HostFile},
        sysctl, sysctl_file,
    },
};

/// Desired kernel settings of a host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SysctlEnsureInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Values by name, such as `net.ipv4.ip_forward: "1"`. Other settings are not changed.
    pub settings: BTreeMap<String, String>,
}

/// Kernel settings that are in force.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SysctlEnsureOutput {
    /// Values of the settings, by name.
    pub settings: BTreeMap<String, String>,
}

/// Action `ssh.sysctl.ensure`: applies kernel settings now, and writes them to a file that is
/// applied at boot.
///
/// The file is shared by all steps for a host: other settings in it are kept. It is written first,
/// so that a host that restarts in between has the new value as well.
pub(crate) struct SysctlEnsure {
    pool: Arc<ConnectionPool>,
}

/// Values of the desired settings on a host, in the kernel and in the file. Values are normalised:
/// runs of white space are one space.
pub(crate) struct ActualSettings {
    in_force: BTreeMap<String, String>,
    at_boot: BTreeMap<String, String>,
    file: Option<String>,
}

impl SysctlEnsure {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for SysctlEnsure {}

impl Resource for SysctlEnsure {
    type Desired = SysctlEnsureInput;
    type Actual = ActualSettings;
    type Output = SysctlEnsureOutput;
    const NAME: &'static str = "ssh.sysctl.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Applies kernel settings, now and after a reboot.";

    async fn read(
        &self,
        cx: &ActionContext,
        desired: &SysctlEnsureInput,
    ) -> Result<Option<ActualSettings>, ActionError> {
        sysctl::check(&desired.settings)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        let in_force = sysctl::read(&remote, desired.settings.keys()).await?;
        let file = file::read(&remote, sysctl_file::PATH).await?;
        let at_boot = file.as_deref().map(sysctl::parse).unwrap_or_default();
        Ok(Some(ActualSettings { in_force, at_boot, file }))
    }

    fn diff(
        &self,
        desired: &SysctlEnsureInput,
        actual: Option<&ActualSettings>,
    ) -> Result<Vec<Difference>, ActionError> {
        let mut differences = Vec::new();
        for (key, value) in &desired.settings {
            let value = sysctl::normalize(value);
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
        desired: &SysctlEnsureInput,
        actual: Option<&ActualSettings>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        let differs = |values: Option<&BTreeMap<String, String>>, key: &str, value: &str| {
            values.and_then(|values| values.get(key)) != Some(&sysctl::normalize(value))
        };
        if desired.settings.iter().any(|(key, value)| differs(actual.map(|a| &a.at_boot), key, value)) {
            let present = actual.and_then(|actual| actual.file.as_deref());
            let text = sysctl_file::merged(present, &desired.settings);
            file::ensure(&remote, &HostFile::readable(sysctl_file::PATH, text)).await?;
        }
        for (key, value) in &desired.settings {
            if differs(actual.map(|a| &a.in_force), key, value) {
                sysctl::write(&remote, key, &sysctl::normalize(value)).await?;
            }
        }
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &SysctlEnsureInput,
        _: &ActualSettings,
    ) -> Result<SysctlEnsureOutput, ActionError> {
        Ok(SysctlEnsureOutput { settings: desired.settings.clone() })
    }
}
