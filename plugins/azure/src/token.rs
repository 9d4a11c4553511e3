use std::{sync::Arc, time::Duration};

use azure_core_1::{
    credentials::{AccessToken, Secret as AzureSecret, TokenCredential},
    error::ErrorKind,
};
use azure_identity::{
    AzureCliCredential, ClientSecretCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential,
};
use jiff::Timestamp;
use stargate_sdk::{ActionContext, ActionError, Secret};
use tokio::sync::Mutex;
use url::Url;

use crate::{settings::Credential, settings::PUBLIC_ENDPOINT};

/// A token is renewed this long before it expires: Azure's own advice.
const MARGIN: Duration = Duration::from_mins(5);
/// A static token says nothing of its end, so its reference is looked up again after this time.
const STATIC_LIFE: Duration = Duration::from_mins(10);
/// Where Azure's metadata service answers, on machines of Azure only.
const METADATA_SERVICE: &str = "169.254.169.254:80";
/// Elsewhere nothing answers at that address, not even with a refusal. On Azure it takes a millisecond.
const METADATA_PATIENCE: Duration = Duration::from_secs(1);

/// Bearer tokens for ARM: kept until shortly before they expire, obtained by one caller at a time.
pub(crate) struct Tokens {
    credential: Credential,
    scope: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the chain has settled on.
    source: Option<Link>,
    token: Option<Token>,
}

/// A link of the chain, with the words for it.
#[derive(Clone)]
struct Link {
    name: &'static str,
    credential: Arc<dyn TokenCredential>,
}

#[derive(Clone)]
struct Token {
    value: Secret,
    renew_at: Timestamp,
}

impl Tokens {
    pub(crate) fn new(credential: Credential, endpoint: &Url) -> Self {
        Self { credential, scope: scope(endpoint), state: Mutex::default() }
    }

    /// A token that is good for at least some minutes. Other callers wait for the one that obtains it.
    pub(crate) async fn token(&self, cx: &ActionContext) -> Result<Secret, ActionError> {
        let mut state = self.state.lock().await;
        if let Some(token) = state.token.as_ref().filter(|token| Timestamp::now() < token.renew_at) {
            return Ok(token.value.clone());
        }
        let token = self.obtain(cx, &mut state).await.map_err(|e| e.context("token for azure"))?;
        cx.redactor().add(token.value.expose());
        state.token = Some(token.clone());
        Ok(token.value)
    }

    /// Obtains a token like [`Self::token`], and tells where it is from.
    pub(crate) async fn origin(&self, cx: &ActionContext) -> Result<String, ActionError> {
        self.token(cx).await?;
        let state = self.state.lock().await;
        Ok(match (&self.credential, &state.source) {
            (Credential::Token(reference), _) => format!("the token of {reference}"),
            (Credential::Chain, Some(link)) => format!("the token of {}", link.name),
            (Credential::Chain, None) => "a token".into(),
        })
    }

    /// Forgets `refused`, unless it has been replaced already.
    pub(crate) async fn forget(&self, refused: &Secret) {
        let mut state = self.state.lock().await;
        if state.token.as_ref().is_some_and(|token| token.value.expose() == refused.expose()) {
            state.token = None;
        }
    }

    async fn obtain(&self, cx: &ActionContext, state: &mut State) -> Result<Token, ActionError> {
        match &self.credential {
            Credential::Token(reference) => {
                let renew_at = Timestamp::now().saturating_add(STATIC_LIFE).unwrap_or(Timestamp::MAX);
                Ok(Token { value: cx.secret(reference).await?, renew_at })
            }
            Credential::Chain => self.obtain_from_chain(state).await,
        }
    }

    async fn obtain_from_chain(&self, state: &mut State) -> Result<Token, ActionError> {
        let source = match &state.source {
            Some(source) => source.clone(),
            None => first_available().await?,
        };
        let token = source.credential.get_token(&[&self.scope], None).await;
        let token = token.map_err(|e| from_identity(&e).context(source.name))?;
        state.source = Some(source);
        Ok(from_azure(&token))
    }
}

fn scope(endpoint: &Url) -> String {
    let audience = if endpoint.host_str().is_some_and(|host| host.ends_with(".management.azure.com")) {
        PUBLIC_ENDPOINT // regional endpoints take the tokens of the global one
    } else {
        endpoint.as_str().trim_end_matches('/')
    };
    format!("{audience}/.default")
}

fn from_azure(token: &AccessToken) -> Token {
    let expires = Timestamp::from_second(token.expires_on.unix_timestamp()).unwrap_or(Timestamp::MAX);
    let renew_at = expires.saturating_sub(MARGIN).unwrap_or(Timestamp::MIN);
    Token { value: Secret::new(token.token.secret()), renew_at }
}

fn from_identity(error: &azure_core_1::Error) -> ActionError {
    match error.kind() {
        ErrorKind::Connection | ErrorKind::Io => ActionError::transient(error.to_string()),
        _ => ActionError::permanent(error.to_string())
            .with_hint("run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"),
    }
}

async fn first_available() -> Result<Link, ActionError> {
    let (name, credential): (_, Result<Arc<dyn TokenCredential>, _>) = if variable("AZURE_CLIENT_SECRET").is_some() {
        ("the client secret in AZURE_CLIENT_SECRET", client_secret())
    } else if variable("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        ("the workload identity in AZURE_FEDERATED_TOKEN_FILE", WorkloadIdentityCredential::new(None).map(|it| it as _))
    } else if variable("IDENTITY_ENDPOINT").is_some() || metadata_service_answers().await {
        let identity = ManagedIdentityCredential::new(Some(managed_identity()));
        ("this machine's managed identity", identity.map(|it| it as _))
    } else {
        ("the login of the az CLI", AzureCliCredential::new(None).map(|it| it as _))
    };
    let credential = credential.map_err(|e| from_identity(&e).context(name))?;
    Ok(Link { name, credential })
}

fn client_secret() -> azure_core_1::Result<Arc<dyn TokenCredential>> {
    let text = |name| variable(name).unwrap_or_default();
    let secret = AzureSecret::new(text("AZURE_CLIENT_SECRET"));
    let credential = ClientSecretCredential::new(&text("AZURE_TENANT_ID"), text("AZURE_CLIENT_ID"), secret, None);
    credential.map(|it| it as _)
}

// These names are Azure's, shared by all its tools; azure_identity reads them itself in the same way.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn managed_identity() -> ManagedIdentityCredentialOptions {
    ManagedIdentityCredentialOptions {
        user_assigned_id: variable("AZURE_CLIENT_ID").map(UserAssignedId::ClientId),
        ..Default::default()
    }
}

async fn metadata_service_answers() -> bool {
    let connection = tokio::net::TcpStream::connect(METADATA_SERVICE);
    matches!(tokio::time::timeout(METADATA_PATIENCE, connection).await, Ok(Ok(_)))
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
    fn a_token_is_renewed_five_minutes_before_its_end() {
        let expires_on = azure_core_1::time::OffsetDateTime::from_unix_timestamp(1_000_000).expect("time");
        let token = from_azure(&AccessToken { token: AzureSecret::new("t"), expires_on });
        assert_eq!(token.renew_at.as_second(), 1_000_000 - 300);
    }
}
