use reqwest::{Client, Method};
use serde::{Serialize, de::DeserializeOwned};
use stargate_client::{CallEffect, HttpResponse, MAX_BODY_BYTES, exchange, http_client, within};
use stargate_sdk::{ActionContext, ActionError, Secret, SecretRef};
use url::Url;

use super::{error::TailscaleError, oauth::OauthClient};
use crate::{TailscaleSettings, TailscaleSettingsError};

/// Tailscale's API v2, called as one OAuth client.
///
/// Each request is sent once: retries are the engine's. Only a request that was refused with 401,
/// which proves that nothing happened, is sent again with a new token.
pub(crate) struct TailscaleClient {
    http: Client,
    base: Url,
    tailnet: String,
    oauth: OauthClient,
}

/// One request to the API.
struct TailscaleRequest {
    method: Method,
    url: Url,
    /// JSON body, if there is one.
    body: Option<Vec<u8>>,
}

impl TailscaleClient {
    /// Builds the client. Makes no request.
    ///
    /// # Errors
    /// If the endpoint is not an HTTP URL or TLS cannot be set up.
    pub(crate) fn new(settings: TailscaleSettings) -> Result<Self, TailscaleSettingsError> {
        if !matches!(settings.endpoint.scheme(), "http" | "https") {
            return Err(TailscaleSettingsError::Endpoint(settings.endpoint.to_string()));
        }
        let http = http_client(Vec::new())?;
        let base = append_path(&settings.endpoint, &["api", "v2"]);
        let token_endpoint = append_path(&base, &["oauth", "token"]);
        let oauth = OauthClient::new(http.clone(), token_endpoint, settings.client_id, settings.client_secret);
        Ok(Self { http, base, tailnet: settings.tailnet, oauth })
    }

    /// Reads the object at `path`, relative to the base of the API.
    ///
    /// # Errors
    /// [`TailscaleError`], with the HTTP status if there was a response.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        cx: &ActionContext,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, TailscaleError> {
        let mut url = self.url_of(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send_for_json(cx, &TailscaleRequest { method: Method::GET, url, body: None }).await
    }

    /// Posts `body` to `path` and returns the response's object.
    ///
    /// # Errors
    /// [`TailscaleError`]; its kind is `Unknown` if the request was sent and the response was lost.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        cx: &ActionContext,
        path: &[&str],
        body: &(impl Serialize + Sync),
    ) -> Result<T, TailscaleError> {
        let body = serde_json::to_vec(body).map_err(|e| ActionError::permanent(e.to_string()))?;
        let url = self.url_of(path)?;
        self.send_for_json(cx, &TailscaleRequest { method: Method::POST, url, body: Some(body) }).await
    }

    /// Deletes the object at `path`.
    ///
    /// # Errors
    /// [`TailscaleError`], also if the object does not exist.
    pub(crate) async fn delete(&self, cx: &ActionContext, path: &[&str]) -> Result<(), TailscaleError> {
        let url = self.url_of(path)?;
        self.send(cx, &TailscaleRequest { method: Method::DELETE, url, body: None }).await.map(drop)
    }

    /// Obtains a token and returns its scopes, or `None` if the server does not report them.
    ///
    /// # Errors
    /// If no token can be obtained.
    pub(crate) async fn scopes(&self, cx: &ActionContext) -> Result<Option<Vec<String>>, ActionError> {
        Ok(self.oauth.token(cx).await?.details)
    }

    /// References of the OAuth client's id and secret.
    pub(crate) fn credentials(&self) -> (&SecretRef, &SecretRef) {
        self.oauth.credentials()
    }

    /// Base of the API, with `/api/v2`.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Name of the tailnet, for paths.
    pub(crate) fn tailnet(&self) -> &str {
        &self.tailnet
    }

    /// URL of the object at `path`, relative to the base of the API.
    ///
    /// # Errors
    /// `Permanent`, if a segment is empty, `.`, `..` or contains a separator: the URL would be that
    /// of a collection or of another object.
    fn url_of(&self, path: &[&str]) -> Result<Url, ActionError> {
        match path.iter().find(|segment| !is_segment(segment)) {
            Some(segment) => Err(ActionError::permanent(format!("tailscale: {segment:?} is not a name or an id"))),
            None => Ok(append_path(&self.base, path)),
        }
    }

    async fn send_for_json<T: DeserializeOwned>(
        &self,
        cx: &ActionContext,
        request: &TailscaleRequest,
    ) -> Result<T, TailscaleError> {
        let response = self.send(cx, request).await?;
        Ok(response.json(request.effect(), &request.name())?)
    }

    /// Sends `request` until the step's deadline or a cancellation; any status without success is
    /// an error.
    async fn send(&self, cx: &ActionContext, request: &TailscaleRequest) -> Result<HttpResponse, TailscaleError> {
        let (effect, name) = (request.effect(), request.name());
        let with_token = self.oauth.with_token(cx, |token| self.exchange(cx, &name, request, token));
        let response = within(cx, with_token).await.map_err(|stopped| stopped.into_error(effect, &name))??;
        if response.status.is_success() { Ok(response) } else { Err(TailscaleError::new(effect, &name, &response)) }
    }

    async fn exchange(
        &self,
        cx: &ActionContext,
        name: &str,
        request: &TailscaleRequest,
        token: Secret,
    ) -> Result<HttpResponse, TailscaleError> {
        let mut builder = self.http.request(request.method.clone(), request.url.clone()).bearer_auth(token.expose());
        // Without this header, the server sends the policy as JSON with comments.
        builder = builder.header("accept", "application/json");
        if let Some(body) = &request.body {
            builder = builder.header("content-type", "application/json").body(body.clone());
        }
        Ok(exchange(request.effect().permit(cx, name).await?, name, builder, MAX_BODY_BYTES).await?)
    }
}

impl TailscaleRequest {
    fn effect(&self) -> CallEffect {
        CallEffect::of(&self.method)
    }

    /// Name of the request in errors, without the query.
    fn name(&self) -> String {
        format!("tailscale {} {}", self.method, self.url.path())
    }
}

/// True if `text` can be a segment of a path, such as the id of a device or the name of a tailnet.
fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && text.chars().all(|c| c.is_ascii_graphic() && !"/\\%?#".contains(c))
}

fn append_path(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(segments);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_never_empty_or_a_place_in_a_path() {
        for text in ["", ".", "..", "a/b", "a?b", "a#b", "%2e%2e", "a b", "a\\b", "é"] {
            assert!(!is_segment(text), "{text:?}");
        }
        for text in ["-", "example.com", "user@example.com", "nXyZ1CNTRL", "192837465"] {
            assert!(is_segment(text), "{text}");
        }
    }
}
