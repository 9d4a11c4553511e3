//! Runs the login program that a kubeconfig names for its user: its credential plugin.
//!
//! kube would run it without a limit of time, and repeat its arguments, environment and output in
//! errors, which all can contain secrets.

use std::{collections::BTreeSet, path::Path, process::Stdio};

use jiff::{SignedDuration, Timestamp};
use kube::config::{AuthInfo, ExecConfig, ExecInteractiveMode};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use stargate_sdk::{ActionError, LocalCommandError, LocalOutput, run_local_command};
use tokio::{process::Command, sync::watch};

/// Code of errors about the login program.
pub const LOGIN_FAILED: &str = "login_failed";
/// Maximum length of the program's output, in bytes: a token, or a certificate with its key.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;
/// Time before its expiry at which a credential is replaced, so that none expires while it is sent.
const EXPIRY_MARGIN: SignedDuration = SignedDuration::from_mins(1);

/// Program that logs in to Azure, and the secrets that it reads from its environment.
const KUBELOGIN: (&str, &[&str]) =
    ("kubelogin", &["AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD"]);

/// Credential that a login program printed.
pub(crate) struct Credential {
    token: Option<String>,
    /// Certificate and its key, both as PEM.
    certificate: Option<(String, String)>,
    /// Time from which on another one is obtained; `None` if it does not expire.
    pub(crate) refresh_at: Option<Timestamp>,
}

impl Credential {
    /// The secret parts.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.token.as_deref().into_iter().chain(self.certificate.iter().map(|(_, key)| key.as_str()))
    }

    /// Makes it the credential of the user.
    pub(crate) fn apply_to(self, user: &mut AuthInfo) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        user.token = self.token.map(SecretString::from).or(user.token.take());
        if let Some((certificate, key)) = self.certificate {
            user.client_certificate_data = Some(STANDARD.encode(certificate));
            user.client_key_data = Some(SecretString::from(STANDARD.encode(key)));
        }
    }
}

/// Object with which a login program answers.
#[derive(Deserialize)]
struct ExecCredential {
    status: Option<ExecCredentialStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredentialStatus {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<Timestamp>,
}

/// Runs the login program and returns its credential. A line in which it asks an operator to open
/// a page is sent to `prompt`. `hidden` are variables that it does not get, unless it needs them.
///
/// The program and its children are killed when the future is dropped.
///
/// # Errors
/// In own words: name of the program and exit code, never its arguments, environment or output.
/// `Permanent`, if another attempt cannot succeed.
pub(crate) async fn log_in(
    exec: ExecConfig,
    hidden: BTreeSet<String>,
    prompt: watch::Sender<String>,
) -> Result<Credential, ActionError> {
    let program = program_name(&exec)?;
    let command = command(&exec, &program, &hidden)?;
    let on_line = |line: &str| {
        if line.contains("https://") {
            prompt.send_replace(format!("{program}: {line}"));
        }
    };
    let output = run_local_command(command, MAX_OUTPUT_BYTES, on_line).await;
    let output = output.map_err(|error| run_error(&exec, &program, &error))?;
    credential(&program, &output)
}

/// Name of the program, without its directory.
fn program_name(exec: &ExecConfig) -> Result<String, ActionError> {
    let command = exec.command.as_deref().unwrap_or_default();
    match Path::new(command).file_name() {
        Some(name) => Ok(name.to_string_lossy().into_owned()),
        None => Err(failed(ActionError::permanent("the kubeconfig's user has an exec plugin without a command"))),
    }
}

fn command(exec: &ExecConfig, program: &str, hidden: &BTreeSet<String>) -> Result<Command, ActionError> {
    if exec.interactive_mode == Some(ExecInteractiveMode::Always) {
        let message = "the login program of the kubeconfig needs a terminal (interactiveMode: Always)";
        return Err(failed(ActionError::permanent(message)));
    }
    let mut command = Command::new(exec.command.as_deref().unwrap_or_default());
    command.args(exec.args.iter().flatten()).stdin(Stdio::null());
    let needed = if program == KUBELOGIN.0 { KUBELOGIN.1 } else { &[] };
    let hidden = hidden.iter().filter(|variable| !needed.contains(&variable.as_str()));
    for variable in hidden.chain(exec.drop_env.iter().flatten()) {
        command.env_remove(variable);
    }
    for variable in exec.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    command.env("KUBERNETES_EXEC_INFO", exec_info(exec)?.to_string());
    Ok(command)
}

/// Object that describes the request to the program.
fn exec_info(exec: &ExecConfig) -> Result<Value, ActionError> {
    let mut spec = json!({"interactive": false});
    if exec.provide_cluster_info {
        let cluster = serde_json::to_value(&exec.cluster);
        spec["cluster"] =
            cluster.map_err(|_| failed(ActionError::permanent("the kubeconfig's cluster is not JSON")))?;
    }
    Ok(json!({"apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec}))
}

fn credential(program: &str, output: &LocalOutput) -> Result<Credential, ActionError> {
    if !output.status.success() {
        let end = match output.status.code() {
            Some(code) => format!("exit code {code}"),
            None => output.status.to_string(), // killed by a signal
        };
        // The reason can be the network, or an identity provider that does not answer.
        return Err(failed(ActionError::transient(format!("{} ended with {end}", subject(program)))));
    }
    let unusable = |what: &str| failed(ActionError::permanent(format!("{} printed {what}", subject(program))));
    // The parser's error could repeat the credential. YAML contains JSON.
    let printed: ExecCredential =
        serde_saphyr::from_slice(&output.stdout).map_err(|_| unusable("something that is not an ExecCredential"))?;
    let status = printed.status.ok_or_else(|| unusable("an ExecCredential without a status"))?;
    let certificate = status.client_certificate_data.zip(status.client_key_data);
    if status.token.is_none() && certificate.is_none() {
        return Err(unusable("an ExecCredential without a token or a certificate"));
    }
    let refresh_at = status.expiration_timestamp.map(|expiry| expiry.saturating_sub(EXPIRY_MARGIN).unwrap_or(expiry));
    Ok(Credential { token: status.token, certificate, refresh_at })
}

fn run_error(exec: &ExecConfig, program: &str, error: &LocalCommandError) -> ActionError {
    let message = format!("{}: {error}", subject(program));
    match error {
        LocalCommandError::Start(_) => {
            let hint = exec.install_hint.as_deref().and_then(|hint| hint.lines().find(|line| !line.trim().is_empty()));
            let error = failed(ActionError::permanent(message));
            let own = || format!("install {program}, or give `--kubeconfig FILE` with other credentials");
            error.with_hint(hint.map_or_else(own, |hint| hint.trim().to_owned()))
        }
        LocalCommandError::OutputTooLarge(_) => failed(ActionError::permanent(message)),
        LocalCommandError::Read(_) => failed(ActionError::transient(message)),
    }
}

fn subject(program: &str) -> String {
    format!("login program {program:?} of the kubeconfig")
}

fn failed(error: ActionError) -> ActionError {
    error
        .with_code(LOGIN_FAILED)
        .with_hint("run `kubectl get nodes` with the same kubeconfig: it shows the messages of the login program")
}

#[cfg(test)]
mod tests {
    use stargate_sdk::FailureKind;

    use super::*;

    fn shell(script: &str) -> ExecConfig {
        let config = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh",
            "args": ["-c", script, "login", "--client-secret", "argument-secret"],
            "env": [{"name": "PLUGIN_SECRET", "value": "environment-secret"}]});
        serde_json::from_value(config).expect("an exec configuration")
    }

    async fn run(exec: ExecConfig) -> Result<Credential, ActionError> {
        let hidden = BTreeSet::from(["CARGO_MANIFEST_DIR".to_owned()]);
        log_in(exec, hidden, watch::Sender::default()).await
    }

    #[tokio::test]
    async fn a_credential_is_read_with_its_expiry() {
        let script = r#"printf '{"status": {"token": "%s", "expirationTimestamp": "2030-01-01T00:01:00Z"}}' \
            "$PLUGIN_SECRET/$5/${CARGO_MANIFEST_DIR:-hidden}""#;
        let credential = run(shell(script)).await.expect("a credential");
        assert_eq!(credential.refresh_at.expect("it expires").to_string(), "2030-01-01T00:00:00Z");
        assert_eq!(credential.secrets().collect::<Vec<_>>(), ["environment-secret//hidden"]);
        let yaml = run(shell("printf 'status:\\n  clientCertificateData: c\\n  clientKeyData: key\\n'")).await;
        let mut user = AuthInfo::default();
        yaml.expect("a credential").apply_to(&mut user);
        assert_eq!(user.client_certificate_data.as_deref(), Some("Yw=="));
    }

    #[tokio::test]
    async fn errors_have_the_name_of_the_program_and_its_exit_code_only() {
        let cases = [
            ("echo printed-secret; echo printed-secret >&2; exit 3", "ended with exit code 3", FailureKind::Transient),
            ("echo printed-secret; kill -9 $$", "ended with signal: 9 (SIGKILL)", FailureKind::Transient),
            ("echo printed-secret", "printed something that is not an ExecCredential", FailureKind::Permanent),
            ("echo '{}' '# printed-secret'", "printed an ExecCredential without a status", FailureKind::Permanent),
            (
                "echo '{status: {}}'",
                "printed an ExecCredential without a token or a certificate",
                FailureKind::Permanent,
            ),
            ("cat /dev/zero", "it printed more than 65536 bytes", FailureKind::Permanent),
        ];
        for (script, expected, kind) in cases {
            let Err(error) = run(shell(script)).await else { panic!("{script} gives no credential") };
            assert!(error.message.starts_with("login program \"sh\" of the kubeconfig"), "{error}");
            assert!(error.message.ends_with(expected) && error.kind == kind, "{error}");
            assert!(!format!("{error:?}").contains("-secret"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn the_login_of_azure_gets_its_own_secrets_only() {
        let hidden = BTreeSet::from(["AZURE_CLIENT_SECRET".to_owned(), "TS_AUTHKEY".to_owned()]);
        let removed = |program: &str| {
            let command = command(&shell(""), program, &hidden).expect("a command");
            let removed = command.as_std().get_envs().filter(|(_, value)| value.is_none());
            removed.map(|(name, _)| name.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(removed("kubelogin"), ["TS_AUTHKEY"]);
        assert_eq!(removed("gke-gcloud-auth-plugin"), ["AZURE_CLIENT_SECRET", "TS_AUTHKEY"]);
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_named_with_the_hint_of_the_kubeconfig() {
        let missing = ExecConfig { command: Some("/nonexistent/kubelogin".into()), ..shell("") };
        let Err(error) = run(missing.clone()).await else { panic!("it is missing") };
        assert!(error.message.contains("\"kubelogin\"") && error.kind == FailureKind::Permanent, "{error}");
        assert!(error.hint.expect("a hint").starts_with("install kubelogin"));
        let hinted = ExecConfig { install_hint: Some("\n get it from the shelf\n".into()), ..missing };
        assert_eq!(run(hinted).await.err().and_then(|error| error.hint).as_deref(), Some("get it from the shelf"));
    }
}
