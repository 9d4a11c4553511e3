//! The only reader of the environment. A flag comes before a variable, a variable before what is true of itself.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use stargate_sdk::SecretRef;
use url::Url;

use super::{
    Failure,
    args::{GlobalArgs, Output},
};

/// Where the OAuth client is looked for.
const CLIENT_ID: &str = "env:TAILSCALE_CLIENT_ID";
const CLIENT_SECRET: &str = "env:TAILSCALE_CLIENT_SECRET";

/// Everything that the surroundings say.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The journal's file.
    pub(crate) journal: PathBuf,
    /// How Azure is reached.
    pub(crate) azure: AzureSettings,
    /// Base of Tailscale's API; `None` for Tailscale's own.
    pub(crate) tailscale_endpoint: Option<Url>,
    /// Which tailnet.
    pub(crate) tailnet: String,
    /// Id of the OAuth client.
    pub(crate) tailscale_client_id: SecretRef,
    /// Secret of the OAuth client.
    pub(crate) tailscale_client_secret: SecretRef,
    /// An `ssh_config` file in place of the user's own.
    pub(crate) ssh_config: Option<PathBuf>,
    /// The cluster's kubeconfig; `None` for what is usual.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; `None` for its current one.
    pub(crate) kube_context: Option<String>,
    /// Where host keys and control sockets are kept.
    pub(crate) ssh_state: PathBuf,
    /// What is traced.
    pub(crate) log: String,
    /// Whether terminals may show colours.
    pub(crate) colour: bool,
    /// How data are shown.
    pub(crate) output: Output,
    /// Whether lines that steps capture are shown.
    pub(crate) verbose: bool,
    /// Where what is only needed for a while goes.
    #[cfg(feature = "sim")]
    pub(crate) temp_dir: PathBuf,
}

/// How Azure is reached.
#[derive(Debug, Clone)]
pub(crate) struct AzureSettings {
    /// Base of ARM; `None` for Azure's own.
    pub(crate) endpoint: Option<Url>,
    /// Id of the subscription.
    pub(crate) subscription: Option<String>,
    /// A ready token; `None` for the usual chain of credentials.
    pub(crate) token: Option<SecretRef>,
    /// A certificate to trust.
    pub(crate) ca: Option<PathBuf>,
}

impl Settings {
    /// The settings of this process.
    pub(crate) fn load(flags: GlobalArgs) -> Result<Self, Failure> {
        Self::from(flags, &|name| std::env::var(name).ok())
    }

    fn from(flags: GlobalArgs, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let variables = Environment(variable);
        let state = state_dir(&variables);
        let journal = flags.journal.or_else(|| variables.path("STARGATE_JOURNAL"));
        Ok(Self {
            journal: journal.or_else(|| state.as_ref().map(|dir| dir.join("journal.db"))).ok_or_else(no_home)?,
            azure: AzureSettings {
                endpoint: setting(flags.azure_endpoint, &variables, "STARGATE_AZURE_ENDPOINT")?,
                subscription: flags
                    .azure_subscription
                    .or_else(|| variables.text("STARGATE_AZURE_SUBSCRIPTION"))
                    .or_else(|| variables.text("AZURE_SUBSCRIPTION_ID")),
                token: setting(flags.azure_token, &variables, "STARGATE_AZURE_TOKEN")?,
                ca: flags.azure_ca.or_else(|| variables.path("STARGATE_AZURE_CA")),
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
            ssh_config: flags.ssh_config.or_else(|| variables.path("STARGATE_SSH_CONFIG")),
            kubeconfig: flags.kubeconfig.or_else(|| variables.path("STARGATE_KUBECONFIG")),
            kube_context: flags.kube_context.or_else(|| variables.text("STARGATE_KUBE_CONTEXT")),
            ssh_state: state.unwrap_or_else(|| PathBuf::from(".stargate")).join("ssh"),
            log: flags.log.or_else(|| variables.text("STARGATE_LOG")).unwrap_or_else(|| "warn".into()),
            colour: variables.text("NO_COLOR").is_none() && variables.text("TERM").as_deref() != Some("dumb"),
            output: flags.output,
            verbose: flags.verbose,
            #[cfg(feature = "sim")]
            temp_dir: variables.path("TMPDIR").unwrap_or_else(|| "/tmp".into()),
        })
    }
}

impl Settings {
    /// The flags that make another process see the same, but for the journal. Secrets are references here.
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
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A path that is the same from any folder.
pub(crate) fn full(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    /// An empty variable counts as none.
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }
}

/// Where state is kept: <https://specifications.freedesktop.org/basedir-spec/latest/>.
fn state_dir(variables: &Environment<'_>) -> Option<PathBuf> {
    let base = variables.path("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let base = base.or_else(|| variables.path("HOME").map(|home| home.join(Path::new(".local/state"))));
    base.map(|base| base.join("stargate"))
}

fn no_home() -> Failure {
    Failure::usage("there is no place for the journal: neither HOME nor XDG_STATE_HOME is set", "add `--journal PATH`")
}

fn reference(text: &str) -> SecretRef {
    text.parse().expect("the default is a reference")
}

/// A value from a flag or a variable. What cannot be read is named by where it stood; a secret's text is not repeated.
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
            format!("run `unset {name}`, or set it anew"),
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
    fn a_flag_comes_before_a_variable_and_a_variable_before_the_default() {
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
    fn a_secret_given_by_value_is_refused_without_repeating_it() {
        let failure = settings(GlobalArgs::default(), &[("HOME", "/h"), ("STARGATE_AZURE_TOKEN", "eyJhbGciOi")])
            .expect_err("not a reference");
        let text = failure.to_string();
        assert!(text.contains("STARGATE_AZURE_TOKEN") && !text.contains("eyJ"), "{text}");
    }

    #[test]
    fn the_subscription_falls_back_to_the_one_that_azure_tools_use() {
        let loaded =
            settings(GlobalArgs::default(), &[("HOME", "/h"), ("AZURE_SUBSCRIPTION_ID", "s")]).expect("settings");
        assert_eq!(loaded.azure.subscription.as_deref(), Some("s"));
        assert!(loaded.colour);
    }
}
