use std::{collections::BTreeMap, fmt, io, process::Stdio, str::FromStr, sync::Arc};

use futures::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
};

use crate::{ActionContext, ActionError, Permission, Redactor};

/// Maximum length of a secret of `env:`, `file:` or `exec:`, with the line breaks at its end, in
/// bytes. Reading stops there.
const MAX_BYTES: u64 = 64 * 1024;

/// A secret value, without `Display` and `Serialize`. `Debug` prints `***`; the memory is
/// overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a secret value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The value itself, only for the call that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reference to a secret: `env:NAME`, `file:PATH`, `exec:COMMAND`, or the scheme of a
/// [`SecretSource`].
///
/// Plans, journals and logs contain the reference, never the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretRef {
    text: String,
    colon: usize,
}

impl SecretRef {
    /// Scheme of the reference: `env`, `file`, `exec` or that of a source.
    pub fn scheme(&self) -> &str {
        &self.text[..self.colon]
    }

    /// Part of the reference after the colon.
    pub fn rest(&self) -> &str {
        &self.text[self.colon + 1..]
    }
}

/// Error of a text that is not a secret reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a secret is given by reference: env:NAME, file:PATH or exec:COMMAND, not by value")]
pub struct SecretRefError;

impl FromStr for SecretRef {
    type Err = SecretRefError;

    // The text is not repeated in the error: it may be the secret itself.
    fn from_str(text: &str) -> Result<Self, SecretRefError> {
        let colon = text.find(':').ok_or(SecretRefError)?;
        let scheme = &text[..colon];
        let known = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if known && colon + 1 < text.len() { Ok(Self { text: text.into(), colon }) } else { Err(SecretRefError) }
    }
}

impl TryFrom<String> for SecretRef {
    type Error = SecretRefError;

    fn try_from(text: String) -> Result<Self, SecretRefError> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(reference: SecretRef) -> Self {
        reference.text
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for SecretRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "secret", "pattern": "^[a-z-]+:.+" })
    }
}

/// A provider's source of secrets, such as one-shot keys that are minted at use.
pub trait SecretSource: Send + Sync {
    /// Scheme of its references, the part before the colon.
    fn scheme(&self) -> &'static str;
    /// Permissions that resolving requires; `rest` is the part after the colon, up to the first
    /// expression in it.
    fn permissions(&self, rest: &str) -> Vec<Permission>;
    /// Obtains the secret; `rest` is the part after the colon.
    ///
    /// # Errors
    /// [`ActionError`], without a secret value in its text.
    fn resolve<'a>(&'a self, cx: &'a ActionContext, rest: &'a str) -> BoxFuture<'a, Result<Secret, ActionError>>;
}

/// Resolver of secret references, and redactor of the values that it has resolved.
#[derive(Default)]
pub struct Secrets {
    sources: BTreeMap<&'static str, Arc<dyn SecretSource>>,
    redactor: Redactor,
}

impl Secrets {
    /// Adds a provider's source. It replaces an earlier one of the same scheme.
    pub fn add(&mut self, source: Arc<dyn SecretSource>) {
        self.sources.insert(source.scheme(), source);
    }

    /// Redactor of all secrets that were resolved so far.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Permissions that resolving `reference` requires; none for `env:`, `file:` and `exec:`.
    pub fn permissions(&self, reference: &SecretRef) -> Vec<Permission> {
        let source = self.sources.get(reference.scheme());
        source.map(|source| source.permissions(reference.rest())).unwrap_or_default()
    }

    /// Obtains the value of `reference`, which is redacted from then on.
    ///
    /// # Errors
    /// `Permanent` for a reference that cannot be resolved on this machine, otherwise the error of
    /// its source. It names the reference, never a value.
    pub async fn resolve(&self, cx: &ActionContext, reference: &SecretRef) -> Result<Secret, ActionError> {
        let secret = match self.sources.get(reference.scheme()) {
            Some(source) => source.resolve(cx, reference.rest()).await,
            None => resolve_local(reference).await,
        }
        .map_err(|e| e.context(format_args!("secret {:?}", reference.to_string())))?;
        self.redactor.add(secret.expose());
        Ok(secret)
    }

    /// Like [`Self::resolve`], for `env:`, `file:` and `exec:` references outside any attempt.
    ///
    /// # Errors
    /// `Permanent`, also for the scheme of a source.
    pub async fn resolve_local(&self, reference: &SecretRef) -> Result<Secret, ActionError> {
        let secret = resolve_local(reference)
            .await
            .map_err(|e| e.context(format_args!("secret {:?}", reference.to_string())))?;
        self.redactor.add(secret.expose());
        Ok(secret)
    }
}

async fn resolve_local(reference: &SecretRef) -> Result<Secret, ActionError> {
    match reference.scheme() {
        "env" => from_env(reference.rest()),
        "file" => from_file(reference.rest()).await,
        "exec" => from_command(reference.rest()).await,
        other => Err(ActionError::permanent(format!("unknown scheme {other:?}, expected env, file or exec"))),
    }
}

fn from_env(name: &str) -> Result<Secret, ActionError> {
    match std::env::var(name) {
        Ok(value) if value.len() as u64 > MAX_BYTES => Err(too_long_error("the environment variable has")),
        Ok(value) if !value.is_empty() => Ok(Secret::new(value)),
        Ok(_) => Err(ActionError::permanent("the environment variable is empty")),
        Err(_) => Err(ActionError::permanent("the environment variable is not set")
            .with_hint(format!("export {name}=… before running stargate"))),
    }
}

async fn from_file(path: &str) -> Result<Secret, ActionError> {
    let file = tokio::fs::File::open(path).await.map_err(|e| ActionError::permanent(e.to_string()))?;
    match read_up_to_limit(file).await? {
        Some(bytes) => to_secret(bytes, "the file contains"),
        None => Err(too_long_error("the file contains").with_hint("name a file that contains only the secret")),
    }
}

async fn from_command(command: &str) -> Result<Secret, ActionError> {
    let permanent = |e: io::Error| ActionError::permanent(e.to_string());
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(permanent)?;
    let stdout = child.stdout.take().ok_or_else(|| ActionError::permanent("the command has no output"))?;
    let Some(bytes) = read_up_to_limit(stdout).await? else {
        child.kill().await.map_err(permanent)?;
        return Err(too_long_error("the command printed").with_hint("use a command that prints only the secret"));
    };
    let status = child.wait().await.map_err(permanent)?;
    if !status.success() {
        return Err(ActionError::permanent(format!("the command failed with {status}")));
    }
    to_secret(bytes, "the command printed")
}

/// Reads `source` to its end, or returns `None` if it is longer than [`MAX_BYTES`].
async fn read_up_to_limit(source: impl AsyncRead + Unpin) -> Result<Option<Vec<u8>>, ActionError> {
    let mut bytes = Vec::new();
    let read = source.take(MAX_BYTES + 1).read_to_end(&mut bytes).await;
    let length = read.map_err(|e| ActionError::permanent(e.to_string()))?;
    Ok((length as u64 <= MAX_BYTES).then_some(bytes))
}

/// Removes the line breaks at the end. `origin` starts the error's message: `the file contains`.
fn to_secret(bytes: Vec<u8>, origin: &str) -> Result<Secret, ActionError> {
    let text = String::from_utf8(bytes)
        .map_err(|_| ActionError::permanent(format!("{origin} something that is not UTF-8")))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

fn too_long_error(origin: &str) -> ActionError {
    ActionError::permanent(format!("{origin} more than {} KiB", MAX_BYTES / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(reference: String) -> Result<Secret, ActionError> {
        Secrets::default().resolve_local(&reference.parse().expect("reference")).await
    }

    #[tokio::test]
    async fn a_file_or_a_command_gives_64_kib_and_not_a_byte_more() {
        let longest = "x".repeat(64 * 1024);
        let path = std::env::temp_dir().join(format!("stargate-secret-{}", std::process::id()));
        std::fs::write(&path, &longest).expect("written");
        let references = [format!("file:{}", path.display()), format!("exec:cat {}", path.display())];
        for reference in references.clone() {
            assert_eq!(resolve(reference).await.expect("a secret").expose(), longest);
        }
        std::fs::write(&path, longest + "x").expect("written");
        for reference in references {
            let error = resolve(reference).await.expect_err("too long");
            assert!(error.message.ends_with("more than 64 KiB") && error.hint.is_some(), "{error}");
        }
        std::fs::remove_file(&path).expect("removed");
    }

    #[tokio::test]
    async fn a_source_without_end_is_not_read_to_its_end() {
        for reference in ["file:/dev/zero", "exec:while :; do echo x; done", "exec:cat /dev/zero; echo x"] {
            let error = resolve(reference.into()).await.expect_err("too long");
            assert!(error.message.contains(reference) && error.message.ends_with("more than 64 KiB"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_command_that_fails_or_prints_no_text_gives_no_secret() {
        let error = resolve("exec:echo hunter2; exit 3".into()).await.expect_err("it failed");
        assert!(error.message.contains("exit status: 3"), "{error}");
        let error = resolve("exec:printf '\\377'".into()).await.expect_err("no text");
        assert!(error.message.ends_with("the command printed something that is not UTF-8"), "{error}");
    }

    #[test]
    fn a_value_instead_of_a_reference_is_refused_without_repeating_it() {
        let error = "hunter2".parse::<SecretRef>().expect_err("no scheme");
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn a_reference_survives_serialisation_and_a_secret_is_masked() {
        let reference: SecretRef = serde_json::from_str("\"env:TS_KEY\"").expect("reference");
        assert_eq!((reference.scheme(), reference.rest()), ("env", "TS_KEY"));
        assert_eq!(serde_json::to_string(&reference).expect("JSON"), "\"env:TS_KEY\"");
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }
}
