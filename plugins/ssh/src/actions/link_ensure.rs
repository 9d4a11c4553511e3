use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{Host, command::RemoteCommand, operations::file, pool::Pool};

/// Where a symbolic link is to lead.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredLink {
    /// The host.
    pub host: Host,
    /// Absolute path of the link. Missing directories on the way to it are made; whatever has its place gives way.
    pub path: String,
    /// Absolute path of what it leads to, which has to be there.
    pub target: String,
}

/// A link that is there.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LinkOutput {
    /// Its path.
    pub path: String,
}

/// `ssh.link.ensure`.
pub(crate) struct LinkEnsure {
    pool: Arc<Pool>,
}

impl LinkEnsure {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for LinkEnsure {}

impl Resource for LinkEnsure {
    type Desired = DesiredLink;
    /// What it leads to.
    type Actual = String;
    type Output = LinkOutput;
    const NAME: &'static str = "ssh.link.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a symbolic link leads to a file.";

    async fn read(&self, cx: &ActionContext, desired: &DesiredLink) -> Result<Option<String>, ActionError> {
        file::check_path(&desired.path)?;
        file::check_path(&desired.target)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        // It says nothing and fails for whatever is no link.
        let read = RemoteCommand::read("readlink").args([&desired.path]).with_root();
        let outcome = remote.run(&read).await?;
        Ok(Some(outcome.stdout.trim_end().to_owned()).filter(|target| !target.is_empty()))
    }

    fn diff(&self, desired: &DesiredLink, actual: Option<&String>) -> Result<Vec<Difference>, ActionError> {
        let what = format!("link {}", desired.path);
        Ok(Difference::between(&what, actual.cloned(), desired.target.clone()).into_iter().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &DesiredLink,
        _: Option<&String>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        if file::attributes(&remote, &desired.target).await?.is_none() {
            return Err(remote.context(ActionError::permanent(format!("{} is not there", desired.target))));
        }
        let (folder, _) = desired.path.rsplit_once('/').expect("the path was checked to be absolute");
        remote.succeed(&RemoteCommand::change("install").args(["-d", folder])).await?;
        // Made beside it and renamed: at no moment is there neither.
        let beside = format!("{}.stargate-new", desired.path);
        remote.succeed(&RemoteCommand::change("ln").args(["-sfnT", &desired.target, &beside])).await?;
        remote.succeed(&RemoteCommand::change("mv").args(["-T", &beside, &desired.path])).await.map(drop)
    }

    fn output(&self, _: &ActionContext, desired: &DesiredLink, _: &String) -> Result<LinkOutput, ActionError> {
        Ok(LinkOutput { path: desired.path.clone() })
    }
}
