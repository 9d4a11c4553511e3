use std::{future::Future, time::Duration};

use serde::Deserialize;
use stargate_client::{AccessToken, CallEffect, HttpResponse, MAX_BODY_BYTES, TokenCache, exchange};
use stargate_sdk::{ActionContext, Secret, SecretRef};
use url::Url;

use super::error::TailscaleError;

/// Name of the token request in errors.
const TOKEN_REQUEST: &str = "tailscale OAuth token";
/// Lifetime of a token whose response has no `expires_in`: Tailscale's tokens are valid for one
/// hour (<https://tailscale.com/kb/1215/oauth-clients>).
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// Scopes of a token, or `None` if the server does not report them.
type TokenScopes = Option<Vec<String>>;

/// An OAuth client and its cached access token.
pub(super) struct OauthClient {
    http: reqwest::Client,
    endpoint: Url,
    client_id: SecretRef,
    client_secret: SecretRef,
    tokens: TokenCache<TokenScopes>,
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    /// Lifetime in seconds.
    expires_in: Option<u64>,
    /// Scopes, separated by spaces.
    scope: Option<String>,
}

impl OauthClient {
    pub(super) fn new(http: reqwest::Client, endpoint: Url, client_id: SecretRef, client_secret: SecretRef) -> Self {
        Self { http, endpoint, client_id, client_secret, tokens: TokenCache::new() }
    }

    /// Returns the cached token, or a new one.
    pub(super) async fn token(&self, cx: &ActionContext) -> Result<AccessToken<TokenScopes>, TailscaleError> {
        self.tokens.token(cx, || self.fetch(cx)).await
    }

    /// Sends a request with a token, and once more with a new one after a 401.
    pub(super) async fn with_token<S>(
        &self,
        cx: &ActionContext,
        send: impl Fn(Secret) -> S,
    ) -> Result<HttpResponse, TailscaleError>
    where
        S: Future<Output = Result<HttpResponse, TailscaleError>>,
    {
        self.tokens.with_token(cx, || self.fetch(cx), send).await
    }

    /// References of the id and the secret.
    pub(super) fn credentials(&self) -> (&SecretRef, &SecretRef) {
        (&self.client_id, &self.client_secret)
    }

    async fn fetch(&self, cx: &ActionContext) -> Result<AccessToken<TokenScopes>, TailscaleError> {
        let (id, secret) = (cx.secret(&self.client_id).await?, cx.secret(&self.client_secret).await?);
        let form =
            [("grant_type", "client_credentials"), ("client_id", id.expose()), ("client_secret", secret.expose())];
        // An additional token has no visible effect: a request whose response was lost can be
        // repeated.
        let effect = CallEffect::ReadOnly;
        let request = self.http.post(self.endpoint.clone()).form(&form);
        let response =
            exchange(effect.permit(cx, TOKEN_REQUEST).await?, TOKEN_REQUEST, request, MAX_BODY_BYTES).await?;
        if !response.status.is_success() {
            return Err(refused_token(effect, &response));
        }
        Ok(access_token(response.json(effect, TOKEN_REQUEST)?))
    }
}

fn refused_token(effect: CallEffect, response: &HttpResponse) -> TailscaleError {
    let mut refused = TailscaleError::new(effect, TOKEN_REQUEST, response);
    if response.status.as_u16() == 400 {
        refused.error = refused.error.with_hint("check the id and the secret of the tailscale OAuth client");
    }
    refused
}

fn access_token(response: TokenResponse) -> AccessToken<TokenScopes> {
    AccessToken {
        value: Secret::new(response.access_token),
        lifetime: response.expires_in.map_or(DEFAULT_TOKEN_LIFETIME, Duration::from_secs),
        details: response.scope.map(|scopes| scopes.split_whitespace().map(str::to_owned).collect()),
    }
}
