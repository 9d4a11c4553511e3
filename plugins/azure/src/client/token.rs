use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use azure_core_1::{
    credentials::{AccessToken as AzureToken, Secret as AzureSecret, TokenCredential},
    error::ErrorKind,
};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientSecretCredential, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
};
use jiff::Timestamp;
use stargate_client::{AccessToken, HttpResponse, REFRESH_MARGIN, TokenCache};
use stargate_sdk::{ActionContext, ActionError, Secret};
use url::Url;

use super::az_cli::AzExecutor;
use crate::settings::{ArmCredential, PUBLIC_ENDPOINT};

/// Time for which a static token is used before its reference is resolved again: it has no expiry
/// of its own.
const STATIC_TOKEN_REUSE: Duration = Duration::from_mins(10);
/// Address of Azure's instance metadata service, which machines in Azure reach.
const METADATA_SERVICE: &str = "169.254.169.254:80";
/// Time to wait for the metadata service. In Azure it takes a millisecond; elsewhere the address
/// never answers.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// Source of bearer tokens for ARM, with a cache.
pub(crate) struct TokenSource {
    credential: ArmCredential,
    scope: String,
    /// Link of the credential chain that has issued a token.
    chosen: Mutex<Option<ChainLink>>,
    /// Each token, with a text that names its source.
    cache: TokenCache<String>,
}

/// One credential of the chain.
#[derive(Clone)]
struct ChainLink {
    /// Name for messages.
    name: &'static str,
    credential: Arc<dyn TokenCredential>,
}

impl TokenSource {
    /// Creates a source for the ARM at `endpoint`. No token is obtained yet.
    pub(crate) fn new(credential: ArmCredential, endpoint: &Url) -> Self {
        Self { credential, scope: scope(endpoint), chosen: Mutex::default(), cache: TokenCache::new() }
    }

    /// Sends a request with the cached token, and once more with a new one if it is refused with
    /// 401.
    ///
    /// # Errors
    /// Those of `send`; if no token can be obtained, the identity provider's.
    pub(crate) async fn with_token<S>(
        &self,
        cx: &ActionContext,
        send: impl Fn(Secret) -> S,
    ) -> Result<HttpResponse, ActionError>
    where
        S: Future<Output = Result<HttpResponse, ActionError>>,
    {
        self.cache.with_token(cx, || self.fetch(cx), send).await
    }

    /// Obtains a token and returns a text that names its source.
    ///
    /// # Errors
    /// If no token can be obtained.
    pub(crate) async fn origin(&self, cx: &ActionContext) -> Result<String, ActionError> {
        Ok(self.cache.token(cx, || self.fetch(cx)).await?.details)
    }

    /// Obtains a token from the configured credential.
    ///
    /// # Errors
    /// The credential's, with the name of the credential.
    async fn fetch(&self, cx: &ActionContext) -> Result<AccessToken<String>, ActionError> {
        let token = match &self.credential {
            ArmCredential::Token(reference) => cx.secret(reference).await.map(|value| AccessToken {
                value,
                lifetime: STATIC_TOKEN_REUSE + REFRESH_MARGIN, // the cache subtracts the margin
                details: format!("the token of {reference}"),
            }),
            ArmCredential::Chain => self.fetch_from_chain(cx).await,
        };
        token.map_err(|e| e.context("token for azure"))
    }

    /// Obtains a token from the credential that issued the last one, or from the first available
    /// one.
    async fn fetch_from_chain(&self, cx: &ActionContext) -> Result<AccessToken<String>, ActionError> {
        let chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let link = match chosen {
            Some(link) => link,
            None => first_available(cx.secret_variables()).await?,
        };
        let token = link.credential.get_token(&[&self.scope], None).await;
        let token = token.map_err(|e| identity_error(&e).context(link.name))?;
        let token = access_token(&token, link.name);
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
        Ok(token)
    }
}

/// Scope of tokens for the ARM at `endpoint`, such as `https://management.azure.com/.default`.
fn scope(endpoint: &Url) -> String {
    let audience = if endpoint.host_str().is_some_and(|host| host.ends_with(".management.azure.com")) {
        PUBLIC_ENDPOINT // regional endpoints accept the tokens of the global one
    } else {
        endpoint.as_str().trim_end_matches('/')
    };
    format!("{audience}/.default")
}

/// Converts a token of `azure_identity`. An expired one has no lifetime left.
fn access_token(token: &AzureToken, name: &str) -> AccessToken<String> {
    let expires_at = Timestamp::from_second(token.expires_on.unix_timestamp()).unwrap_or(Timestamp::MAX);
    let lifetime = Duration::try_from(expires_at.duration_since(Timestamp::now())).unwrap_or_default();
    AccessToken { value: Secret::new(token.token.secret()), lifetime, details: format!("the token of {name}") }
}

/// Error of a credential: `Transient` if the identity provider could not be reached.
fn identity_error(error: &azure_core_1::Error) -> ActionError {
    match error.kind() {
        ErrorKind::Connection | ErrorKind::Io => ActionError::transient(error.to_string()),
        _ => ActionError::permanent(error.to_string())
            .with_hint("run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"),
    }
}

/// Chooses the first credential of the chain whose preconditions are met; the az CLI has none, and
/// does not get the variables `hidden`.
async fn first_available(hidden: BTreeSet<String>) -> Result<ChainLink, ActionError> {
    let (name, credential): (_, Result<Arc<dyn TokenCredential>, _>) = if variable("AZURE_CLIENT_SECRET").is_some() {
        ("the client secret in AZURE_CLIENT_SECRET", client_secret())
    } else if variable("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        ("the workload identity in AZURE_FEDERATED_TOKEN_FILE", WorkloadIdentityCredential::new(None).map(|it| it as _))
    } else if variable("IDENTITY_ENDPOINT").is_some() || metadata_service_answers().await {
        let identity = ManagedIdentityCredential::new(Some(managed_identity()));
        ("this machine's managed identity", identity.map(|it| it as _))
    } else {
        let options =
            AzureCliCredentialOptions { executor: Some(Arc::new(AzExecutor { hidden })), ..Default::default() };
        ("the login of the az CLI", AzureCliCredential::new(Some(options)).map(|it| it as _))
    };
    let credential = credential.map_err(|e| identity_error(&e).context(name))?;
    Ok(ChainLink { name, credential })
}

/// Credential of an application, from the environment variables that all Azure tools use.
fn client_secret() -> azure_core_1::Result<Arc<dyn TokenCredential>> {
    let text = |name| variable(name).unwrap_or_default();
    let secret = AzureSecret::new(text("AZURE_CLIENT_SECRET"));
    let credential = ClientSecretCredential::new(&text("AZURE_TENANT_ID"), text("AZURE_CLIENT_ID"), secret, None);
    credential.map(|it| it as _)
}

// These names are Azure's, shared by all its tools; azure_identity reads them itself in the same
// way.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Options for the managed identity; `AZURE_CLIENT_ID` selects one of several.
fn managed_identity() -> ManagedIdentityCredentialOptions {
    ManagedIdentityCredentialOptions {
        user_assigned_id: variable("AZURE_CLIENT_ID").map(UserAssignedId::ClientId),
        ..Default::default()
    }
}

/// True if the program runs on a machine in Azure, whose metadata service issues tokens.
async fn metadata_service_answers() -> bool {
    let connection = tokio::net::TcpStream::connect(METADATA_SERVICE);
    matches!(tokio::time::timeout(METADATA_TIMEOUT, connection).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_that_of_the_cloud() {
        let of = |endpoint: &str| scope(&endpoint.parse().expect("URL"));
        assert_eq!(of("https://management.azure.com"), "https://management.azure.com/.default");
        assert_eq!(of("https://westeurope.management.azure.com"), "https://management.azure.com/.default");
        assert_eq!(of("https://management.chinacloudapi.cn"), "https://management.chinacloudapi.cn/.default");
    }

    #[test]
    fn a_token_is_valid_until_azure_says_that_it_expires() {
        let token = |seconds: i64| {
            let expires_on = Timestamp::now().as_second() + seconds;
            let expires_on = azure_core_1::time::OffsetDateTime::from_unix_timestamp(expires_on).expect("time");
            access_token(&AzureToken { token: AzureSecret::new("t"), expires_on }, "a test")
        };
        let lifetime = token(3600).lifetime;
        assert!((3000..=3600).contains(&lifetime.as_secs()), "{lifetime:?}");
        assert_eq!(token(-1).lifetime, Duration::ZERO, "it has expired");
        assert_eq!(token(3600).details, "the token of a test");
    }
}
