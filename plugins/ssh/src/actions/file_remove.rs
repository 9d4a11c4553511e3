use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{SshHost, client::ConnectionPool, operations::file};

/// The file that must not exist.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRemoveInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Absolute path of the file.
    pub path: String,
}

/// File that does not exist.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FileRemoveOutput {
    /// Absolute path of the file.
    pub path: String,
}

/// Action `ssh.file.remove`: removes a file from a host.
///
/// A file that does not exist is unchanged. A directory is not removed; the command fails with its
/// reason.
pub(crate) struct FileRemove {
    pool: Arc<ConnectionPool>,
}

impl FileRemove {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for FileRemove {}

impl Resource for FileRemove {
    type Desired = FileRemoveInput;
    /// True if the file exists.
    type Actual = bool;
    type Output = FileRemoveOutput;
    const NAME: &'static str = "ssh.file.remove";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a host does not have a file.";

    async fn read(&self, cx: &ActionContext, desired: &FileRemoveInput) -> Result<Option<bool>, ActionError> {
        file::check_path(&desired.path)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        Ok(Some(file::attributes(&remote, &desired.path).await?.is_some()))
    }

    fn diff(&self, desired: &FileRemoveInput, actual: Option<&bool>) -> Result<Vec<Difference>, ActionError> {
        let exists = actual == Some(&true);
        let removal = Difference::new(format!("file {}", desired.path), "there", serde_json::Value::Null);
        Ok(exists.then_some(removal).into_iter().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &FileRemoveInput,
        _: Option<&bool>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        file::remove(&self.pool.remote(cx, &desired.host)?, &desired.path).await
    }

    fn output(&self, _: &ActionContext, desired: &FileRemoveInput, _: &bool) -> Result<FileRemoveOutput, ActionError> {
        Ok(FileRemoveOutput { path: desired.path.clone() })
    }
}
