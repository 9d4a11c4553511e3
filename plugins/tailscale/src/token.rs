use std::time::Duration;

use serde::Deserialize;
use stargate_sdk::{ActionContext, ActionError, Secret, SecretRef};
use tokio::{sync::Mutex, time::Instant};
use url::Url;

use crate::failure::{ApiError, Effect, refused, unanswered, unreadable};

/// A token is renewed this long before its end, so that none ends on its way. At most half its life.
const RENEW_BEFORE: Duration = Duration::from_mins(5);
/// What an answer without `expires_in` stands for: Tailscale's tokens live an hour.
const USUAL_LIFE: Duration = Duration::from_hours(1);

/// The OAuth client's access token: fetched at first use by one task while the others wait, renewed before its end.
pub(crate) struct TokenCache {
    endpoint: Url,
    client_id: SecretRef,
    client_secret: SecretRef,
    // Held while a token is fetched: whoever comes meanwhile is to wait for that one.
    cached: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    value: Secret,
    renew_at: Instant,
    /// What it is good for, as far as the server tells.
    scopes: Option<Vec<String>>,
}

impl TokenCache {
    pub(crate) fn new(endpoint: Url, client_id: SecretRef, client_secret: SecretRef) -> Self {
        Self { endpoint, client_id, client_secret, cached: Mutex::default() }
    }

    /// A token that is good for the next call.
    pub(crate) async fn token(&self, http: &reqwest::Client, cx: &ActionContext) -> Result<Secret, ApiError> {
        self.cached(http, cx).await.map(|token| token.value)
    }

    /// What the OAuth client may do; `None` where the server does not tell.
    pub(crate) async fn scopes(
        &self,
        http: &reqwest::Client,
        cx: &ActionContext,
    ) -> Result<Option<Vec<String>>, ApiError> {
        self.cached(http, cx).await.map(|token| token.scopes)
    }

    /// Where the OAuth client is found.
    pub(crate) fn client(&self) -> (&SecretRef, &SecretRef) {
        (&self.client_id, &self.client_secret)
    }

    async fn cached(&self, http: &reqwest::Client, cx: &ActionContext) -> Result<Token, ApiError> {
        let mut cached = self.cached.lock().await;
        if let Some(token) = cached.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token.clone());
        }
        let token = self.fetch(http, cx).await?;
        *cached = Some(token.clone());
        Ok(token)
    }

    /// Forgets `refused`, which the API did not take, unless it has been replaced meanwhile.
    pub(crate) async fn forget(&self, refused: &Secret) {
        let mut cached = self.cached.lock().await;
        if cached.as_ref().is_some_and(|token| token.value.expose() == refused.expose()) {
            *cached = None;
        }
    }

    async fn fetch(&self, http: &reqwest::Client, cx: &ActionContext) -> Result<Token, ApiError> {
        let call = "tailscale OAuth token";
        let (id, secret) = (cx.secret(&self.client_id).await?, cx.secret(&self.client_secret).await?);
        let form =
            [("grant_type", "client_credentials"), ("client_id", id.expose()), ("client_secret", secret.expose())];
        // A token more or less changes nothing that anyone could see: a lost reply is a reason to ask again.
        let response = http
            .post(self.endpoint.clone())
            .form(&form)
            .send()
            .await
            .map_err(|e| unanswered(Effect::Read, call, &e))?;
        if !response.status().is_success() {
            return Err(refused_token(call, response).await);
        }
        let text = response.text().await.map_err(|e| unanswered(Effect::Read, call, &e))?;
        parse(cx, call, &text).map_err(ApiError::from)
    }
}

async fn refused_token(call: &str, response: reqwest::Response) -> ApiError {
    let mut refused = refused(Effect::Read, call, response).await;
    if refused.status.is_some_and(|status| status.as_u16() == 400) {
        refused.error = refused.error.with_hint("check the id and the secret of the tailscale OAuth client");
    }
    refused
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
    scope: Option<String>,
}

fn parse(cx: &ActionContext, call: &str, text: &str) -> Result<Token, ActionError> {
    let answer: Answer = serde_json::from_str(text).map_err(|e| unreadable(Effect::Read, call, &e))?;
    cx.redactor().hide(&answer.access_token);
    let life = answer.expires_in.map_or(USUAL_LIFE, Duration::from_secs);
    let renew_at = Instant::now() + life.saturating_sub(RENEW_BEFORE.min(life / 2));
    let scopes = answer.scope.map(|scopes| scopes.split_whitespace().map(str::to_owned).collect());
    Ok(Token { value: Secret::new(answer.access_token), renew_at, scopes })
}
