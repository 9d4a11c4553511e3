use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::SecretText;
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource, SecretRef};

use crate::{
    SshHost,
    client::{ConnectionPool, Remote, RemoteCommand},
    host::short_hash,
    operations::file::{self, FileOwner, HostFile},
};

/// Desired state of a file on a host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEnsureInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Absolute path. Missing parent directories are created.
    pub path: String,
    /// The whole text; `{{name}}` is replaced by the secret of that name.
    pub content: String,
    /// User, optionally with a group, as `user:group`; `root` by default.
    #[serde(default = "root")]
    pub owner: String,
    /// Permission bits, in octal; by default `0600` for a file with secrets, otherwise `0644`.
    #[serde(default)]
    pub mode: Option<String>,
    /// Secrets by placeholder name. A file that differs only in their values is unchanged.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretRef>,
    /// Age in seconds after which a file with secrets is rewritten, because they expire; never if
    /// absent.
    #[serde(default)]
    pub max_age_seconds: Option<u64>,
}

/// File that exists on a host.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FileEnsureOutput {
    /// Absolute path of the file.
    pub path: String,
    /// Digest of the text, with placeholders instead of the secrets' values.
    pub digest: String,
}

fn root() -> String {
    "root".into()
}

/// Action `ssh.file.ensure`: makes a file exist with its content, owner and mode.
///
/// The file is replaced in one step, so a reader sees the old or the new one. Content that is
/// compared stays in memory; differences and errors have a digest of the input instead.
pub(crate) struct FileEnsure {
    pool: Arc<ConnectionPool>,
}

/// Actual state of a file, without its content, which may contain a secret.
pub(crate) struct ActualFile {
    has_desired_content: bool,
    /// Mode, user and group, as `stat` prints them.
    attributes: String,
    expired: bool,
}

impl FileEnsure {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for FileEnsure {}

impl Resource for FileEnsure {
    type Desired = FileEnsureInput;
    type Actual = ActualFile;
    type Output = FileEnsureOutput;
    const NAME: &'static str = "ssh.file.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a host has a file with its content, owner and mode.";

    async fn read(&self, cx: &ActionContext, desired: &FileEnsureInput) -> Result<Option<ActualFile>, ActionError> {
        file::check_path(&desired.path)?;
        let text = SecretText::parse(&desired.content, &desired.secrets)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        let content = file::read(&remote, &desired.path).await?;
        let (Some(content), Some(attributes)) = (content, file::attributes(&remote, &desired.path).await?) else {
            return Ok(None);
        };
        let expired = match desired.max_age_seconds {
            Some(limit) => age(&remote, &desired.path).await? > limit,
            None => false,
        };
        Ok(Some(ActualFile { has_desired_content: text.matches(&content), attributes, expired }))
    }

    fn diff(&self, desired: &FileEnsureInput, actual: Option<&ActualFile>) -> Result<Vec<Difference>, ActionError> {
        let file = file(desired, String::new())?;
        let Some(actual) = actual else {
            return Ok(vec![Difference::missing(format!("file {}", desired.path), file.attributes())]);
        };
        let what = |property: &str| format!("{property} of {}", desired.path);
        let content =
            (!actual.has_desired_content).then(|| Difference::new(what("content"), "another", digest(desired)));
        let expired = actual.expired.then(|| Difference::new(what("age"), "expired", "fresh"));
        let attributes = Difference::between(&what("mode and owner"), actual.attributes.as_str(), file.attributes());
        Ok([content, expired, attributes].into_iter().flatten().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &FileEnsureInput,
        _: Option<&ActualFile>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        let content = SecretText::parse(&desired.content, &desired.secrets)?.fill(cx).await?;
        file::replace(&remote, &file(desired, content)?).await
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &FileEnsureInput,
        _: &ActualFile,
    ) -> Result<FileEnsureOutput, ActionError> {
        Ok(FileEnsureOutput { path: desired.path.clone(), digest: digest(desired) })
    }
}

/// Digest of the input's text, with placeholders: it does not change when only the value of a
/// secret does.
fn digest(desired: &FileEnsureInput) -> String {
    short_hash(desired.content.as_bytes())
}

/// The desired file with this content; mode and owner are normalised as `stat` prints them.
///
/// # Errors
/// `Permanent` for a mode or an owner that cannot be parsed.
fn file(desired: &FileEnsureInput, content: String) -> Result<HostFile, ActionError> {
    let default_mode = if desired.secrets.is_empty() { "0644" } else { "0600" };
    Ok(HostFile {
        path: desired.path.clone(),
        content,
        owner: FileOwner::parse(&desired.owner)?,
        mode: file::normalize_mode(desired.mode.as_deref().unwrap_or(default_mode))?,
    })
}

/// Reads the age of the file in seconds, by the host's own clock.
///
/// Another clock cannot be used: the host's may be wrong by more than the limit. A file that is
/// dated in the future has the age 0; one that was removed in between counts as old.
async fn age(remote: &Remote<'_>, path: &str) -> Result<u64, ActionError> {
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_default();
    let now = remote.succeed(&RemoteCommand::read("date").args(["+%s"])).await?.stdout;
    let written = file::read_with(remote, RemoteCommand::read("stat").args(["-c", "%Y", path]).with_root()).await?;
    Ok(number(&now).saturating_sub(number(&written.unwrap_or_default())))
}
