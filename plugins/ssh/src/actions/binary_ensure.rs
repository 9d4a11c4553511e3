use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    SshHost,
    client::{ConnectionPool, Remote, RemoteCommand},
    operations::file::{self, FileOwner},
};

/// Desired state of a program on a host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BinaryEnsureInput {
    /// Host to connect to.
    pub host: SshHost,
    /// URL from which the host downloads the program: `https`, or `http` for a private mirror.
    pub url: String,
    /// SHA-256 of the file, in hexadecimal. A file with another one is never installed.
    #[schemars(regex(pattern = "^[0-9a-fA-F]{64}$"))]
    pub sha256: String,
    /// Absolute path of the program.
    pub path: String,
    /// Permission bits, in octal; `0755` by default.
    #[serde(default = "executable")]
    pub mode: String,
}

/// Program that is installed on a host.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct BinaryEnsureOutput {
    /// Absolute path of the program.
    pub path: String,
    /// SHA-256 of the program, in hexadecimal.
    pub digest: String,
}

fn executable() -> String {
    "0755".into()
}

/// Action `ssh.binary.ensure`: makes a program on a host equal the file with a pinned checksum.
///
/// The file is downloaded next to its path, checked, and moved over it in one step: a running
/// program is never written to, and no moment exists at which another file is executed. A restart
/// of what uses the program is a step of its own, `ssh.unit.ensure` with `restart_on`.
pub(crate) struct BinaryEnsure {
    pool: Arc<ConnectionPool>,
}

/// The installed file: its SHA-256 in hexadecimal, and mode, user and group as `stat` prints them.
pub(crate) struct ActualBinary {
    sha256: String,
    attributes: String,
}

impl BinaryEnsure {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for BinaryEnsure {}

impl Resource for BinaryEnsure {
    type Desired = BinaryEnsureInput;
    type Actual = ActualBinary;
    type Output = BinaryEnsureOutput;
    const NAME: &'static str = "ssh.binary.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a host has a program from a mirror, with the pinned checksum.";

    async fn read(&self, cx: &ActionContext, desired: &BinaryEnsureInput) -> Result<Option<ActualBinary>, ActionError> {
        check(desired)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        let Some(sha256) = file::sha256(&remote, &desired.path).await? else { return Ok(None) };
        let attributes = file::attributes(&remote, &desired.path).await?;
        Ok(attributes.map(|attributes| ActualBinary { sha256, attributes }))
    }

    fn diff(&self, desired: &BinaryEnsureInput, actual: Option<&ActualBinary>) -> Result<Vec<Difference>, ActionError> {
        let what = |property: &str| format!("{property} of {}", desired.path);
        let sha256 = actual.map(|actual| actual.sha256.as_str());
        let attributes = actual.map(|actual| actual.attributes.as_str());
        Ok([
            Difference::between(&what("checksum"), sha256, desired_checksum(desired)),
            Difference::between(&what("mode and owner"), attributes, desired_attributes(desired)?),
        ]
        .into_iter()
        .flatten()
        .collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &BinaryEnsureInput,
        _: Option<&ActualBinary>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        let temporary = format!("{}.stargate-new", desired.path);
        let make = ["-D", "-o", "root", "-g", "root", "-m", &desired.mode, "/dev/null", &temporary];
        remote.succeed(&RemoteCommand::change("install").args(make)).await?;
        fetch(&remote, desired, &temporary).await?;
        let fetched = file::sha256(&remote, &temporary).await?;
        if fetched.as_deref() != Some(desired_checksum(desired).as_str()) {
            file::remove(&remote, &temporary).await?;
            return Err(remote.context(mismatch(desired, &fetched.unwrap_or_default())));
        }
        remote.succeed(&RemoteCommand::change("mv").args(["-T", &temporary, &desired.path])).await.map(drop)
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &BinaryEnsureInput,
        actual: &ActualBinary,
    ) -> Result<BinaryEnsureOutput, ActionError> {
        Ok(BinaryEnsureOutput { path: desired.path.clone(), digest: actual.sha256.clone() })
    }
}

/// Checks path, checksum and URL. The schema checks the checksum too, but not for a value that an
/// expression computes.
fn check(desired: &BinaryEnsureInput) -> Result<(), ActionError> {
    file::check_path(&desired.path)?;
    let hexadecimal = desired.sha256.len() == 64 && desired.sha256.bytes().all(|b| b.is_ascii_hexdigit());
    if !hexadecimal {
        return Err(ActionError::permanent(format!("{:?} is not a SHA-256 checksum", desired.sha256)));
    }
    if !["https://", "http://"].iter().any(|scheme| desired.url.starts_with(scheme)) {
        return Err(ActionError::permanent(format!("{:?} is neither an https nor an http URL", desired.url)));
    }
    Ok(())
}

/// Checksum as `sha256sum` prints it, in lower case.
fn desired_checksum(desired: &BinaryEnsureInput) -> String {
    desired.sha256.to_ascii_lowercase()
}

/// Desired mode, user and group, as `stat` prints them: a program belongs to root.
fn desired_attributes(desired: &BinaryEnsureInput) -> Result<String, ActionError> {
    let root = FileOwner::parse("root")?;
    Ok(format!("{} {} {}", file::normalize_mode(&desired.mode)?, root.user, root.group))
}

/// Downloads the file to `path`. An unreachable mirror is a `Transient` error, a missing file a
/// `Permanent` one.
async fn fetch(remote: &Remote<'_>, desired: &BinaryEnsureInput, path: &str) -> Result<(), ActionError> {
    let arguments = ["-fsSL", "--connect-timeout", "20", "--retry", "3", "-o", path, &desired.url];
    let curl = RemoteCommand::change("curl").args(arguments).with_step_timeout();
    let output = remote.run(&curl).await?;
    if output.is_success() {
        return Ok(());
    }
    // curl's exit codes of errors that a retry cannot avoid: 2 and 3 usage, 22 an HTTP error such
    // as 404, 23 a write error; 127 is a missing curl.
    let is_transient = ![2, 3, 22, 23, 127].contains(&output.code);
    let mut error = output.to_error(&curl);
    if is_transient && error.code.is_none() {
        error.kind = stargate_sdk::FailureKind::Transient;
    }
    Err(remote.context(error))
}

/// Error of a downloaded file with another checksum. It has been removed; the installed program is
/// unchanged.
fn mismatch(desired: &BinaryEnsureInput, fetched: &str) -> ActionError {
    ActionError::permanent(format!("{} has the SHA-256 {fetched}, not {}", desired.url, desired.sha256))
        .with_hint("the mirror has another file under this name; compare its checksum with the publisher's")
}
