use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::{
    ActionContext, ActionError, LocalCommandError, Permission, Redactor, bounded_read::read_up_to_limit,
    run_local_command,
};

/// Maximum length of a secret of `env:`, `file:` or `exec:`, with the line breaks at its end, in
/// bytes. Reading stops there.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;
/// Minimum length of a secret, in bytes. A shorter one occurs in other text by chance and cannot be
/// redacted.
const MIN_BYTES: usize = 4;
/// Permissions of a file that only its owner needs.
const OTHERS: u32 = 0o077;

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
    /// Environment variables that contain secrets.
    variables: Mutex<BTreeSet<String>>,
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

    /// Keeps the variable of an `env:` reference out of the environment of programs that this
    /// process runs.
    pub fn reserve(&self, reference: &SecretRef) {
        if reference.scheme() == "env" {
            let mut variables = self.variables.lock().unwrap_or_else(PoisonError::into_inner);
            variables.insert(reference.rest().to_owned());
        }
    }

    /// Keeps variables with these names, which contain secrets by convention, out of the
    /// environment of programs that this process runs. Their values are redacted from now on.
    pub fn reserve_variables(&self, names: &[&str]) {
        let values = names.iter().filter_map(|name| std::env::var(name).ok());
        values.for_each(|value| self.redactor.add(&value));
        let mut variables = self.variables.lock().unwrap_or_else(PoisonError::into_inner);
        variables.extend(names.iter().map(|&name| name.to_owned()));
    }

    /// Names of the environment variables that contain secrets, as far as they are known.
    pub fn variables(&self) -> BTreeSet<String> {
        self.variables.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Obtains the value of `reference`, which is redacted from then on. The command of an `exec:`
    /// reference is killed with its children at the attempt's deadline and when it is cancelled.
    ///
    /// # Errors
    /// `Permanent` for a reference that cannot be resolved on this machine, otherwise the error of
    /// its source. `Transient` if the attempt had to stop. It names the reference, never a value.
    pub async fn resolve(&self, cx: &ActionContext, reference: &SecretRef) -> Result<Secret, ActionError> {
        let resolved = async {
            match self.sources.get(reference.scheme()) {
                Some(source) => source.resolve(cx, reference.rest()).await,
                None => self.resolve_here(reference).await,
            }
        };
        let resolved = tokio::select! {
            biased; // a value that is there counts
            resolved = resolved => resolved,
            () = cx.cancellation().cancelled() => Err(ActionError::transient("interrupted")),
            () = tokio::time::sleep_until(cx.deadline()) => {
                Err(ActionError::transient("no value within the step's timeout"))
            }
        };
        self.redacted(reference, resolved)
    }

    /// Like [`Self::resolve`], for `env:`, `file:` and `exec:` references outside any attempt.
    ///
    /// # Errors
    /// `Permanent`, also for the scheme of a source.
    pub async fn resolve_local(&self, reference: &SecretRef) -> Result<Secret, ActionError> {
        self.redacted(reference, self.resolve_here(reference).await)
    }

    async fn resolve_here(&self, reference: &SecretRef) -> Result<Secret, ActionError> {
        match reference.scheme() {
            "env" => {
                self.reserve(reference);
                from_env(reference.rest())
            }
            "file" => from_file(reference.rest()).await,
            "exec" => from_command(reference.rest(), self.variables()).await,
            other => Err(ActionError::permanent(format!("unknown scheme {other:?}, expected env, file or exec"))),
        }
    }

    /// Redacts a resolved value from now on, and refuses one that is too short for that.
    fn redacted(&self, reference: &SecretRef, resolved: Result<Secret, ActionError>) -> Result<Secret, ActionError> {
        let checked = resolved.and_then(|secret| match secret.expose().len() {
            0..MIN_BYTES => Err(too_short_error()),
            _ => Ok(secret),
        });
        let secret = checked.map_err(|e| e.context(format_args!("secret {:?}", reference.to_string())))?;
        self.redactor.add(secret.expose());
        Ok(secret)
    }
}

fn from_env(name: &str) -> Result<Secret, ActionError> {
    match std::env::var(name) {
        Ok(value) if value.len() > MAX_SECRET_BYTES => Err(too_long_error("the environment variable has")),
        Ok(value) if !value.is_empty() => Ok(Secret::new(value)),
        Ok(_) => Err(ActionError::permanent("the environment variable is empty")),
        Err(_) => Err(ActionError::permanent("the environment variable is not set")
            .with_hint(format!("export {name}=… before running stargate"))),
    }
}

async fn from_file(path: &str) -> Result<Secret, ActionError> {
    let path = expand_home(path, std::env::home_dir());
    let unreadable = |error: io::Error| ActionError::permanent(error.to_string());
    let file = tokio::fs::File::open(&path).await.map_err(unreadable)?;
    let metadata = file.metadata().await.map_err(unreadable)?;
    if let Some(warning) = permissions_warning(&path, metadata.permissions().mode()).filter(|_| metadata.is_file()) {
        tracing::warn!("{warning}");
    }
    match read_up_to_limit(file, MAX_SECRET_BYTES).await.map_err(unreadable)? {
        Some(bytes) => to_secret(bytes, "the file contains"),
        None => Err(too_long_error("the file contains").with_hint("name a file that contains only the secret")),
    }
}

/// Replaces a leading `~/` by the user's home, as shells do.
fn expand_home(path: &str, home: Option<PathBuf>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

/// Text for a file of a secret that other users can read or write.
fn permissions_warning(path: &Path, mode: u32) -> Option<String> {
    let path = path.display();
    let warning = format!(
        "the secret file {path} has mode {:04o}, which permits access to other users: run `chmod 600 {path}`",
        mode & 0o7777
    );
    (mode & OTHERS != 0).then_some(warning)
}

/// Runs the command in a shell. The variables of other secrets are not in its environment.
async fn from_command(command: &str, variables: BTreeSet<String>) -> Result<Secret, ActionError> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null());
    for variable in variables {
        shell.env_remove(variable);
    }
    // Standard error is not shown: it can contain a part of the secret.
    let run = run_local_command(shell, MAX_SECRET_BYTES, |_| ()).await;
    let output = run.map_err(|error| match error {
        LocalCommandError::OutputTooLarge(_) => {
            too_long_error("the command printed").with_hint("use a command that prints only the secret")
        }
        other => ActionError::permanent(format!("the command failed: {other}")),
    })?;
    if !output.status.success() {
        return Err(ActionError::permanent(format!("the command failed with {}", output.status)));
    }
    to_secret(output.stdout, "the command printed")
}

/// Removes the line breaks at the end. `origin` starts the error's message: `the file contains`.
fn to_secret(bytes: Vec<u8>, origin: &str) -> Result<Secret, ActionError> {
    let text = String::from_utf8(bytes)
        .map_err(|_| ActionError::permanent(format!("{origin} something that is not UTF-8")))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

fn too_short_error() -> ActionError {
    ActionError::permanent(format!("the value has fewer than {MIN_BYTES} bytes, which cannot be redacted"))
        .with_hint("use a longer secret")
}

fn too_long_error(origin: &str) -> ActionError {
    ActionError::permanent(format!("{origin} more than {} KiB", MAX_SECRET_BYTES / 1024))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    #[test]
    fn a_file_that_others_can_read_is_warned_of_and_a_home_is_expanded() {
        let path = Path::new("/s");
        for mode in [0o100_644, 0o666, 0o640, 0o602, 0o100_601] {
            assert!(permissions_warning(path, mode).is_some_and(|text| text.contains("chmod 600 /s")), "{mode:o}");
        }
        assert_eq!(permissions_warning(path, 0o100_600).or(permissions_warning(path, 0o400)), None);
        let home = Some(PathBuf::from("/home/a"));
        assert_eq!(expand_home("~/key", home.clone()), Path::new("/home/a/key"));
        for other in ["/key", "key~", "~key", "~b/key", "./~/key"] {
            assert_eq!(expand_home(other, home.clone()), Path::new(other));
        }
        assert_eq!(expand_home("~/key", None), Path::new("~/key"));
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

    #[tokio::test]
    async fn a_short_value_is_refused() {
        assert_eq!(resolve("exec:echo abcd".into()).await.expect("long enough").expose(), "abcd");
        let error = resolve("exec:echo abc".into()).await.expect_err("too short");
        assert!(error.message.contains("fewer than 4 bytes") && error.hint.is_some(), "{error}");
    }

    #[tokio::test]
    async fn a_command_ends_with_the_attempt_and_does_not_see_other_secrets() {
        let secrets = Arc::new(Secrets::default());
        let reference: SecretRef = "exec:echo $$ >&2; sleep 600 & wait".parse().expect("reference");
        let cx = ActionContext::detached("test", Arc::clone(&secrets)).with_timeout(Duration::from_millis(20));
        let error = secrets.resolve(&cx, &reference).await.expect_err("the timeout");
        assert!(error.message.ends_with("no value within the step's timeout"), "{error}");
        let cx = ActionContext::detached("test", Arc::clone(&secrets));
        cx.cancellation().cancel();
        let error = secrets.resolve(&cx, &reference).await.expect_err("cancelled");
        assert!(error.message.ends_with("interrupted"), "{error}");
        secrets.reserve(&"env:PATH".parse().expect("reference"));
        let shown = secrets.resolve_local(&"exec:/bin/echo ${PATH:-unset}".parse().expect("reference")).await;
        assert_ne!(shown.expect("printed").expose(), std::env::var("PATH").expect("PATH"));
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
