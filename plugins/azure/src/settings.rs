use std::path::PathBuf;

use stargate_client::{CertificateError, read_certificates};
use stargate_sdk::SecretRef;
use url::Url;

use crate::client::{NameError, SubscriptionId};

/// Endpoint of Azure Resource Manager in the public cloud, the default.
pub const PUBLIC_ENDPOINT: &str = "https://management.azure.com";

/// Subscription id that means "none given", so that actions can be listed and workflows checked
/// without one.
pub const NO_SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

/// Variables in which the tools of Azure keep secrets.
pub const SECRET_VARIABLES: &[&str] =
    &["AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD", "ARM_CLIENT_SECRET"];

/// Endpoint of Azure Resource Manager (ARM), with the credential and the subscription for it.
#[derive(Debug, Clone)]
pub struct ArmSettings {
    /// Root URL of ARM, usually [`PUBLIC_ENDPOINT`]. HTTP without TLS is accepted for a loopback
    /// address only.
    pub endpoint: Url,
    /// Id of the subscription, a GUID.
    pub subscription: String,
    /// Source of the tokens.
    pub credential: ArmCredential,
    /// File with one or more PEM certificates that are trusted in addition to the system's.
    pub ca: Option<PathBuf>,
}

/// Source of the tokens for ARM.
#[derive(Debug, Clone)]
pub enum ArmCredential {
    /// Reference to a bearer token, for a self-hosted or simulated ARM.
    Token(SecretRef),
    /// First available credential of: a client secret (`AZURE_CLIENT_SECRET`, with tenant and
    /// client), a workload identity (`AZURE_FEDERATED_TOKEN_FILE`), a managed identity, the login
    /// of the `az` CLI.
    Chain,
}

/// Settings that are not valid.
#[derive(Debug, thiserror::Error)]
pub enum ArmSettingsError {
    /// The subscription is not a GUID.
    #[error(transparent)]
    Subscription(#[from] NameError),
    /// The endpoint would receive tokens without TLS, over a network or meant for Azure.
    #[error(
        "azure endpoint {0} would receive tokens unprotected: use https, or http to the loopback with a token of its own"
    )]
    Unprotected(Url),
    /// The endpoint is not the root of a server.
    #[error("azure endpoint {0} must be a scheme and a host without path or query")]
    Endpoint(Url),
    /// The certificate file cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The HTTP client cannot be built.
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

impl ArmSettings {
    /// Checks endpoint and subscription without a request; returns the subscription's id.
    ///
    /// # Errors
    /// If a token would cross a network without TLS, or one of the two has another form.
    pub(crate) fn check(&self) -> Result<SubscriptionId, ArmSettingsError> {
        let endpoint = &self.endpoint;
        if endpoint.host().is_none() || endpoint.path() != "/" || endpoint.query().is_some() {
            return Err(ArmSettingsError::Endpoint(endpoint.clone()));
        }
        let is_plain_allowed = is_loopback(endpoint) && matches!(self.credential, ArmCredential::Token(_));
        if endpoint.scheme() != "https" && !(endpoint.scheme() == "http" && is_plain_allowed) {
            return Err(ArmSettingsError::Unprotected(endpoint.clone()));
        }
        Ok(SubscriptionId::parse(self.subscription.clone())?)
    }

    /// Reads the certificates of [`Self::ca`].
    ///
    /// # Errors
    /// If the file cannot be read, is not PEM or has no certificate.
    pub(crate) fn certificates(&self) -> Result<Vec<reqwest::Certificate>, ArmSettingsError> {
        match &self.ca {
            Some(path) => Ok(read_certificates(path)?),
            None => Ok(Vec::new()),
        }
    }
}

/// True if requests to the endpoint do not leave this machine.
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

    fn check(endpoint: &str, credential: ArmCredential) -> Result<SubscriptionId, ArmSettingsError> {
        ArmSettings {
            endpoint: endpoint.parse().expect("URL"),
            subscription: "00000000-0000-0000-0000-000000000000".into(),
            credential,
            ca: None,
        }
        .check()
    }

    #[test]
    fn tokens_are_sent_without_tls_to_a_loopback_address_only_and_never_those_of_azure() {
        let token = || ArmCredential::Token("env:ARM_TOKEN".parse().expect("reference"));
        assert!(check("http://127.0.0.1:8080", token()).is_ok());
        assert!(check("http://[::1]:8080", token()).is_ok());
        assert!(check(PUBLIC_ENDPOINT, ArmCredential::Chain).is_ok());
        assert!(matches!(check("http://127.0.0.1:8080", ArmCredential::Chain), Err(ArmSettingsError::Unprotected(_))));
        assert!(matches!(check("http://arm.example", token()), Err(ArmSettingsError::Unprotected(_))));
    }

    #[test]
    fn an_endpoint_with_a_path_is_refused() {
        let token = ArmCredential::Token("env:ARM_TOKEN".parse().expect("reference"));
        assert!(matches!(check("https://arm.example/base", token), Err(ArmSettingsError::Endpoint(_))));
    }
}
