use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    SshHost,
    client::{ConnectionPool, RemoteCommand},
    operations::file::{self, FileOwner},
};

/// Desired state of a directory on a host. Its content is not part of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectoryEnsureInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Absolute path. Missing parent directories are created.
    pub path: String,
    /// User, optionally with a group, as `user:group`; `root` by default.
    #[serde(default = "root")]
    pub owner: String,
    /// Permission bits, in octal; `0755` by default.
    #[serde(default = "world_readable")]
    pub mode: String,
}

/// Directory that exists on a host.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DirectoryEnsureOutput {
    /// Absolute path of the directory.
    pub path: String,
}

fn root() -> String {
    "root".into()
}

fn world_readable() -> String {
    "0755".into()
}

/// Action `ssh.directory.ensure`: makes a directory exist with its owner and mode.
///
/// Only the last directory of the path gets owner and mode; missing parents are created with the
/// defaults of root. A file or a link at the path is an error, and is never replaced.
pub(crate) struct DirectoryEnsure {
    pool: Arc<ConnectionPool>,
}

impl DirectoryEnsure {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

/// Desired mode, user, group and file type, as `stat` prints them.
fn desired_attributes(desired: &DirectoryEnsureInput) -> Result<String, ActionError> {
    let owner = FileOwner::parse(&desired.owner)?;
    Ok(format!("{} {} {} directory", file::normalize_mode(&desired.mode)?, owner.user, owner.group))
}

impl RequiredPermissions for DirectoryEnsure {}

impl Resource for DirectoryEnsure {
    type Desired = DirectoryEnsureInput;
    type Actual = String;
    type Output = DirectoryEnsureOutput;
    const NAME: &'static str = "ssh.directory.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a host has a directory with its owner and mode.";

    async fn read(&self, cx: &ActionContext, desired: &DirectoryEnsureInput) -> Result<Option<String>, ActionError> {
        file::check_path(&desired.path)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        let stat = RemoteCommand::read("stat").args(["-c", "%a %U %G %F", &desired.path]).with_root();
        Ok(file::read_with(&remote, stat).await?.map(|text| text.trim().to_owned()))
    }

    fn diff(&self, desired: &DirectoryEnsureInput, actual: Option<&String>) -> Result<Vec<Difference>, ActionError> {
        let attributes = desired_attributes(desired)?;
        if let Some(other) = actual.filter(|actual| !actual.ends_with(" directory")) {
            return Err(ActionError::permanent(format!("{} is not a directory: {other}", desired.path)));
        }
        let what = format!("directory {}", desired.path);
        Ok(Difference::between(&what, actual.cloned(), attributes).into_iter().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &DirectoryEnsureInput,
        _: Option<&String>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        let owner = FileOwner::parse(&desired.owner)?;
        let arguments = ["-d", "-o", &owner.user, "-g", &owner.group, "-m", &desired.mode, &desired.path];
        remote.succeed(&RemoteCommand::change("install").args(arguments)).await.map(drop)
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &DirectoryEnsureInput,
        _: &String,
    ) -> Result<DirectoryEnsureOutput, ActionError> {
        Ok(DirectoryEnsureOutput { path: desired.path.clone() })
    }
}
