use std::path::PathBuf;

use stargate_sdk::SecretRef;
use url::Url;

use crate::name::{NameError, Subscription};

/// Where Azure Resource Manager is when nothing else is said.
pub const PUBLIC_ENDPOINT: &str = "https://management.azure.com";

/// Stands in for a subscription where none is given, so that actions can be listed and workflows checked.
pub const NO_SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

/// Where ARM is and how to speak to it.
#[derive(Debug, Clone)]
pub struct ArmSettings {
    /// Usually [`PUBLIC_ENDPOINT`]. Plain HTTP is for the loopback only.
    pub endpoint: Url,
    /// Id of the subscription, a GUID.
    pub subscription: String,
    /// Where tokens come from.
    pub credential: Credential,
    /// A certificate (PEM, one or more) to trust beside the system's, for an ARM of one's own.
    pub ca: Option<PathBuf>,
}

/// Where tokens come from.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A ready bearer token, for a self-hosted or simulated ARM.
    Token(SecretRef),
    /// The first that is there of: `AZURE_CLIENT_SECRET` with its tenant and client, a workload identity
    /// (`AZURE_FEDERATED_TOKEN_FILE`), a managed identity, a login of the `az` CLI.
    Chain,
}

/// Settings that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The subscription is not a GUID.
    #[error(transparent)]
    Subscription(#[from] NameError),
    /// A token would cross a network unprotected.
    #[error(
        "azure endpoint {0} would receive tokens unprotected: use https, or http to the loopback with a token of its own"
    )]
    Unprotected(Url),
    /// The endpoint is not the root of a server.
    #[error("azure endpoint {0} must be a scheme and a host without path or query")]
    Endpoint(Url),
    /// The certificate file cannot be read or is not PEM.
    #[error("certificate {path}: {reason}")]
    Ca {
        /// Where it was to be.
        path: PathBuf,
        /// Why it is of no use.
        reason: String,
    },
    /// The HTTP client cannot be built.
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

impl ArmSettings {
    /// Checks what can be checked without a call; gives the subscription back in its type.
    pub(crate) fn check(&self) -> Result<Subscription, SettingsError> {
        let endpoint = &self.endpoint;
        if endpoint.host().is_none() || endpoint.path() != "/" || endpoint.query().is_some() {
            return Err(SettingsError::Endpoint(endpoint.clone()));
        }
        let plain_is_safe = is_loopback(endpoint) && matches!(self.credential, Credential::Token(_));
        if endpoint.scheme() != "https" && !(endpoint.scheme() == "http" && plain_is_safe) {
            return Err(SettingsError::Unprotected(endpoint.clone()));
        }
        Ok(Subscription::parse(self.subscription.clone())?)
    }

    /// The certificates of [`Self::ca`].
    pub(crate) fn certificates(&self) -> Result<Vec<reqwest::Certificate>, SettingsError> {
        let Some(path) = &self.ca else { return Ok(Vec::new()) };
        let unusable = |reason: String| SettingsError::Ca { path: path.clone(), reason };
        let pem = std::fs::read(path).map_err(|e| unusable(e.to_string()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| unusable(e.to_string()))?;
        if certificates.is_empty() { Err(unusable("no certificate in it".into())) } else { Ok(certificates) }
    }
}

fn is_loopback(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(endpoint: &str, credential: Credential) -> Result<Subscription, SettingsError> {
        ArmSettings {
            endpoint: endpoint.parse().expect("URL"),
            subscription: "00000000-0000-0000-0000-000000000000".into(),
            credential,
            ca: None,
        }
        .check()
    }

    #[test]
    fn tokens_travel_in_the_clear_only_on_the_loopback_and_only_if_made_for_it() {
        let token = || Credential::Token("env:ARM_TOKEN".parse().expect("reference"));
        assert!(check("http://127.0.0.1:8080", token()).is_ok());
        assert!(check("http://[::1]:8080", token()).is_ok());
        assert!(check(PUBLIC_ENDPOINT, Credential::Chain).is_ok());
        assert!(matches!(check("http://127.0.0.1:8080", Credential::Chain), Err(SettingsError::Unprotected(_))));
        assert!(matches!(check("http://arm.example", token()), Err(SettingsError::Unprotected(_))));
    }

    #[test]
    fn an_endpoint_with_a_path_is_refused() {
        let token = Credential::Token("env:ARM_TOKEN".parse().expect("reference"));
        assert!(matches!(check("https://arm.example/base", token), Err(SettingsError::Endpoint(_))));
    }
}
