use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    Host,
    command::RemoteCommand,
    operations::file::{self, Owner},
    pool::Pool,
    remote::Remote,
};

/// How a program is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredBinary {
    /// The host.
    pub host: Host,
    /// Where the host fetches it: `https`, or `http` from a mirror of one's own.
    pub url: String,
    /// SHA-256 of the file, in hexadecimal. Nothing else is ever put in place.
    #[schemars(regex(pattern = "^[0-9a-fA-F]{64}$"))]
    pub sha256: String,
    /// Absolute path.
    pub path: String,
    /// Permission bits, in octal.
    #[serde(default = "executable")]
    pub mode: String,
}

/// A program that is in place.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct BinaryOutput {
    /// Its path.
    pub path: String,
    /// Its SHA-256: another one whenever the program is another.
    pub digest: String,
}

fn executable() -> String {
    "0755".into()
}

/// `ssh.binary.ensure`.
pub(crate) struct BinaryEnsure {
    pool: Arc<Pool>,
}

pub(crate) struct ActualBinary {
    sha256: String,
    attributes: String,
}

impl BinaryEnsure {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for BinaryEnsure {}

impl Resource for BinaryEnsure {
    type Desired = DesiredBinary;
    type Actual = ActualBinary;
    type Output = BinaryOutput;
    const NAME: &'static str = "ssh.binary.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a host has a program from a mirror, with the pinned checksum.";

    async fn read(&self, cx: &ActionContext, desired: &DesiredBinary) -> Result<Option<ActualBinary>, ActionError> {
        check(desired)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        let Some(sha256) = checksum(&remote, &desired.path).await? else { return Ok(None) };
        let attributes = file::attributes(&remote, &desired.path).await?;
        Ok(attributes.map(|attributes| ActualBinary { sha256, attributes }))
    }

    fn diff(&self, desired: &DesiredBinary, actual: Option<&ActualBinary>) -> Result<Vec<Difference>, ActionError> {
        let what = |property: &str| format!("{property} of {}", desired.path);
        let sha256 = actual.map(|actual| actual.sha256.as_str());
        let attributes = actual.map(|actual| actual.attributes.as_str());
        Ok([
            Difference::between(&what("checksum"), sha256, wanted(desired)),
            Difference::between(&what("mode and owner"), attributes, attributes_of(desired)?),
        ]
        .into_iter()
        .flatten()
        .collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &DesiredBinary,
        _: Option<&ActualBinary>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        let beside = format!("{}.stargate-new", desired.path);
        let make = ["-D", "-o", "root", "-g", "root", "-m", &desired.mode, "/dev/null", &beside];
        remote.succeed(&RemoteCommand::change("install").args(make)).await?;
        fetch(&remote, desired, &beside).await?;
        let fetched = checksum(&remote, &beside).await?;
        if fetched.as_deref() != Some(wanted(desired).as_str()) {
            file::remove(&remote, &beside).await?;
            return Err(remote.context(mismatch(desired, &fetched.unwrap_or_default())));
        }
        remote.succeed(&RemoteCommand::change("mv").args(["-T", &beside, &desired.path])).await.map(drop)
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &DesiredBinary,
        actual: &ActualBinary,
    ) -> Result<BinaryOutput, ActionError> {
        Ok(BinaryOutput { path: desired.path.clone(), digest: actual.sha256.clone() })
    }
}

fn check(desired: &DesiredBinary) -> Result<(), ActionError> {
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

fn wanted(desired: &DesiredBinary) -> String {
    desired.sha256.to_ascii_lowercase()
}

fn attributes_of(desired: &DesiredBinary) -> Result<String, ActionError> {
    let root = Owner::parse("root")?;
    Ok(format!("{} {} {}", file::normal_mode(&desired.mode)?, root.user, root.group))
}

async fn checksum(remote: &Remote<'_>, path: &str) -> Result<Option<String>, ActionError> {
    let sum = RemoteCommand::read("sha256sum").args([path]).with_root().patient();
    let text = file::read_with(remote, sum).await?;
    Ok(text.and_then(|text| Some(text.split_ascii_whitespace().next()?.trim_start_matches('\\').to_owned())))
}

/// The mirror not answering is a matter of time; that it does not have the file is not.
async fn fetch(remote: &Remote<'_>, desired: &DesiredBinary, beside: &str) -> Result<(), ActionError> {
    let arguments = ["-fsSL", "--connect-timeout", "20", "--retry", "3", "-o", beside, &desired.url];
    let curl = RemoteCommand::change("curl").args(arguments).patient();
    let outcome = remote.run(&curl).await?;
    if outcome.is_success() {
        return Ok(());
    }
    // 22: the server answered with an error such as 404; everything else is the way to it.
    let passes = ![2, 3, 22, 23, 127].contains(&outcome.code);
    let mut error = outcome.failure(&curl);
    if passes && error.code.is_none() {
        error.kind = stargate_sdk::FailureKind::Transient;
    }
    Err(remote.context(error))
}

fn mismatch(desired: &DesiredBinary, fetched: &str) -> ActionError {
    ActionError::permanent(format!("{} has the SHA-256 {fetched}, not {}", desired.url, desired.sha256))
        .with_hint("the mirror has another file under this name; compare its checksum with the publisher's")
}
