use stargate_sdk::SecretRef;
use url::Url;

/// Tailscale's own API.
const PUBLIC_ENDPOINT: &str = "https://api.tailscale.com";

/// Which tailnet, through which API, as which OAuth client.
#[derive(Debug, Clone)]
pub struct TailscaleSettings {
    /// Base of the API, without `/api/v2`.
    pub endpoint: Url,
    /// Name of the tailnet; `-` is the OAuth client's own.
    pub tailnet: String,
    /// Id of the OAuth client.
    pub client_id: SecretRef,
    /// Secret of the OAuth client.
    pub client_secret: SecretRef,
}

impl TailscaleSettings {
    /// The client's own tailnet at Tailscale's own API.
    #[expect(clippy::missing_panics_doc, reason = "the constant is a URL")]
    pub fn new(client_id: SecretRef, client_secret: SecretRef) -> Self {
        let endpoint = Url::parse(PUBLIC_ENDPOINT).expect("the public endpoint is a URL");
        Self { endpoint, tailnet: "-".into(), client_id, client_secret }
    }
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not an `http` or `https` URL.
    #[error("tailscale endpoint {0:?} is not an http or https URL")]
    Endpoint(String),
    /// TLS could not be set up, most often because no crypto provider is installed.
    #[error("tailscale client: {0}")]
    Http(#[from] reqwest::Error),
}
