//! Settings of the process. This file is the only reader of environment variables: a flag overrides
//! a variable, and a variable overrides the default. Unknown variables are refused.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use stargate::engine::DEFAULT_LEASE;
use stargate_sdk::SecretRef;
use url::Url;

use super::{
    Failure,
    args::{GlobalArgs, Output},
    environment::{self, Environment},
    time_zone,
    workflow_text::IncludeScope,
};

/// Default references to the OAuth client of Tailscale.
const CLIENT_ID: &str = "env:TAILSCALE_CLIENT_ID";
const CLIENT_SECRET: &str = "env:TAILSCALE_CLIENT_SECRET";

/// Kind of a terminal, from the variable TERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TerminalKind {
    /// Lines can be redrawn in place.
    Redrawable,
    /// Lines can only be added.
    Dumb,
}

impl TerminalKind {
    fn of(term: Option<&str>) -> Self {
        if term == Some("dumb") { Self::Dumb } else { Self::Redrawable }
    }
}

/// Settings from flags, environment variables and defaults.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Path of the journal file.
    pub(crate) journal: PathBuf,
    /// A flag or a variable names the journal.
    pub(crate) journal_is_named: bool,
    /// Settings for Azure.
    pub(crate) azure: AzureSettings,
    /// Base URL of Tailscale's API; `None` for the public one.
    pub(crate) tailscale_endpoint: Option<Url>,
    /// Name of the tailnet; `-` for the tailnet of the OAuth client.
    pub(crate) tailnet: String,
    /// Reference to the id of the OAuth client.
    pub(crate) tailscale_client_id: SecretRef,
    /// Reference to the secret of the OAuth client.
    pub(crate) tailscale_client_secret: SecretRef,
    /// `ssh_config` file; `None` for the user's own.
    pub(crate) ssh_config: Option<PathBuf>,
    /// Kubeconfig of the cluster; `None` for `KUBECONFIG` or `~/.kube/config`.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig; `None` for its current context.
    pub(crate) kube_context: Option<String>,
    /// Folder for known host keys and control sockets of ssh.
    pub(crate) ssh_state: PathBuf,
    /// Duration of the leases of runs. Only tests set it.
    pub(crate) lease: Duration,
    /// Filter for diagnostics on stderr.
    pub(crate) log: String,
    /// Colours are allowed on terminals.
    pub(crate) colour: bool,
    /// Kind of the terminal, if there is one.
    pub(crate) terminal: TerminalKind,
    /// Files that workflows can inline.
    pub(crate) includes: IncludeScope,
    /// Format of the output.
    pub(crate) output: Output,
    /// Lines that steps capture are shown.
    pub(crate) verbose: bool,
    /// Folder for temporary folders.
    #[cfg(feature = "sim")]
    pub(crate) temp_dir: PathBuf,
}

/// Settings for Azure Resource Manager.
#[derive(Debug, Clone)]
pub(crate) struct AzureSettings {
    /// Base URL; `None` for public Azure.
    pub(crate) endpoint: Option<Url>,
    /// Id of the subscription.
    pub(crate) subscription: Option<String>,
    /// Reference to a token; `None` for the chain of credentials.
    pub(crate) token: Option<SecretRef>,
    /// Certificate file (PEM) to trust in addition to the system's.
    pub(crate) ca: Option<PathBuf>,
}

impl Settings {
    /// Loads the settings of this process.
    ///
    /// # Errors
    ///
    /// A usage failure if a variable is unknown or has an unusable value, or if there is no folder
    /// for the journal.
    pub(crate) fn load(flags: GlobalArgs) -> Result<Self, Failure> {
        environment::check(std::env::vars_os())?;
        std::env::var_os("TZ").map_or(Ok(()), |zone| time_zone::check(&zone.to_string_lossy()))?;
        Self::from(flags, &|name| std::env::var(name).ok())
    }

    fn from(flags: GlobalArgs, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let variables = Environment(variable);
        let state = state_dir(&variables)?;
        let journal = variables.path_setting(flags.journal, "STARGATE_JOURNAL")?;
        Ok(Self {
            journal_is_named: journal.is_some(),
            journal: journal.or_else(|| state.as_ref().map(|dir| dir.join("journal.db"))).ok_or_else(no_home)?,
            azure: AzureSettings {
                endpoint: setting(flags.azure_endpoint, &variables, "STARGATE_AZURE_ENDPOINT")?,
                subscription: flags
                    .azure_subscription
                    .or_else(|| variables.text("STARGATE_AZURE_SUBSCRIPTION"))
                    .or_else(|| variables.text("AZURE_SUBSCRIPTION_ID")),
                token: setting(flags.azure_token, &variables, "STARGATE_AZURE_TOKEN")?,
                ca: variables.path_setting(flags.azure_ca, "STARGATE_AZURE_CA")?,
            },
            tailscale_endpoint: setting(flags.tailscale_endpoint, &variables, "STARGATE_TAILSCALE_ENDPOINT")?,
            tailnet: flags
                .tailscale_tailnet
                .or_else(|| variables.text("STARGATE_TAILSCALE_TAILNET"))
                .unwrap_or_else(|| "-".into()),
            tailscale_client_id: setting(flags.tailscale_client_id, &variables, "STARGATE_TAILSCALE_CLIENT_ID")?
                .unwrap_or_else(|| reference(CLIENT_ID)),
            tailscale_client_secret: setting(
                flags.tailscale_client_secret,
                &variables,
                "STARGATE_TAILSCALE_CLIENT_SECRET",
            )?
            .unwrap_or_else(|| reference(CLIENT_SECRET)),
            ssh_config: variables.path_setting(flags.ssh_config, "STARGATE_SSH_CONFIG")?,
            kubeconfig: variables.path_setting(flags.kubeconfig, "STARGATE_KUBECONFIG")?,
            kube_context: flags.kube_context.or_else(|| variables.text("STARGATE_KUBE_CONTEXT")),
            ssh_state: state.unwrap_or_else(|| PathBuf::from(".stargate")).join("ssh"),
            lease: setting::<u64>(None, &variables, "STARGATE_TEST_LEASE_MS")?
                .map_or(DEFAULT_LEASE, Duration::from_millis),
            log: flags.log.or_else(|| variables.text("STARGATE_LOG")).unwrap_or_else(|| "warn".into()),
            colour: variables.text("NO_COLOR").is_none() && variables.text("TERM").as_deref() != Some("dumb"),
            terminal: TerminalKind::of(variables.text("TERM").as_deref()),
            includes: if flags.outer_includes { IncludeScope::Anywhere } else { IncludeScope::Folder },
            output: flags.output,
            verbose: flags.verbose,
            #[cfg(feature = "sim")]
            temp_dir: variables.path("TMPDIR")?.unwrap_or_else(|| "/tmp".into()),
        })
    }
}

impl Settings {
    /// Returns the flags that give another process the same settings, except for the journal.
    /// Secrets are references, so the flags contain no secret.
    pub(crate) fn flags(&self) -> Vec<String> {
        let text = |flag: &str, value: Option<String>| value.map(|value| format!("--{flag}={value}"));
        let path = |flag: &str, value: &Option<PathBuf>| text(flag, value.as_deref().map(full));
        let unless = |usual: &str, value: String| (value != usual).then_some(value);
        [
            text("azure-endpoint", self.azure.endpoint.as_ref().map(Url::to_string)),
            text("azure-subscription", self.azure.subscription.clone()),
            text("azure-token", self.azure.token.as_ref().map(SecretRef::to_string)),
            path("azure-ca", &self.azure.ca),
            text("tailscale-endpoint", self.tailscale_endpoint.as_ref().map(Url::to_string)),
            text("tailscale-tailnet", unless("-", self.tailnet.clone())),
            text("tailscale-client-id", unless(CLIENT_ID, self.tailscale_client_id.to_string())),
            text("tailscale-client-secret", unless(CLIENT_SECRET, self.tailscale_client_secret.to_string())),
            path("ssh-config", &self.ssh_config),
            path("kubeconfig", &self.kubeconfig),
            text("kube-context", self.kube_context.clone()),
            (self.includes == IncludeScope::Anywhere).then(|| "--outer-includes".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Returns the absolute path, which is valid in each working directory.
pub(crate) fn full(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Returns the folder for state: `XDG_STATE_HOME/stargate`, or `~/.local/state/stargate`. Source:
/// <https://specifications.freedesktop.org/basedir-spec/latest/>.
fn state_dir(variables: &Environment<'_>) -> Result<Option<PathBuf>, Failure> {
    let base = variables.path("XDG_STATE_HOME")?.filter(|path| path.is_absolute());
    let home = || variables.text("HOME").map(|home| Path::new(&home).join(".local/state"));
    Ok(base.or_else(home).map(|base| base.join("stargate")))
}

fn no_home() -> Failure {
    Failure::usage("there is no folder for the journal: neither HOME nor XDG_STATE_HOME is set", "add `--journal PATH`")
}

fn reference(text: &str) -> SecretRef {
    text.parse().expect("the default is a reference")
}

/// Returns the value of a flag, or else of a variable. The error names the variable and does not
/// repeat its value, which could be a secret.
fn setting<T>(flag: Option<T>, variables: &Environment<'_>, name: &str) -> Result<Option<T>, Failure>
where
    T: FromStr<Err: fmt::Display>,
{
    if flag.is_some() {
        return Ok(flag);
    }
    let Some(text) = variables.text(name) else { return Ok(None) };
    let read = text.parse().map_err(|error| {
        Failure::usage(
            format!("the variable {name} cannot be used: {error}"),
            format!("run `unset {name}`, or set another value"),
        )
    });
    read.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(flags: GlobalArgs, variables: &[(&str, &str)]) -> Result<Settings, Failure> {
        let variables: Vec<(String, String)> = variables.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Settings::from(flags, &|name| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
    }

    #[test]
    fn a_flag_overrides_a_variable_and_a_variable_overrides_the_default() {
        let variables = [("HOME", "/home/a"), ("XDG_STATE_HOME", "/state"), ("STARGATE_JOURNAL", "/j.db")];
        let path = |flags, variables: &[_]| settings(flags, variables).expect("settings").journal;
        let flag = GlobalArgs { journal: Some("/flag.db".into()), ..GlobalArgs::default() };
        assert_eq!(path(flag, &variables), PathBuf::from("/flag.db"));
        assert_eq!(path(GlobalArgs::default(), &variables), PathBuf::from("/j.db"));
        assert_eq!(path(GlobalArgs::default(), &variables[..2]), PathBuf::from("/state/stargate/journal.db"));
        assert_eq!(
            path(GlobalArgs::default(), &variables[..1]),
            PathBuf::from("/home/a/.local/state/stargate/journal.db")
        );
        assert!(settings(GlobalArgs::default(), &[]).is_err());
    }

    #[test]
    fn a_secret_given_by_value_is_rejected_and_not_repeated() {
        let failure = settings(GlobalArgs::default(), &[("HOME", "/h"), ("STARGATE_AZURE_TOKEN", "eyJhbGciOi")])
            .expect_err("not a reference");
        let text = failure.to_string();
        assert!(text.contains("STARGATE_AZURE_TOKEN") && !text.contains("eyJ"), "{text}");
    }

    #[test]
    fn the_subscription_defaults_to_the_variable_of_azure_tools() {
        let loaded =
            settings(GlobalArgs::default(), &[("HOME", "/h"), ("AZURE_SUBSCRIPTION_ID", "s")]).expect("settings");
        assert_eq!(loaded.azure.subscription.as_deref(), Some("s"));
        assert!(loaded.colour);
    }
}
