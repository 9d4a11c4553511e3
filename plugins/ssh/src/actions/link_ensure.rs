use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    SshHost,
    client::{ConnectionPool, RemoteCommand},
    operations::file,
};

/// Desired state of a symbolic link on a host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkEnsureInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Absolute path of the link. Missing parent directories are created; an existing file is
    /// replaced.
    pub path: String,
    /// Absolute path of the link's target, which must exist.
    pub target: String,
}

/// Link that exists on a host.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LinkEnsureOutput {
    /// Absolute path of the link.
    pub path: String,
}

/// Action `ssh.link.ensure`: makes a symbolic link point to a target.
///
/// Targets are compared as text. A link to a path that does not exist is never made: it would look
/// unchanged from then on, and what uses it would fail later.
pub(crate) struct LinkEnsure {
    pool: Arc<ConnectionPool>,
}

impl LinkEnsure {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for LinkEnsure {}

impl Resource for LinkEnsure {
    type Desired = LinkEnsureInput;
    /// Target of the link.
    type Actual = String;
    type Output = LinkEnsureOutput;
    const NAME: &'static str = "ssh.link.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a symbolic link points to a file.";

    async fn read(&self, cx: &ActionContext, desired: &LinkEnsureInput) -> Result<Option<String>, ActionError> {
        file::check_path(&desired.path)?;
        file::check_path(&desired.target)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        // For anything but a link, readlink fails without output.
        let read = RemoteCommand::read("readlink").args([&desired.path]).with_root();
        let output = remote.run(&read).await?;
        Ok(Some(output.stdout.trim_end().to_owned()).filter(|target| !target.is_empty()))
    }

    fn diff(&self, desired: &LinkEnsureInput, actual: Option<&String>) -> Result<Vec<Difference>, ActionError> {
        let what = format!("link {}", desired.path);
        Ok(Difference::between(&what, actual.cloned(), desired.target.clone()).into_iter().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &LinkEnsureInput,
        _: Option<&String>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        if file::attributes(&remote, &desired.target).await?.is_none() {
            return Err(remote.context(ActionError::permanent(format!("{} does not exist", desired.target))));
        }
        let (folder, _) = desired.path.rsplit_once('/').expect("the path was checked to be absolute");
        remote.succeed(&RemoteCommand::change("install").args(["-d", folder])).await?;
        // Created under another name and renamed, so that the path always exists.
        let temporary = format!("{}.stargate-new", desired.path);
        remote.succeed(&RemoteCommand::change("ln").args(["-sfnT", &desired.target, &temporary])).await?;
        remote.succeed(&RemoteCommand::change("mv").args(["-T", &temporary, &desired.path])).await.map(drop)
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &LinkEnsureInput,
        _: &String,
    ) -> Result<LinkEnsureOutput, ActionError> {
        Ok(LinkEnsureOutput { path: desired.path.clone() })
    }
}
