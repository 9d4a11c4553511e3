use std::time::Duration;

use http::HeaderValue;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use pem::{EncodeConfig, LineEnding, Pem};
use stargate_sdk::ActionError;
use tokio::sync::OnceCell;

use crate::KubernetesSettings;

/// What the cluster's audit log calls us.
const AGENT: &str = concat!("stargate/", env!("CARGO_PKG_VERSION"));
/// A TCP and TLS handshake that takes longer than this will not end well.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HINT: &str = "give `--kubeconfig FILE`, or set KUBECONFIG";

/// The connection to the cluster, made when it is first needed.
pub(crate) struct Connection {
    settings: KubernetesSettings,
    client: OnceCell<Client>,
}

impl Connection {
    pub(crate) fn new(settings: KubernetesSettings) -> Self {
        Self { settings, client: OnceCell::new() }
    }

    /// The client. A kubeconfig that is missing or of no use is a `Permanent` error, and is read again next time.
    pub(crate) async fn client(&self) -> Result<&Client, ActionError> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    /// URL of the API server, and the certificates that its own is checked against, as PEM.
    pub(crate) async fn endpoint(&self) -> Result<(String, String), ActionError> {
        let config = self.config().await?;
        let certificates: Vec<_> =
            config.root_cert.iter().flatten().map(|der| Pem::new("CERTIFICATE", der.as_slice())).collect();
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        Ok((server, pem::encode_many_config(&certificates, EncodeConfig::new().set_line_ending(LineEnding::LF))))
    }

    /// The server's URL, the context that names it and the file that the context is in.
    pub(crate) async fn described(&self) -> Result<String, ActionError> {
        let server = self.config().await?.cluster_url.to_string();
        let server = server.trim_end_matches('/');
        let read = match &self.settings.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        // Without a file it is the account of the pod that stargate runs in.
        let Ok(file) = read else { return Ok(format!("{server}, as this pod's own account")) };
        let context = self.settings.context.clone().or(file.current_context).unwrap_or_default();
        let place = match &self.settings.kubeconfig {
            Some(path) => path.display().to_string(),
            None => usual_place(),
        };
        Ok(format!("{server}, by context {context:?} of {place}"))
    }

    async fn connect(&self) -> Result<Client, ActionError> {
        let mut config = self.config().await?;
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.headers.push((http::header::USER_AGENT, HeaderValue::from_static(AGENT)));
        Client::try_from(config).map_err(|e| unusable(&e))
    }

    async fn config(&self) -> Result<Config, ActionError> {
        let options = KubeConfigOptions { context: self.settings.context.clone(), ..KubeConfigOptions::default() };
        match (&self.settings.kubeconfig, &self.settings.context) {
            (Some(path), _) => {
                let file = Kubeconfig::read_from(path).map_err(|e| unusable(&e))?;
                Config::from_custom_kubeconfig(file, &options).await.map_err(|e| unusable(&e))
            }
            (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|e| unusable(&e)),
            (None, None) => Config::infer().await.map_err(|e| unusable(&e)),
        }
    }
}

/// Where kube looks when no file is named.
fn usual_place() -> String {
    std::env::var("KUBECONFIG").ok().filter(|paths| !paths.is_empty()).unwrap_or_else(|| "~/.kube/config".into())
}

fn unusable(error: &dyn std::error::Error) -> ActionError {
    ActionError::permanent(format!("the kubeconfig cannot be used: {error}")).with_hint(HINT)
}
