use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    Host,
    command::RemoteCommand,
    operations::file::{self, Owner},
    pool::Pool,
};

/// How a directory is to be. What is in it is not spoken of.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredDirectory {
    /// The host.
    pub host: Host,
    /// Absolute path. Missing directories on the way to it are made as well.
    pub path: String,
    /// Its user, and its group after a colon.
    #[serde(default = "root")]
    pub owner: String,
    /// Permission bits, in octal.
    #[serde(default = "for_all_to_read")]
    pub mode: String,
}

/// A directory that is there.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DirectoryOutput {
    /// Its path.
    pub path: String,
}

fn root() -> String {
    "root".into()
}

fn for_all_to_read() -> String {
    "0755".into()
}

/// `ssh.directory.ensure`.
pub(crate) struct DirectoryEnsure {
    pool: Arc<Pool>,
}

impl DirectoryEnsure {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

/// Mode, user, group and kind, as `stat` prints them.
fn attributes(desired: &DesiredDirectory) -> Result<String, ActionError> {
    let owner = Owner::parse(&desired.owner)?;
    Ok(format!("{} {} {} directory", file::normal_mode(&desired.mode)?, owner.user, owner.group))
}

impl RequiredPermissions for DirectoryEnsure {}

impl Resource for DirectoryEnsure {
    type Desired = DesiredDirectory;
    type Actual = String;
    type Output = DirectoryOutput;
    const NAME: &'static str = "ssh.directory.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a host has a directory with its owner and mode.";

    async fn read(&self, cx: &ActionContext, desired: &DesiredDirectory) -> Result<Option<String>, ActionError> {
        file::check_path(&desired.path)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        let stat = RemoteCommand::read("stat").args(["-c", "%a %U %G %F", &desired.path]).with_root();
        Ok(file::read_with(&remote, stat).await?.map(|text| text.trim().to_owned()))
    }

    fn diff(&self, desired: &DesiredDirectory, actual: Option<&String>) -> Result<Vec<Difference>, ActionError> {
        let wanted = attributes(desired)?;
        if let Some(other) = actual.filter(|actual| !actual.ends_with(" directory")) {
            return Err(ActionError::permanent(format!("{} is no directory: {other}", desired.path)));
        }
        let what = format!("directory {}", desired.path);
        Ok(Difference::between(&what, actual.cloned(), wanted).into_iter().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &DesiredDirectory,
        _: Option<&String>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        let owner = Owner::parse(&desired.owner)?;
        let arguments = ["-d", "-o", &owner.user, "-g", &owner.group, "-m", &desired.mode, &desired.path];
        remote.succeed(&RemoteCommand::change("install").args(arguments)).await.map(drop)
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &DesiredDirectory,
        _: &String,
    ) -> Result<DirectoryOutput, ActionError> {
        Ok(DirectoryOutput { path: desired.path.clone() })
    }
}
