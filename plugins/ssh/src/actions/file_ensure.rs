use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource, SecretRef};

use crate::{
    Host,
    command::RemoteCommand,
    host::short_hash,
    operations::file::{self, File, Owner},
    pool::Pool,
    remote::Remote,
    template::Template,
};

/// How a file is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredFile {
    /// The host.
    pub host: Host,
    /// Absolute path. Missing directories on the way to it are made.
    pub path: String,
    /// The whole text; `{{name}}` stands for the secret of that name.
    pub content: String,
    /// Its user, and its group after a colon.
    #[serde(default = "root")]
    pub owner: String,
    /// Permission bits, in octal.
    #[serde(default = "for_all_to_read")]
    pub mode: String,
    /// Secrets by the name of their place in the text. A file that differs in their values only is in order.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretRef>,
    /// After how many seconds a file with secrets is written anew, because they expire.
    #[serde(default)]
    pub max_age_seconds: Option<u64>,
}

/// A file that is there.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct FileOutput {
    /// Its path.
    pub path: String,
    /// Another one whenever its text, without the values of secrets, is another.
    pub digest: String,
}

fn root() -> String {
    "root".into()
}

fn for_all_to_read() -> String {
    "0644".into()
}

/// `ssh.file.ensure`.
pub(crate) struct FileEnsure {
    pool: Arc<Pool>,
}

/// What was seen of a file. The content itself is not kept: it may hold a secret.
pub(crate) struct ActualFile {
    fits: bool,
    attributes: String,
    expired: bool,
}

impl FileEnsure {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for FileEnsure {}

impl Resource for FileEnsure {
    type Desired = DesiredFile;
    type Actual = ActualFile;
    type Output = FileOutput;
    const NAME: &'static str = "ssh.file.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a host has a file with its content, owner and mode.";

    async fn read(&self, cx: &ActionContext, desired: &DesiredFile) -> Result<Option<ActualFile>, ActionError> {
        file::check_path(&desired.path)?;
        let template = Template::new(&desired.content, &desired.secrets)?;
        let remote = self.pool.remote(cx, &desired.host)?;
        let content = if template.is_secret() {
            file::read_confidentially(&remote, &desired.path).await?
        } else {
            file::read(&remote, &desired.path).await?
        };
        let (Some(content), Some(attributes)) = (content, file::attributes(&remote, &desired.path).await?) else {
            return Ok(None);
        };
        let expired = match desired.max_age_seconds {
            Some(limit) => age(&remote, &desired.path).await? > limit,
            None => false,
        };
        Ok(Some(ActualFile { fits: template.fits(&content), attributes, expired }))
    }

    fn diff(&self, desired: &DesiredFile, actual: Option<&ActualFile>) -> Result<Vec<Difference>, ActionError> {
        let file = file(desired, String::new())?;
        let Some(actual) = actual else {
            return Ok(vec![Difference::missing(format!("file {}", desired.path), file.attributes())]);
        };
        let what = |property: &str| format!("{property} of {}", desired.path);
        let content = (!actual.fits).then(|| Difference::new(what("content"), "another", digest(desired)));
        let expired = actual.expired.then(|| Difference::new(what("age"), "expired", "fresh"));
        let attributes = Difference::between(&what("mode and owner"), actual.attributes.as_str(), file.attributes());
        Ok([content, expired, attributes].into_iter().flatten().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &DesiredFile,
        _: Option<&ActualFile>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        let content = Template::new(&desired.content, &desired.secrets)?.filled(cx).await?;
        file::put(&remote, &file(desired, content)?).await
    }

    fn output(&self, _: &ActionContext, desired: &DesiredFile, _: &ActualFile) -> Result<FileOutput, ActionError> {
        Ok(FileOutput { path: desired.path.clone(), digest: digest(desired) })
    }
}

fn digest(desired: &DesiredFile) -> String {
    short_hash(desired.content.as_bytes())
}

fn file(desired: &DesiredFile, content: String) -> Result<File, ActionError> {
    Ok(File {
        path: desired.path.clone(),
        content,
        owner: Owner::parse(&desired.owner)?,
        mode: file::normal_mode(&desired.mode)?,
    })
}

/// Seconds since the file was written, by the host's own clock.
async fn age(remote: &Remote<'_>, path: &str) -> Result<u64, ActionError> {
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_default();
    let now = remote.succeed(&RemoteCommand::read("date").args(["+%s"])).await?.stdout;
    let written = file::read_with(remote, RemoteCommand::read("stat").args(["-c", "%Y", path]).with_root()).await?;
    Ok(number(&now).saturating_sub(number(&written.unwrap_or_default())))
}
