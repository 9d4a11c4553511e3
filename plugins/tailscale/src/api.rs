use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use stargate_sdk::{ActionContext, ActionError, Secret, SecretRef};
use url::Url;

use crate::{
    SettingsError, TailscaleSettings,
    failure::{ApiError, Effect, refused, unanswered, unreadable},
    token::TokenCache,
};

/// A TCP and TLS handshake that takes longer than this will not end well.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The server gives up by itself (504) well before this.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// Tailscale's API v2, as one OAuth client.
pub(crate) struct Api {
    http: Client,
    base: Url,
    tailnet: String,
    token: TokenCache,
}

impl Api {
    pub(crate) fn new(settings: TailscaleSettings) -> Result<Self, SettingsError> {
        if !matches!(settings.endpoint.scheme(), "http" | "https") {
            return Err(SettingsError::Endpoint(settings.endpoint.to_string()));
        }
        let http = Client::builder()
            .user_agent(concat!("stargate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .build()?;
        let base = below(&settings.endpoint, &["api", "v2"]);
        let token = TokenCache::new(below(&base, &["oauth", "token"]), settings.client_id, settings.client_secret);
        Ok(Self { http, base, tailnet: settings.tailnet, token })
    }

    /// Reads the object at `path`.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        cx: &ActionContext,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        let mut url = below(&self.base, path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let call = Call { effect: Effect::Read, method: Method::GET, url, body: None };
        self.answer(cx, &call).await
    }

    /// Posts `body` to `path`.
    pub(crate) async fn change<T: DeserializeOwned>(
        &self,
        cx: &ActionContext,
        path: &[&str],
        body: &(impl Serialize + Sync),
    ) -> Result<T, ApiError> {
        let body = serde_json::to_vec(body).map_err(|e| ActionError::permanent(e.to_string()))?;
        let url = below(&self.base, path);
        self.answer(cx, &Call { effect: Effect::Change, method: Method::POST, url, body: Some(body) }).await
    }

    /// Deletes the object at `path`.
    pub(crate) async fn delete(&self, cx: &ActionContext, path: &[&str]) -> Result<(), ApiError> {
        let url = below(&self.base, path);
        let call = Call { effect: Effect::Change, method: Method::DELETE, url, body: None };
        self.text(cx, &call).await.map(drop)
    }

    /// Obtains a token; gives the scopes it is good for, `None` where the server does not tell.
    pub(crate) async fn scopes(&self, cx: &ActionContext) -> Result<Option<Vec<String>>, ActionError> {
        Ok(self.token.scopes(&self.http, cx).await?)
    }

    /// Where the OAuth client's id and secret are found.
    pub(crate) fn client(&self) -> (&SecretRef, &SecretRef) {
        self.token.client()
    }

    /// Base of the API.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Name of the tailnet, for paths.
    pub(crate) fn tailnet(&self) -> &str {
        &self.tailnet
    }

    async fn answer<T: DeserializeOwned>(&self, cx: &ActionContext, call: &Call) -> Result<T, ApiError> {
        let text = self.text(cx, call).await?;
        Ok(serde_json::from_str(&text).map_err(|e| unreadable(call.effect, &call.name(), &e))?)
    }

    async fn text(&self, cx: &ActionContext, call: &Call) -> Result<String, ApiError> {
        tokio::select! {
            text = self.text_uninterrupted(cx, call) => text,
            () = tokio::time::sleep(cx.remaining()) => {
                Err(call.effect.in_doubt(format!("{}: no answer within the step's timeout", call.name())).into())
            }
            () = cx.cancellation().cancelled() => {
                Err(call.effect.in_doubt(format!("{}: interrupted", call.name())).into())
            }
        }
    }

    async fn text_uninterrupted(&self, cx: &ActionContext, call: &Call) -> Result<String, ApiError> {
        let response = self.send(cx, call).await?;
        if !response.status().is_success() {
            return Err(refused(call.effect, &call.name(), response).await);
        }
        Ok(response.text().await.map_err(|e| unanswered(call.effect, &call.name(), &e))?)
    }

    /// Sends; once more with a new token when the old one is refused, which proves that nothing happened.
    async fn send(&self, cx: &ActionContext, call: &Call) -> Result<Response, ApiError> {
        let token = self.token.token(&self.http, cx).await?;
        let response = self.send_as(&token, call).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        self.token.forget(&token).await;
        let token = self.token.token(&self.http, cx).await?;
        self.send_as(&token, call).await
    }

    async fn send_as(&self, token: &Secret, call: &Call) -> Result<Response, ApiError> {
        let mut request = self.http.request(call.method.clone(), call.url.clone()).bearer_auth(token.expose());
        if let Some(body) = &call.body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        Ok(request.send().await.map_err(|e| unanswered(call.effect, &call.name(), &e))?)
    }
}

struct Call {
    effect: Effect,
    method: Method,
    url: Url,
    body: Option<Vec<u8>>,
}

impl Call {
    fn name(&self) -> String {
        format!("tailscale {} {}", self.method, self.url.path())
    }
}

fn below(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(path);
    url
}
