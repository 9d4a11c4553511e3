use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use http::HeaderValue;
use jiff::Timestamp;
use kube::{
    Client, Config,
    client::AuthError,
    config::{AuthInfo, ExecConfig, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use pem::{EncodeConfig, LineEnding, Pem};
use secrecy::ExposeSecret;
use stargate_client::{CONNECT_TIMEOUT, USER_AGENT};
use stargate_sdk::{
    ActionContext, ActionError, FailureKind, MAX_SECRET_BYTES, Redactor, Secret, read_file_up_to_limit,
};
use tokio::sync::watch;

use crate::{
    KubeconfigSettings,
    login::{LOGIN_FAILED, log_in},
};

const HINT: &str = "give `--kubeconfig FILE`, or set KUBECONFIG";

/// The connection to the cluster, made by the first call that needs it, and again with another
/// credential when that of a login program expires or is refused.
pub(crate) struct ClusterConnection {
    settings: KubeconfigSettings,
    session: Mutex<Option<ClusterSession>>,
    /// Login in progress, with its last message to an operator. It ends when its last caller does.
    login: Mutex<Option<(WeakShared<Login>, watch::Receiver<String>)>>,
    /// True once a login has succeeded.
    was_connected: AtomicBool,
}

/// A client with one credential.
#[derive(Clone)]
pub(crate) struct ClusterSession {
    pub(crate) client: Client,
    /// Secret parts of the credential and of the kubeconfig.
    secrets: Arc<Vec<Secret>>,
    /// True if a login program has issued the credential.
    pub(crate) is_from_login: bool,
    /// Time from which on another credential is needed; `None` if it does not expire.
    refresh_at: Option<Timestamp>,
    number: u64,
}

type Login = BoxFuture<'static, Result<ClusterSession, ActionError>>;

impl ClusterConnection {
    pub(crate) fn new(settings: KubeconfigSettings) -> Self {
        Self { settings, session: Mutex::default(), login: Mutex::default(), was_connected: AtomicBool::new(false) }
    }

    /// Returns the session, and connects first if it is the first call or the credential has
    /// expired. Callers that come meanwhile share one login and its failure. Its message to an
    /// operator is the caller's progress.
    ///
    /// A kubeconfig that cannot be used is a `Permanent` error; the next call reads it again.
    pub(crate) async fn session(&self, cx: &ActionContext) -> Result<ClusterSession, ActionError> {
        if let Some(session) = self.present() {
            session.redact(cx.redactor());
            return Ok(session);
        }
        let (login, mut prompt) = self.login(cx);
        tokio::pin!(login);
        let session = loop {
            tokio::select! {
                session = &mut login => break session,
                changed = prompt.changed() => match changed {
                    Ok(()) => cx.progress(prompt.borrow_and_update().as_str()),
                    Err(_) => break login.await, // it has said everything
                },
            }
        };
        let session = session.map_err(|error| self.judged(error))?;
        session.redact(cx.redactor());
        self.was_connected.store(true, Ordering::Relaxed);
        *lock(&self.session) = Some(session.clone());
        Ok(session)
    }

    /// The error of a login. If the program has never succeeded in this process, it is not set up,
    /// and another attempt cannot succeed.
    fn judged(&self, mut error: ActionError) -> ActionError {
        if error.code.as_deref() == Some(LOGIN_FAILED) && !self.was_connected.load(Ordering::Relaxed) {
            error.kind = FailureKind::Permanent;
        }
        error
    }

    /// Drops a session whose credential the API server has refused, unless it was replaced
    /// meanwhile.
    pub(crate) fn forget(&self, refused: &ClusterSession) {
        let mut session = lock(&self.session);
        if session.as_ref().is_some_and(|session| session.number == refused.number) {
            *session = None;
        }
    }

    /// The session, if its credential has not expired.
    fn present(&self) -> Option<ClusterSession> {
        let is_valid = |session: &&ClusterSession| session.refresh_at.is_none_or(|at| Timestamp::now() < at);
        lock(&self.session).as_ref().filter(is_valid).cloned()
    }

    /// Returns the login in progress, or starts one.
    fn login(&self, cx: &ActionContext) -> (Shared<Login>, watch::Receiver<String>) {
        let mut slot = lock(&self.login);
        // One that has ended is not used again: its credential may have been refused.
        let present = slot.as_ref().and_then(|(login, prompt)| Some((login.upgrade()?, prompt.clone())));
        if let Some((login, prompt)) = present.filter(|(login, _)| login.peek().is_none()) {
            return (login, prompt);
        }
        let (sender, prompt) = watch::channel(String::new());
        let login = connect(self.settings.clone(), cx.secret_variables(), sender).boxed().shared();
        *slot = login.downgrade().map(|weak| (weak, prompt.clone()));
        (login, prompt)
    }

    /// Namespace of the kubeconfig's context.
    pub(crate) async fn default_namespace(&self) -> Result<String, ActionError> {
        Ok(config(&self.settings).await?.default_namespace)
    }

    /// URL of the API server without a trailing slash, and the certificates that it is verified
    /// with, as PEM.
    pub(crate) async fn endpoint(&self) -> Result<(String, String), ActionError> {
        let config = config(&self.settings).await?;
        let certificates: Vec<_> =
            config.root_cert.iter().flatten().map(|der| Pem::new("CERTIFICATE", der.as_slice())).collect();
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        Ok((server, pem::encode_many_config(&certificates, EncodeConfig::new().set_line_ending(LineEnding::LF))))
    }

    /// URL of the API server, with the context and the file that name it.
    pub(crate) async fn describe(&self) -> Result<String, ActionError> {
        let server = config(&self.settings).await?.cluster_url.to_string();
        let server = server.trim_end_matches('/');
        let read = match &self.settings.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        // Without a file, the configuration is that of the pod that the program runs in.
        let Ok(file) = read else { return Ok(format!("{server}, as the service account of this pod")) };
        let context = self.settings.context.clone().or(file.current_context).unwrap_or_default();
        let path = match &self.settings.kubeconfig {
            Some(path) => path.display().to_string(),
            None => default_path(),
        };
        Ok(format!("{server}, by context {context:?} of {path}"))
    }
}

impl ClusterSession {
    /// Redacts the secrets of the session from now on.
    fn redact(&self, redactor: &Redactor) {
        redactor.add_all(self.secrets.iter().map(Secret::expose));
    }
}

/// Reads the kubeconfig, runs its login program if it has one, and creates a client.
async fn connect(
    settings: KubeconfigSettings,
    hidden: BTreeSet<String>,
    prompt: watch::Sender<String>,
) -> Result<ClusterSession, ActionError> {
    let mut config = config(&settings).await?;
    config.default_retry = false; // The engine retries.
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.headers.push((http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
    let mut secrets = secrets_of(&config.auth_info);
    let exec = login_program(&mut config.auth_info)?;
    let is_from_login = exec.is_some();
    let mut refresh_at = None;
    if let Some(exec) = exec {
        let credential = log_in(exec, hidden, prompt).await?;
        secrets.extend(credential.secrets().map(Secret::new));
        refresh_at = credential.refresh_at;
        credential.apply_to(&mut config.auth_info);
    }
    let client = Client::try_from(config).map_err(|error| client_error(&error))?;
    Ok(ClusterSession { client, secrets: Arc::new(secrets), is_from_login, refresh_at, number: rand::random() })
}

/// Takes the login program, which runs only if the user has no other credential, out of the
/// configuration.
fn login_program(user: &mut AuthInfo) -> Result<Option<ExecConfig>, ActionError> {
    let exec = user.exec.take();
    if user.auth_provider.as_ref().is_some_and(|provider| provider.config.contains_key("cmd-path")) {
        return Err(ActionError::permanent("cannot use the kubeconfig: its user has an auth-provider with a command")
            .with_hint("replace it by an exec plugin, as Kubernetes 1.26 and later require"));
    }
    let has_other = user.auth_provider.is_some()
        || user.token.is_some()
        || user.token_file.is_some()
        || (user.username.is_some() && user.password.is_some());
    Ok(exec.filter(|_| !has_other))
}

/// The secrets of a kubeconfig's user: passwords, tokens and keys, with those that files contain,
/// and the variables of its login program.
fn secrets_of(user: &AuthInfo) -> Vec<Secret> {
    let given = [&user.token, &user.password, &user.client_key_data];
    let mut secrets: Vec<String> =
        given.into_iter().flatten().map(|secret| secret.expose_secret().to_owned()).collect();
    let decode = |text: &String| String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok();
    secrets.extend(user.client_key_data.iter().filter_map(|key| decode(&key.expose_secret().to_owned())));
    let files = [&user.token_file, &user.client_key].into_iter().flatten();
    secrets.extend(files.filter_map(|path| read_credential(path)).map(|text| text.trim().to_owned()));
    let is_secret = |name: &str| ["token", "secret", "password"].iter().any(|part| name.contains(part));
    let settings = user.auth_provider.iter().flat_map(|provider| &provider.config);
    secrets.extend(settings.filter(|(name, _)| is_secret(name)).map(|(_, value)| value.clone()));
    let variables = user.exec.iter().flat_map(|exec| exec.env.iter().flatten());
    let variables = variables.filter_map(|variable| Some((variable.get("name")?, variable.get("value")?)));
    let variables = variables.filter(|(name, value)| is_secret(&name.to_lowercase()) && !is_setting(value));
    secrets.extend(variables.map(|(_, value)| value.clone()));
    secrets.into_iter().map(Secret::new).collect()
}

/// Reads the file of a token or key; `None` if it cannot be read, or is larger than a secret can
/// be.
fn read_credential(path: &str) -> Option<String> {
    let bytes = read_file_up_to_limit(Path::new(path), MAX_SECRET_BYTES).ok()??;
    String::from_utf8(bytes).ok()
}

/// True for the value of a variable such as `USE_TOKEN_CACHE` or `AZURE_FEDERATED_TOKEN_FILE`: a
/// switch, a number or a path. Redacted, it would disappear from other text.
fn is_setting(value: &str) -> bool {
    let is_switch = ["true", "false", "none"].iter().any(|switch| value.eq_ignore_ascii_case(switch));
    is_switch || value.starts_with('/') || value.bytes().all(|byte| byte.is_ascii_digit())
}

async fn config(settings: &KubeconfigSettings) -> Result<Config, ActionError> {
    let options = KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
    match (&settings.kubeconfig, &settings.context) {
        (Some(path), _) => {
            let file = Kubeconfig::read_from(path).map_err(|e| kubeconfig_error(&e))?;
            Config::from_custom_kubeconfig(file, &options).await.map_err(|e| kubeconfig_error(&e))
        }
        (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|e| kubeconfig_error(&e)),
        (None, None) => match Kubeconfig::read() {
            Err(error @ KubeconfigError::Parse(_)) => Err(kubeconfig_error(&error)),
            _ => Config::infer().await.map_err(|e| unusable(&e)),
        },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Path that kube reads if no file is given.
fn default_path() -> String {
    std::env::var("KUBECONFIG").ok().filter(|paths| !paths.is_empty()).unwrap_or_else(|| "~/.kube/config".into())
}

fn kubeconfig_error(error: &KubeconfigError) -> ActionError {
    match error {
        // The parser's error shows lines of the file, which contain secrets.
        KubeconfigError::Parse(error) => match error.location() {
            Some(place) => {
                unusable(&format_args!("it is not a kubeconfig, at line {} column {}", place.line(), place.column()))
            }
            None => unusable(&"it is not a kubeconfig"),
        },
        other => unusable(other),
    }
}

fn client_error(error: &kube::Error) -> ActionError {
    match error {
        kube::Error::Auth(error) => unusable(&credential_problem(error)),
        other => unusable(other),
    }
}

/// Text for a credential that cannot be used. The texts of kube can contain it.
pub(crate) fn credential_problem(error: &AuthError) -> String {
    match error {
        AuthError::ReadTokenFile(error, path) => format!("the token file {} cannot be read: {error}", path.display()),
        AuthError::InvalidBearerToken(_) => "the token has characters that a header cannot have".into(),
        AuthError::InvalidBasicAuth(_) => "the password has characters that a header cannot have".into(),
        _ => "the credential of its user cannot be used".into(),
    }
}

fn unusable(reason: &dyn std::fmt::Display) -> ActionError {
    ActionError::permanent(format!("cannot use the kubeconfig: {reason}")).with_hint(HINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_credential_is_read_up_to_a_limit() {
        const LIMIT: u64 = MAX_SECRET_BYTES as u64;
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, bytes: u64| {
            let path = folder.path().join(name);
            std::fs::File::create(&path).and_then(|file| file.set_len(bytes)).expect("a file");
            path.to_str().expect("a path").to_owned()
        };
        let read = |bytes| read_credential(&write("token", bytes)).map(|text| text.len() as u64);
        assert_eq!(read(LIMIT), Some(LIMIT));
        assert_eq!(read(LIMIT + 1), None);
        for path in ["/dev/zero", "/proc/self/fd", "/nothing"] {
            assert_eq!(read_credential(path), None, "{path}");
        }
    }
}
