use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use stargate_client::{CallEffect, HttpResponse, has_few_values};
use stargate_sdk::ActionError;
use url::Url;

use crate::client::{ArmObject, failure};

/// Condition under which ARM performs a write. If it does not hold, ARM answers 412 and writes
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// The resource still has this `ETag` (`If-Match`).
    Unchanged(String),
    /// The resource does not exist (`If-None-Match: *`).
    Absent,
}

impl Precondition {
    /// Requires that `actual` has not changed since it was read; `None` if it has no `ETag`.
    pub(crate) fn unchanged(actual: &ArmObject) -> Option<Self> {
        actual.etag.clone().map(Self::Unchanged)
    }
}

/// One request to ARM, without its token.
#[derive(Debug)]
pub(crate) struct ArmRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: Option<Value>,
    pub(crate) precondition: Option<Precondition>,
}

impl ArmRequest {
    /// Creates a read of `url`.
    pub(crate) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, body: None, precondition: None }
    }

    /// Creates a write that creates or replaces the resource at `url`.
    pub(crate) fn put(url: Url, body: Value, precondition: Option<Precondition>) -> Self {
        Self { method: Method::PUT, url, body: Some(body), precondition }
    }

    /// Creates a deletion of the resource at `url`.
    pub(crate) fn delete(url: Url, precondition: Option<Precondition>) -> Self {
        Self { method: Method::DELETE, url, body: None, precondition }
    }

    /// True for a deletion, which succeeds if the resource does not exist.
    pub(crate) fn is_deletion(&self) -> bool {
        self.method == Method::DELETE
    }

    /// Effect of the request, by its method.
    pub(crate) fn effect(&self) -> CallEffect {
        CallEffect::of(&self.method)
    }
}

/// One response of ARM, with its body as JSON.
#[derive(Debug)]
pub(crate) struct ArmResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Body; `Null` if it is not JSON, or has too many values.
    pub(crate) json: Value,
}

impl ArmResponse {
    /// Parses the body of an HTTP response.
    pub(crate) fn new(response: HttpResponse) -> Self {
        let json = if has_few_values(&response.body) { serde_json::from_slice(&response.body).ok() } else { None };
        let json = json.unwrap_or(Value::Null);
        Self { status: response.status, headers: response.headers, json }
    }

    /// Value of a header, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Error that a response without success means for a call with this effect.
    pub(crate) fn into_error(self, effect: CallEffect) -> ActionError {
        failure::response_error(effect, self.status, &self.headers, &self.json)
    }
}
