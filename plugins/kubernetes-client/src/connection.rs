use http::HeaderValue;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use pem::{EncodeConfig, LineEnding, Pem};
use stargate_client::{CONNECT_TIMEOUT, USER_AGENT};
use stargate_sdk::ActionError;
use tokio::sync::OnceCell;

use crate::KubeconfigSettings;

const HINT: &str = "give `--kubeconfig FILE`, or set KUBECONFIG";

/// The connection to the cluster, made by the first call that needs it.
pub(crate) struct ClusterConnection {
    settings: KubeconfigSettings,
    client: OnceCell<Client>,
}

impl ClusterConnection {
    pub(crate) fn new(settings: KubeconfigSettings) -> Self {
        Self { settings, client: OnceCell::new() }
    }

    /// Returns the client, and connects first if no earlier call did.
    ///
    /// A kubeconfig that cannot be used is a `Permanent` error; the next call reads it again.
    pub(crate) async fn client(&self) -> Result<&Client, ActionError> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    /// URL of the API server without a trailing slash, and the certificates that it is verified
    /// with, as PEM.
    pub(crate) async fn endpoint(&self) -> Result<(String, String), ActionError> {
        let config = self.config().await?;
        let certificates: Vec<_> =
            config.root_cert.iter().flatten().map(|der| Pem::new("CERTIFICATE", der.as_slice())).collect();
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        Ok((server, pem::encode_many_config(&certificates, EncodeConfig::new().set_line_ending(LineEnding::LF))))
    }

    /// URL of the API server, with the context and the file that name it.
    pub(crate) async fn describe(&self) -> Result<String, ActionError> {
        let server = self.config().await?.cluster_url.to_string();
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

    async fn connect(&self) -> Result<Client, ActionError> {
        let mut config = self.config().await?;
        config.default_retry = false; // The engine retries.
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.headers.push((http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
        Client::try_from(config).map_err(|e| kubeconfig_error(&e))
    }

    async fn config(&self) -> Result<Config, ActionError> {
        let options = KubeConfigOptions { context: self.settings.context.clone(), ..KubeConfigOptions::default() };
        match (&self.settings.kubeconfig, &self.settings.context) {
            (Some(path), _) => {
                let file = Kubeconfig::read_from(path).map_err(|e| kubeconfig_error(&e))?;
                Config::from_custom_kubeconfig(file, &options).await.map_err(|e| kubeconfig_error(&e))
            }
            (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|e| kubeconfig_error(&e)),
            (None, None) => Config::infer().await.map_err(|e| kubeconfig_error(&e)),
        }
    }
}

/// Path that kube reads if no file is given.
fn default_path() -> String {
    std::env::var("KUBECONFIG").ok().filter(|paths| !paths.is_empty()).unwrap_or_else(|| "~/.kube/config".into())
}

fn kubeconfig_error(error: &dyn std::error::Error) -> ActionError {
    ActionError::permanent(format!("cannot use the kubeconfig: {error}")).with_hint(HINT)
}
