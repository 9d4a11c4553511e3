use std::{error::Error as _, fmt, sync::Arc, time::Duration};

use azure_core_1::Uuid;
use reqwest::{Method, StatusCode, header::HeaderMap, redirect::Policy};
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError, FailureKind, Secret};
use url::Url;

use crate::{
    ArmSettings, ResourceId, SettingsError,
    failure::{self, Effect},
    live::Live,
    locks::{Guard, Locks},
    name::{GroupName, Subscription},
    operation::Pauses,
    settings::NO_SUBSCRIPTION,
    token::Tokens,
};

/// ARM's front door answers a connection in well under a second; more means that it cannot be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// ARM itself cuts a request off after 60 seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// How long an interrupted step still waits for the answer to a write that is under way, so that the outcome is known.
const GRACE: Duration = Duration::from_secs(5);
/// A list of more pages than this is one that leads in a circle.
const MOST_PAGES: usize = 1000;

/// The versions that the bodies of this crate are written for.
const API_VERSIONS: [(&str, &str); 4] = [
    ("microsoft.network/", "2024-01-01"),
    ("microsoft.compute/", "2024-07-01"),
    ("microsoft.containerservice/", "2024-05-01"),
    ("microsoft.resources/", "2024-07-01"),
];

/// The version that subscriptions are read in.
const SUBSCRIPTIONS_VERSION: &str = "2022-12-01";

/// Calls Azure Resource Manager. Cheap to clone.
///
/// A mutating call is sent once: retries are the engine's. Only a call that ARM refused with 401, which proves that nothing
/// happened, is sent again, with a fresh token.
#[derive(Clone)]
pub(crate) struct ArmClient {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    endpoint: Url,
    subscription: Subscription,
    tokens: Tokens,
    locks: Locks,
}

/// What a write supposes about the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It is still as it was read.
    Unchanged(String),
    /// It is not there.
    Absent,
}

impl Condition {
    /// That `live` has not changed since it was read, where it says what to compare.
    pub(crate) fn unchanged(live: &Live) -> Option<Self> {
        live.etag.clone().map(Self::Unchanged)
    }
}

/// One request.
pub(crate) struct Call {
    method: Method,
    url: Url,
    body: Option<Value>,
    condition: Option<Condition>,
}

impl Call {
    pub(crate) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, body: None, condition: None }
    }

    pub(crate) fn put(url: Url, body: Value, condition: Option<Condition>) -> Self {
        Self { method: Method::PUT, url, body: Some(body), condition }
    }

    pub(crate) fn delete(url: Url, condition: Option<Condition>) -> Self {
        Self { method: Method::DELETE, url, body: None, condition }
    }

    pub(crate) fn is_deletion(&self) -> bool {
        self.method == Method::DELETE
    }

    pub(crate) fn effect(&self) -> Effect {
        if self.method.is_safe() { Effect::None } else { Effect::Possible }
    }
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// `Null` where there was no JSON.
    pub(crate) json: Value,
}

impl Raw {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn into_error(self, effect: Effect) -> ActionError {
        failure::of_answer(effect, self.status, &self.headers, &self.json)
    }
}

impl ArmClient {
    /// Checks the settings and builds the client. Nothing is called yet.
    pub(crate) fn new(settings: ArmSettings) -> Result<Self, SettingsError> {
        let subscription = settings.check()?;
        install_crypto();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none()) // ARM has none, and a token must not follow one
            .user_agent(concat!("stargate/", env!("CARGO_PKG_VERSION")))
            .tls_certs_merge(settings.certificates()?)
            .build()?;
        let ArmSettings { endpoint, credential, .. } = settings;
        let tokens = Tokens::new(credential, &endpoint);
        Ok(Self { inner: Arc::new(Inner { http, endpoint, subscription, tokens, locks: Locks::default() }) })
    }

    /// Id of a resource group of the subscription.
    pub(crate) fn group(&self, group: &GroupName) -> ResourceId {
        ResourceId::of_group(&self.inner.subscription, group)
    }

    /// Reads the subscription; any answer is `Ok`.
    pub(crate) async fn subscription(&self, cx: &ActionContext) -> Result<Raw, ActionError> {
        self.send(cx, &Call::get(self.url(&self.subscription_path(), SUBSCRIPTIONS_VERSION))).await
    }

    /// Path of the subscription.
    pub(crate) fn subscription_path(&self) -> String {
        format!("/subscriptions/{}", self.inner.subscription)
    }

    /// Whether a stand-in was given in the place of a subscription.
    pub(crate) fn has_no_subscription(&self) -> bool {
        self.inner.subscription.as_str() == NO_SUBSCRIPTION
    }

    /// Where ARM is.
    pub(crate) fn endpoint(&self) -> &Url {
        &self.inner.endpoint
    }

    /// Obtains a token, and tells where it is from.
    pub(crate) async fn credential_origin(&self, cx: &ActionContext) -> Result<String, ActionError> {
        self.inner.tokens.origin(cx).await
    }

    /// The `Date` of ARM's answer to a request without a token.
    pub(crate) async fn date(&self) -> Result<Option<String>, ActionError> {
        let call = Call::get(self.url(&self.subscription_path(), SUBSCRIPTIONS_VERSION));
        let answer = self.inner.http.get(call.url.clone()).send().await;
        let answer = answer.map_err(|e| transport(call.effect(), &call, e))?;
        let date = answer.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
        Ok(date.map(str::to_owned))
    }

    /// Waits for the right to write to `ids`.
    pub(crate) async fn hold(&self, cx: &ActionContext, ids: &[&ResourceId]) -> Result<Guard, ActionError> {
        self.inner.locks.hold(cx, ids).await
    }

    /// Reads a resource as it is now; `None` when it is not there.
    pub(crate) async fn get(&self, cx: &ActionContext, id: &ResourceId) -> Result<Option<Live>, ActionError> {
        let raw = self.send(cx, &Call::get(self.url_of(id))).await.map_err(|e| e.context(id.label()))?;
        match raw.status {
            StatusCode::OK if raw.json.is_object() => Ok(Some(Live::new(id.clone(), &raw.headers, raw.json))),
            StatusCode::OK => Err(ActionError::transient("azure did not answer with JSON").context(id.label())),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(raw.into_error(Effect::None).context(id.label())),
        }
    }

    /// Reads a resource once no operation on it is in progress, whoever began it; `None` when it is not there.
    pub(crate) async fn get_settled(&self, cx: &ActionContext, id: &ResourceId) -> Result<Option<Live>, ActionError> {
        let mut pauses = Pauses::default();
        loop {
            let live = self.get(cx, id).await?;
            let Some(state) = live.as_ref().and_then(Live::moving) else { return Ok(live) };
            cx.progress(format!("{} is {state}", id.label()));
            cx.sleep(pauses.next()).await.map_err(|e| e.context(format_args!("{} is still {state}", id.label())))?;
        }
    }

    /// Every item of the list at `path`.
    pub(crate) async fn list(&self, cx: &ActionContext, path: &str, version: &str) -> Result<Vec<Value>, ActionError> {
        let mut items = Vec::new();
        let mut next = Some(self.url(path, version));
        for _ in 0..MOST_PAGES {
            let Some(url) = next else { return Ok(items) };
            let mut raw = self.send(cx, &Call::get(url)).await?;
            if raw.status != StatusCode::OK {
                return Err(raw.into_error(Effect::None));
            }
            if let Some(Value::Array(page)) = raw.json.get_mut("value").map(Value::take) {
                items.extend(page);
            }
            next =
                raw.json["nextLink"].as_str().filter(|link| !link.is_empty()).map(|link| self.own(link)).transpose()?;
        }
        Err(ActionError::permanent(format!("the list {path} has no end")))
    }

    /// Every resource of type `kind` in `group`.
    pub(crate) async fn list_in(
        &self,
        cx: &ActionContext,
        group: &ResourceId,
        kind: &str,
    ) -> Result<Vec<Value>, ActionError> {
        let path = format!("{}/providers/{kind}", group.path());
        self.list(cx, &path, api_version(kind))
            .await
            .map_err(|e| e.context(format_args!("{kind} in {}", group.label())))
    }

    /// Sends one request; any answer is `Ok`.
    pub(crate) async fn send(&self, cx: &ActionContext, call: &Call) -> Result<Raw, ActionError> {
        let token = self.inner.tokens.token(cx).await?;
        let raw = self.send_with(cx, call, &token).await?;
        if raw.status != StatusCode::UNAUTHORIZED {
            return Ok(raw);
        }
        self.inner.tokens.forget(&token).await;
        let fresh = self.inner.tokens.token(cx).await?;
        if fresh.expose() == token.expose() { Ok(raw) } else { self.send_with(cx, call, &fresh).await }
    }

    async fn send_with(&self, cx: &ActionContext, call: &Call, token: &Secret) -> Result<Raw, ActionError> {
        if cx.remaining().is_zero() || cx.cancellation().is_cancelled() {
            return Err(ActionError::transient("interrupted before azure was asked"));
        }
        let exchange = async {
            let answer = self.request(cx, call, token).send().await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let json = serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null);
            Ok(Raw { status, headers, json })
        };
        let effect = call.effect();
        tokio::select! {
            raw = exchange => raw.map_err(|e| transport(effect, call, e)),
            () = interrupted(cx, effect) => {
                Err(ActionError::new(failure::unanswered(effect), "interrupted while azure was being asked"))
            }
        }
    }

    fn request(&self, cx: &ActionContext, call: &Call, token: &Secret) -> reqwest::RequestBuilder {
        let mut request = self
            .inner
            .http
            .request(call.method.clone(), call.url.clone())
            .bearer_auth(token.expose())
            .header("accept", "application/json")
            .header("x-ms-client-request-id", Uuid::new_v4().to_string())
            .timeout(REQUEST_TIMEOUT.min(cx.remaining()));
        request = match &call.condition {
            Some(Condition::Unchanged(etag)) => request.header("if-match", etag),
            Some(Condition::Absent) => request.header("if-none-match", "*"),
            None => request,
        };
        match &call.body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    /// Where `id` is.
    pub(crate) fn url_of(&self, id: &ResourceId) -> Url {
        self.url(&id.path(), api_version(&id.kind()))
    }

    fn url(&self, path: &str, version: &str) -> Url {
        let mut url = self.inner.endpoint.clone();
        url.set_path(path);
        url.query_pairs_mut().append_pair("api-version", version);
        url
    }

    /// A URL that ARM gave, unless our token has no business there.
    pub(crate) fn own(&self, url: &str) -> Result<Url, ActionError> {
        let endpoint = &self.inner.endpoint;
        let parsed =
            endpoint.join(url).ok().filter(|url| url.origin() == endpoint.origin() || is_part_of(url, endpoint));
        parsed.ok_or_else(|| ActionError::permanent("azure named a URL outside its own domain, which gets no token"))
    }
}

impl fmt::Debug for ArmClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArmClient").field("endpoint", &self.inner.endpoint.as_str()).finish_non_exhaustive()
    }
}

/// Regional endpoints, such as `westeurope.management.azure.com`, are ARM as well.
fn is_part_of(url: &Url, endpoint: &Url) -> bool {
    let (Some(url::Host::Domain(host)), Some(url::Host::Domain(domain))) = (url.host(), endpoint.host()) else {
        return false;
    };
    url.scheme() == "https" && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

fn api_version(kind: &str) -> &'static str {
    let kind = kind.to_ascii_lowercase();
    let known = API_VERSIONS.iter().find(|(namespace, _)| kind.starts_with(namespace));
    known.map(|(_, version)| *version).expect("only types of these namespaces are called")
}

/// reqwest takes the process's default; a program that has chosen one keeps it.
fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing the race to another client's same choice is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

async fn interrupted(cx: &ActionContext, effect: Effect) {
    cx.cancellation().cancelled().await;
    if effect == Effect::Possible {
        tokio::time::sleep(GRACE).await;
    }
}

fn transport(effect: Effect, call: &Call, error: reqwest::Error) -> ActionError {
    let host = call.url.host_str().unwrap_or("azure").to_owned();
    let error = error.without_url(); // operation URLs carry signatures
    if error.is_builder() {
        return ActionError::permanent(format!("request to {host} cannot be made: {}", innermost(&error)));
    }
    if error.is_connect() {
        return ActionError::transient(format!("cannot connect to {host}: {}", innermost(&error)));
    }
    let lost = if error.is_timeout() { "no answer in time".into() } else { innermost(&error) };
    match failure::unanswered(effect) {
        FailureKind::Unknown => ActionError::unknown(format!("the answer of {host} was lost: {lost}")),
        kind => ActionError::new(kind, format!("{host}: {lost}")),
    }
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.source().is_some() { cause.to_string() } else { error.to_string() }
}
