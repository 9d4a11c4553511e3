use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, FailureKind, RequiredPermissions, Resource};

use crate::{
    Host,
    command::RemoteCommand,
    operations::file::{self, File},
    pool::Pool,
    remote::Remote,
};

/// Where the mirror's line goes.
const SOURCES: &str = "/etc/apt/sources.list.d/stargate.list";
/// Seconds to wait for another apt: unattended upgrades run right after the first boot, and take this long.
const LOCK_TIMEOUT: &str = "DPkg::Lock::Timeout=600";

/// Which packages a host is to have.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredPackages {
    /// The host.
    pub host: Host,
    /// The packages.
    pub packages: Vec<PackageSpec>,
    /// A line for apt's list of sources, as in `deb [signed-by=…] https://mirror.example/debian trixie main`.
    #[serde(default)]
    pub mirror: Option<String>,
}

/// A Debian package.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageSpec {
    /// Its name.
    pub name: String,
    /// Its version, exactly; any where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Packages that are installed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PackagesOutput {
    /// Versions by name.
    pub versions: BTreeMap<String, String>,
}

/// `ssh.package.ensure`.
pub(crate) struct PackageEnsure {
    pool: Arc<Pool>,
}

impl PackageEnsure {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for PackageEnsure {}

impl Resource for PackageEnsure {
    type Desired = DesiredPackages;
    /// Versions of what is installed completely, by name.
    type Actual = BTreeMap<String, String>;
    type Output = PackagesOutput;
    const NAME: &'static str = "ssh.package.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a host has Debian packages, each at its version.";

    async fn read(
        &self,
        cx: &ActionContext,
        desired: &DesiredPackages,
    ) -> Result<Option<BTreeMap<String, String>>, ActionError> {
        desired.packages.iter().try_for_each(check)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        installed(&remote, desired).await.map(Some)
    }

    fn diff(
        &self,
        desired: &DesiredPackages,
        actual: Option<&BTreeMap<String, String>>,
    ) -> Result<Vec<Difference>, ActionError> {
        let difference = |package: &PackageSpec| {
            let before = actual.and_then(|actual| actual.get(&package.name)).cloned();
            let wanted = package.version.clone().or_else(|| before.clone()).unwrap_or_else(|| "any version".into());
            Difference::between(&format!("package {}", package.name), before, wanted)
        };
        Ok(desired.packages.iter().filter_map(difference).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &DesiredPackages,
        actual: Option<&BTreeMap<String, String>>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        if let Some(mirror) = &desired.mirror {
            file::ensure(&remote, &File::readable(SOURCES, format!("{mirror}\n"))).await?;
        }
        apt(&remote, &["update"]).await?;
        let present = |package: &&PackageSpec| {
            let version = actual.and_then(|actual| actual.get(&package.name));
            version.is_none_or(|version| package.version.as_ref().is_some_and(|wanted| wanted != version))
        };
        let missing: Vec<String> = desired.packages.iter().filter(present).map(argument).collect();
        let mut install = vec!["install", "--yes", "--no-install-recommends", "--allow-downgrades"];
        install.extend(missing.iter().map(String::as_str));
        apt(&remote, &install).await
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &DesiredPackages,
        actual: &BTreeMap<String, String>,
    ) -> Result<PackagesOutput, ActionError> {
        Ok(PackagesOutput { versions: actual.clone() })
    }
}

fn check(package: &PackageSpec) -> Result<(), ActionError> {
    let fits = |text: &str, more: &[u8]| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    if fits(&package.name, b"+.-") && package.version.as_deref().is_none_or(|version| fits(version, b"+.-~:")) {
        return Ok(());
    }
    Err(ActionError::permanent(format!("{:?} is not a package and its version", argument(package))))
}

fn argument(package: &PackageSpec) -> String {
    match &package.version {
        Some(version) => format!("{}={version}", package.name),
        None => package.name.clone(),
    }
}

async fn installed(remote: &Remote<'_>, desired: &DesiredPackages) -> Result<BTreeMap<String, String>, ActionError> {
    if desired.packages.is_empty() {
        return Ok(BTreeMap::new());
    }
    let format = "-f=${Package}\\t${Version}\\t${db:Status-Status}\\n";
    let names = desired.packages.iter().map(|package| package.name.clone());
    let query = RemoteCommand::read("dpkg-query").args(["-W", format]).args(names);
    let outcome = remote.run(&query).await?;
    // 1 says that it knows nothing of one of them; it lists the others.
    if outcome.code > 1 {
        return Err(remote.context(outcome.failure(&query)));
    }
    let versions = outcome.stdout.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, version, "installed"] = fields.as_slice() else { return None };
        Some(((*name).to_owned(), (*version).to_owned()))
    });
    Ok(versions.collect())
}

async fn apt(remote: &Remote<'_>, arguments: &[&str]) -> Result<(), ActionError> {
    let command = |program: &[&str]| {
        let words = ["DEBIAN_FRONTEND=noninteractive"].iter().chain(program).copied();
        RemoteCommand::change("env").args(words).patient()
    };
    let words: Vec<&str> = ["apt-get", "-q", "-o", LOCK_TIMEOUT].iter().chain(arguments).copied().collect();
    let apt = command(&words);
    let outcome = remote.run(&apt).await?;
    if outcome.is_success() {
        return Ok(());
    }
    if outcome.stderr.contains("dpkg --configure -a") {
        // An earlier attempt was cut off in the middle of an installation.
        remote.succeed(&command(&["dpkg", "--configure", "-a"])).await?;
        return remote.succeed(&apt).await.map(drop);
    }
    let mut error = outcome.failure(&apt);
    if passes(&outcome.stderr) {
        error.kind = FailureKind::Transient;
    }
    Err(remote.context(error))
}

/// Whether apt may do better in a while: a mirror that does not answer, or another apt that does not end.
fn passes(stderr: &str) -> bool {
    let says = |words: &str| stderr.contains(words);
    let lacks = says("404  Not Found") || says("403  Forbidden");
    says("Could not get lock") || ((says("Failed to fetch") || says("Unable to fetch")) && !lacks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_does_not_answer_is_asked_again_and_one_that_lacks_a_file_is_not() {
        assert!(passes(
            "E: Failed to fetch http://m/x.deb  Temporary failure resolving 'm'\nE: Unable to fetch some archives"
        ));
        assert!(passes("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt-get)"));
        assert!(!passes("E: Failed to fetch http://m/x.deb  404  Not Found [IP: 10.0.0.1 80]"));
        assert!(!passes("E: Version '9' for 'containerd' was not found"));
    }
}
