use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{Host, operations::file, pool::Pool};

/// Which file is not to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnwantedFile {
    /// The host.
    pub host: Host,
    /// Absolute path.
    pub path: String,
}

/// A file that is not there.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemovedFile {
    /// Its path.
    pub path: String,
}

/// `ssh.file.remove`.
pub(crate) struct FileRemove {
    pool: Arc<Pool>,
}

impl FileRemove {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for FileRemove {}

impl Resource for FileRemove {
    type Desired = UnwantedFile;
    /// Whether it is there.
    type Actual = bool;
    type Output = RemovedFile;
    const NAME: &'static str = "ssh.file.remove";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a host does not have a file.";

    async fn read(&self, cx: &ActionContext, desired: &UnwantedFile) -> Result<Option<bool>, ActionError> {
        file::check_path(&desired.path)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        Ok(Some(file::attributes(&remote, &desired.path).await?.is_some()))
    }

    fn diff(&self, desired: &UnwantedFile, actual: Option<&bool>) -> Result<Vec<Difference>, ActionError> {
        let there = actual == Some(&true);
        let gone = Difference::new(format!("file {}", desired.path), "there", serde_json::Value::Null);
        Ok(there.then_some(gone).into_iter().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &UnwantedFile,
        _: Option<&bool>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        file::remove(&self.pool.remote(cx, &desired.host)?, &desired.path).await
    }

    fn output(&self, _: &ActionContext, desired: &UnwantedFile, _: &bool) -> Result<RemovedFile, ActionError> {
        Ok(RemovedFile { path: desired.path.clone() })
    }
}
