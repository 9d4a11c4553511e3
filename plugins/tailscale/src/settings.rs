use stargate_sdk::SecretRef;
use url::Url;

/// Endpoint of Tailscale's own API.
const PUBLIC_ENDPOINT: &str = "https://api.tailscale.com";

/// The tailnet, the API endpoint and the OAuth client.
#[derive(Debug, Clone)]
pub struct TailscaleSettings {
    /// Base of the API, without `/api/v2`.
    pub endpoint: Url,
    /// Name of the tailnet; `-` is the one that the OAuth client belongs to.
    pub tailnet: String,
    /// Reference of the OAuth client's id.
    pub client_id: SecretRef,
    /// Reference of the OAuth client's secret.
    pub client_secret: SecretRef,
}

impl TailscaleSettings {
    /// Settings for the tailnet that the OAuth client belongs to, at Tailscale's own API.
    #[expect(clippy::missing_panics_doc, reason = "the constant is a URL")]
    pub fn new(client_id: SecretRef, client_secret: SecretRef) -> Self {
        let endpoint = Url::parse(PUBLIC_ENDPOINT).expect("the public endpoint is a URL");
        Self { endpoint, tailnet: "-".into(), client_id, client_secret }
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TailscaleSettingsError {
    /// The endpoint is not an `http` or `https` URL.
    #[error("tailscale endpoint {0:?} is not an http or https URL")]
    Endpoint(String),
    /// TLS cannot be set up.
    #[error("tailscale client: {0}")]
    Http(#[from] reqwest::Error),
}
