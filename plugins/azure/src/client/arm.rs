use std::{fmt, sync::Arc, time::Duration};

use azure_core_1::Uuid;
use reqwest::StatusCode;
use serde_json::Value;
use stargate_client::{
    Backoff, CallEffect, CallPermit, HttpResponse, MAX_ARM_BODY_BYTES, Waiter, compact, expired, http_client,
    read_body, send, transport_failure_kind, within_grace,
};
use stargate_sdk::{ActionContext, ActionError, FailureKind, Secret};
use url::Url;

use crate::{
    ArmSettings, ArmSettingsError,
    client::{
        ArmObject, GroupName, ResourceId, ResourceType, SubscriptionId,
        locks::{WriteGuard, WriteLocks},
        request::{ArmRequest, ArmResponse, Precondition},
        token::TokenSource,
    },
    settings::NO_SUBSCRIPTION,
};

/// Time for which a cancelled step waits for the response to a write in progress, so that the
/// outcome is known.
const WRITE_GRACE: Duration = Duration::from_secs(5);
/// Maximum number of pages of a list. A longer list has a `nextLink` that leads back to itself.
const MAX_PAGES: usize = 1000;
/// Maximum number of items of a list: more than the limits of Azure allow in a subscription.
const MAX_ITEMS: usize = 100_000;
/// Largest memory of a list, in bytes as [`compact`] counts them. An action can read two lists at
/// the same time.
const MAX_LIST_MEMORY: usize = 32 << 20;
/// API version in which subscriptions are read.
const SUBSCRIPTIONS_VERSION: &str = "2022-12-01";

/// Client of Azure Resource Manager. Clones share the token and the write locks.
///
/// A mutating request is sent once: retries are the engine's. Only a request that ARM refused with
/// 401, which proves that nothing happened, is sent again, with a fresh token.
#[derive(Clone)]
pub(crate) struct ArmClient {
    inner: Arc<SharedClient>,
}

/// Parts that all clones of a client share.
struct SharedClient {
    http: reqwest::Client,
    endpoint: Url,
    subscription: SubscriptionId,
    tokens: TokenSource,
    locks: WriteLocks,
}

impl ArmClient {
    /// Builds the client. No request is sent yet.
    ///
    /// # Errors
    /// If the settings are not valid, or the certificate file cannot be read.
    pub(crate) fn new(settings: ArmSettings) -> Result<Self, ArmSettingsError> {
        let subscription = settings.check()?;
        let http = http_client(settings.certificates()?)?;
        let ArmSettings { endpoint, credential, .. } = settings;
        let tokens = TokenSource::new(credential, &endpoint);
        let locks = WriteLocks::default();
        Ok(Self { inner: Arc::new(SharedClient { http, endpoint, subscription, tokens, locks }) })
    }

    /// Returns the id of a resource group of the subscription.
    pub(crate) fn group(&self, group: &GroupName) -> ResourceId {
        ResourceId::of_group(&self.inner.subscription, group)
    }

    /// Reads the subscription. Any response is `Ok`.
    ///
    /// # Errors
    /// If there is no token or no response.
    pub(crate) async fn subscription(&self, cx: &ActionContext) -> Result<ArmResponse, ActionError> {
        self.send(cx, &ArmRequest::get(self.url(&self.subscription_path(), SUBSCRIPTIONS_VERSION))).await
    }

    /// Path of the subscription: `/subscriptions/GUID`.
    pub(crate) fn subscription_path(&self) -> String {
        format!("/subscriptions/{}", self.inner.subscription)
    }

    /// True if the settings name no subscription.
    pub(crate) fn has_no_subscription(&self) -> bool {
        self.inner.subscription.as_str() == NO_SUBSCRIPTION
    }

    /// Root URL of ARM.
    pub(crate) fn endpoint(&self) -> &Url {
        &self.inner.endpoint
    }

    /// Obtains a token and returns a text that names its source, such as `the token of
    /// env:ARM_TOKEN`.
    ///
    /// # Errors
    /// If no token can be obtained.
    pub(crate) async fn token_origin(&self, cx: &ActionContext) -> Result<String, ActionError> {
        self.inner.tokens.origin(cx).await
    }

    /// Sends a request without a token and returns the `Date` header of the response.
    ///
    /// # Errors
    /// If there is no response.
    pub(crate) async fn date(&self) -> Result<Option<String>, ActionError> {
        let request = ArmRequest::get(self.url(&self.subscription_path(), SUBSCRIPTIONS_VERSION));
        let response = send(CallPermit::read_only(), self.inner.http.get(request.url.clone())).await;
        let response = response.map_err(|e| transport_error(&request, e))?;
        let date = response.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
        Ok(date.map(str::to_owned))
    }

    /// Waits until no other step of this process writes to `ids`.
    ///
    /// # Errors
    /// `Transient`, if the attempt is cancelled or its deadline passes before.
    pub(crate) async fn lock_for_write(
        &self,
        cx: &ActionContext,
        ids: &[&ResourceId],
    ) -> Result<WriteGuard, ActionError> {
        self.inner.locks.lock_for_write(cx, ids).await
    }

    /// Reads a resource; `None` if it does not exist.
    ///
    /// # Errors
    /// With the resource's label, if there is no response, or another one than the resource or 404.
    pub(crate) async fn get(&self, cx: &ActionContext, id: &ResourceId) -> Result<Option<ArmObject>, ActionError> {
        let request = ArmRequest::get(self.url_of(id)?);
        let response = self.send(cx, &request).await.map_err(|e| e.context(id.label()))?;
        match response.status {
            StatusCode::OK if is_resource(&response.json) => {
                Ok(Some(ArmObject::new(id.clone(), &response.headers, response.json)))
            }
            StatusCode::OK => Err(ActionError::transient("azure did not answer with a resource").context(id.label())),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(response.into_error(CallEffect::ReadOnly).context(id.label())),
        }
    }

    /// Reads a resource once no operation on it is in progress, no matter which client started it.
    ///
    /// # Errors
    /// Those of [`Self::get`]. `Transient`, if an operation is still in progress at the deadline.
    pub(crate) async fn get_settled(
        &self,
        cx: &ActionContext,
        id: &ResourceId,
    ) -> Result<Option<ArmObject>, ActionError> {
        let mut waiter = Waiter::new(cx, Backoff::default());
        loop {
            let object = self.get(cx, id).await?;
            let Some(state) = object.as_ref().and_then(ArmObject::pending_state) else { return Ok(object) };
            waiter.pending(format!("{} is {state}", id.label()), None).await?;
        }
    }

    /// Reads each item of the list at `path`, from all its pages.
    ///
    /// # Errors
    /// If a page cannot be read; `Permanent`, if there are more than [`MAX_PAGES`].
    pub(crate) async fn list(&self, cx: &ActionContext, path: &str, version: &str) -> Result<Vec<Value>, ActionError> {
        let (mut items, mut memory) = (Vec::new(), 0);
        let mut next = Some(self.url(path, version));
        for _ in 0..MAX_PAGES {
            let Some(url) = next else { return Ok(items) };
            let mut response = self.send(cx, &ArmRequest::get(url)).await?;
            if response.status != StatusCode::OK {
                return Err(response.into_error(CallEffect::ReadOnly));
            }
            match response.json.get_mut("value").map(Value::take) {
                Some(Value::Array(mut page)) => {
                    memory += page.iter_mut().map(compact).sum::<usize>();
                    items.extend(page);
                }
                _ => return Err(ActionError::transient(format!("azure did not answer with a list at {path}"))),
            }
            if items.len() > MAX_ITEMS {
                return Err(ActionError::permanent(format!("the list {path} has more than {MAX_ITEMS} items")));
            }
            if memory > MAX_LIST_MEMORY {
                let limit = MAX_LIST_MEMORY >> 20;
                return Err(ActionError::permanent(format!("the items of the list {path} take more than {limit} MiB")));
            }
            let link = response.json["nextLink"].as_str().filter(|link| !link.is_empty());
            next = link.map(|link| self.trusted_url(link)).transpose()?;
        }
        Err(ActionError::permanent(format!("the list {path} has more than {MAX_PAGES} pages")))
    }

    /// Reads each resource of a type in `group`. Items without a readable id are left out.
    ///
    /// # Errors
    /// Those of [`Self::list`], with kind and group.
    pub(crate) async fn list_in(
        &self,
        cx: &ActionContext,
        group: &ResourceId,
        resource_type: ResourceType,
    ) -> Result<Vec<ArmObject>, ActionError> {
        let kind = resource_type.kind;
        let path = format!("{}/providers/{kind}", group.path());
        let items = self.list(cx, &path, resource_type.api_version).await;
        let items = items.map_err(|e| e.context(format_args!("{kind} in {}", group.label())))?;
        Ok(items.iter().filter_map(|item| ArmObject::part(item, resource_type)).collect())
    }

    /// Sends one request. Any response is `Ok`.
    ///
    /// # Errors
    /// If there is no token or no response. The kind is `Unknown` if a write may have taken effect.
    pub(crate) async fn send(&self, cx: &ActionContext, request: &ArmRequest) -> Result<ArmResponse, ActionError> {
        let response = self.inner.tokens.with_token(cx, |token| self.send_with(cx, request, token)).await?;
        Ok(ArmResponse::new(response))
    }

    /// Sends a request with this token, until the deadline or a cancellation.
    async fn send_with(
        &self,
        cx: &ActionContext,
        request: &ArmRequest,
        token: Secret,
    ) -> Result<HttpResponse, ActionError> {
        let effect = request.effect();
        let grace = if effect == CallEffect::ReadOnly { Duration::ZERO } else { WRITE_GRACE };
        let exchange = async {
            let permit = effect.permit(cx, "azure").await?;
            exchange(permit, request, self.http_request(request, &token)).await
        };
        within_grace(cx, grace, exchange).await.map_err(|stopped| stopped.into_error(effect, "azure"))?
    }

    /// Builds the HTTP request, with an id of its own by which Azure's support finds it.
    fn http_request(&self, request: &ArmRequest, token: &Secret) -> reqwest::RequestBuilder {
        let http = self.inner.http.request(request.method.clone(), request.url.clone());
        let http = http
            .bearer_auth(token.expose())
            .header("accept", "application/json")
            .header("x-ms-client-request-id", Uuid::new_v4().to_string());
        let http = match &request.precondition {
            Some(Precondition::Unchanged(etag)) => http.header("if-match", etag),
            Some(Precondition::Absent) => http.header("if-none-match", "*"),
            None => http,
        };
        match &request.body {
            Some(body) => http.json(body),
            None => http,
        }
    }

    /// URL of a resource, with the API version of its type.
    ///
    /// # Errors
    /// `Permanent`, if the id has no type, so that no version is known.
    pub(crate) fn url_of(&self, id: &ResourceId) -> Result<Url, ActionError> {
        match id.api_version() {
            Some(version) => Ok(self.url(&id.path(), version)),
            None => Err(ActionError::permanent("no API version is known for this kind").context(id.label())),
        }
    }

    /// URL below the endpoint; `path` is percent-encoded already.
    fn url(&self, path: &str, version: &str) -> Url {
        let mut url = self.inner.endpoint.clone();
        url.set_path(path);
        url.query_pairs_mut().append_pair("api-version", version);
        url
    }

    /// Accepts a URL that ARM returned, if it is ARM's own.
    ///
    /// # Errors
    /// `Permanent` for another host, which must not receive the token.
    pub(crate) fn trusted_url(&self, url: &str) -> Result<Url, ActionError> {
        let endpoint = &self.inner.endpoint;
        let parsed = endpoint.join(url).ok();
        let trusted = parsed.filter(|url| url.origin() == endpoint.origin() || is_regional(url, endpoint));
        trusted.ok_or_else(|| {
            ActionError::permanent("azure returned a URL outside its own domain, which must not receive the token")
        })
    }
}

impl fmt::Debug for ArmClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArmClient").field("endpoint", &self.inner.endpoint.as_str()).finish_non_exhaustive()
    }
}

/// True if a body is a resource, and not an error that was sent with a status of success.
fn is_resource(body: &Value) -> bool {
    body.is_object() && (body.get("error").is_none() || body.get("id").is_some())
}

/// True if `url` is a regional endpoint of ARM, such as `westeurope.management.azure.com`.
fn is_regional(url: &Url, endpoint: &Url) -> bool {
    let (Some(url::Host::Domain(host)), Some(url::Host::Domain(domain))) = (url.host(), endpoint.host()) else {
        return false;
    };
    let is_same_service = url.scheme() == "https" && url.port_or_known_default() == endpoint.port_or_known_default();
    is_same_service && host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Sends a request and reads the whole response, of at most [`MAX_ARM_BODY_BYTES`].
async fn exchange(
    permit: CallPermit,
    request: &ArmRequest,
    http: reqwest::RequestBuilder,
) -> Result<HttpResponse, ActionError> {
    let effect = permit.effect();
    let sent = send(permit, http).await;
    let response = sent.map_err(|e| expired(&e).unwrap_or_else(|| transport_error(request, e)))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = match read_body(reqwest::Body::from(response), MAX_ARM_BODY_BYTES).await {
        Ok(body) => body,
        // The status of a refusal decides; its body would only explain it.
        Err(_) if !status.is_success() => Vec::new(),
        Err(error) => return Err(error.into_error(effect, "azure")),
    };
    Ok(HttpResponse { status, headers, body })
}

/// Error of a request without a response. It names the host, not the URL: URLs of operations are
/// signed.
fn transport_error(request: &ArmRequest, error: reqwest::Error) -> ActionError {
    let host = request.url.host_str().unwrap_or("azure");
    let kind = transport_failure_kind(request.effect(), &error);
    let (is_connect, is_timeout) = (error.is_connect(), error.is_timeout());
    let cause = if is_timeout && !is_connect { "no response in time".into() } else { innermost(&error.without_url()) };
    let message = match kind {
        FailureKind::Permanent => format!("request to {host} cannot be built: {cause}"),
        _ if is_connect => format!("cannot connect to {host}: {cause}"),
        FailureKind::Unknown => format!("the response of {host} was lost: {cause}"),
        _ => format!("{host}: {cause}"),
    };
    ActionError::new(kind, message)
}

/// Text of the last cause, which is the only one that says more than "error sending request".
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
