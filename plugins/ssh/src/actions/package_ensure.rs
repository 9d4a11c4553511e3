use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, FailureKind, RequiredPermissions, Resource};

use crate::{
    SshHost,
    client::{ConnectionPool, Remote, RemoteCommand},
    operations::file::{self, HostFile},
};

/// File for the mirror's line.
const SOURCES: &str = "/etc/apt/sources.list.d/stargate.list";
/// Option to wait for another apt, in seconds: unattended upgrades run after the first boot and
/// take up to ten minutes.
const LOCK_TIMEOUT: &str = "DPkg::Lock::Timeout=600";

/// Desired packages of a host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PackageEnsureInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Packages to install.
    pub packages: Vec<PackageSpec>,
    /// Line for apt's list of sources, such as `deb [signed-by=…] https://mirror.example/debian
    /// trixie main`.
    #[serde(default)]
    pub mirror: Option<String>,
}

/// A Debian package.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PackageSpec {
    /// Name of the package.
    pub name: String,
    /// Exact version; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Packages that are installed on a host.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PackageEnsureOutput {
    /// Installed versions by package name.
    pub versions: BTreeMap<String, String>,
}

/// Action `ssh.package.ensure`: installs Debian packages at their versions.
///
/// The index is updated before each installation, and not if nothing is missing. A version can also
/// be lower than the installed one. Packages that were removed from the list stay installed.
pub(crate) struct PackageEnsure {
    pool: Arc<ConnectionPool>,
}

impl PackageEnsure {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for PackageEnsure {}

impl Resource for PackageEnsure {
    type Desired = PackageEnsureInput;
    /// Versions of completely installed packages, by name.
    type Actual = BTreeMap<String, String>;
    type Output = PackageEnsureOutput;
    const NAME: &'static str = "ssh.package.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a host has Debian packages, each at its version.";

    async fn read(
        &self,
        cx: &ActionContext,
        desired: &PackageEnsureInput,
    ) -> Result<Option<BTreeMap<String, String>>, ActionError> {
        desired.packages.iter().try_for_each(check)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        installed(&remote, desired).await.map(Some)
    }

    fn diff(
        &self,
        desired: &PackageEnsureInput,
        actual: Option<&BTreeMap<String, String>>,
    ) -> Result<Vec<Difference>, ActionError> {
        let difference = |package: &PackageSpec| {
            let before = actual.and_then(|actual| actual.get(&package.name)).cloned();
            let desired = package.version.clone().or_else(|| before.clone()).unwrap_or_else(|| "any version".into());
            Difference::between(&format!("package {}", package.name), before, desired)
        };
        Ok(desired.packages.iter().filter_map(difference).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &PackageEnsureInput,
        actual: Option<&BTreeMap<String, String>>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        if let Some(mirror) = &desired.mirror {
            file::ensure(&remote, &HostFile::readable(SOURCES, format!("{mirror}\n"))).await?;
        }
        apt(&remote, &["update"]).await?;
        let present = |package: &&PackageSpec| {
            let version = actual.and_then(|actual| actual.get(&package.name));
            version.is_none_or(|version| package.version.as_ref().is_some_and(|desired| desired != version))
        };
        let missing: Vec<String> = desired.packages.iter().filter(present).map(argument).collect();
        let mut install = vec!["install", "--yes", "--no-install-recommends", "--allow-downgrades"];
        install.extend(missing.iter().map(String::as_str));
        apt(&remote, &install).await
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &PackageEnsureInput,
        actual: &BTreeMap<String, String>,
    ) -> Result<PackageEnsureOutput, ActionError> {
        Ok(PackageEnsureOutput { versions: actual.clone() })
    }
}

/// Checks name and version of a package.
///
/// The name becomes an argument of apt: one that starts with `-` would be an option, and one with
/// `/` or `=` another package or version.
///
/// # Errors
/// `Permanent`, with the text that was refused.
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

/// The package as apt's argument: `name` or `name=version`.
fn argument(package: &PackageSpec) -> String {
    match &package.version {
        Some(version) => format!("{}={version}", package.name),
        None => package.name.clone(),
    }
}

/// Reads the versions of the desired packages that are installed completely. One that is only
/// unpacked, or whose configuration failed, counts as missing, so that apt completes it.
async fn installed(remote: &Remote<'_>, desired: &PackageEnsureInput) -> Result<BTreeMap<String, String>, ActionError> {
    if desired.packages.is_empty() {
        return Ok(BTreeMap::new());
    }
    let format = "-f=${Package}\\t${Version}\\t${db:Status-Status}\\n";
    let names = desired.packages.iter().map(|package| package.name.clone());
    let query = RemoteCommand::read("dpkg-query").args(["-W", format]).args(names);
    let output = remote.run(&query).await?;
    // The exit code is 1 if a package is unknown; the others are listed.
    if output.code > 1 {
        return Err(remote.context(output.to_error(&query)));
    }
    let versions = output.stdout.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, version, "installed"] = fields.as_slice() else { return None };
        Some(((*name).to_owned(), (*version).to_owned()))
    });
    Ok(versions.collect())
}

/// Runs apt-get, after completing an installation that was interrupted.
///
/// apt waits for another apt by itself. It has the step's timeout, since a slow mirror is not a
/// failure.
///
/// # Errors
/// `Transient` if the mirror does not respond or the lock is still held, otherwise that of the
/// command. apt can be repeated after any of them.
async fn apt(remote: &Remote<'_>, arguments: &[&str]) -> Result<(), ActionError> {
    let command = |program: &[&str]| {
        let words = ["DEBIAN_FRONTEND=noninteractive"].iter().chain(program).copied();
        RemoteCommand::change("env").args(words).with_step_timeout()
    };
    let words: Vec<&str> = ["apt-get", "-q", "-o", LOCK_TIMEOUT].iter().chain(arguments).copied().collect();
    let apt = command(&words);
    let output = remote.run(&apt).await?;
    if output.is_success() {
        return Ok(());
    }
    if output.stderr.contains("dpkg --configure -a") {
        // An earlier attempt was interrupted in the middle of an installation.
        remote.succeed(&command(&["dpkg", "--configure", "-a"])).await?;
        return remote.succeed(&apt).await.map(drop);
    }
    let mut error = output.to_error(&apt);
    if is_transient(&output.stderr) {
        error.kind = FailureKind::Transient;
    }
    Err(remote.context(error))
}

/// True if a retry of apt may succeed: the mirror does not respond, or another apt is running.
///
/// A mirror that lacks the file or refuses it, with 404 or 403, is a `Permanent` error, although
/// apt words it as a failed fetch.
fn is_transient(stderr: &str) -> bool {
    let has = |text: &str| stderr.contains(text);
    let lacks = has("404  Not Found") || has("403  Forbidden");
    has("Could not get lock") || ((has("Failed to fetch") || has("Unable to fetch")) && !lacks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_mirror_is_transient_and_a_missing_file_is_not() {
        assert!(is_transient(
            "E: Failed to fetch http://m/x.deb  Temporary failure resolving 'm'\nE: Unable to fetch some archives"
        ));
        assert!(is_transient("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt-get)"));
        assert!(!is_transient("E: Failed to fetch http://m/x.deb  404  Not Found [IP: 10.0.0.1 80]"));
        assert!(!is_transient("E: Version '9' for 'containerd' was not found"));
    }
}
