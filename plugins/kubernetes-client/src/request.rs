use http::{Method, Request, request::Builder};
use kube::client::Body;
use serde_json::Value;
use stargate_client::CallEffect;
use stargate_sdk::ActionError;
use url::form_urlencoded;

use crate::ObjectPath;

/// Format of a request body, which decides how the server applies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// A whole object.
    Json,
    /// A JSON merge patch (RFC 7386).
    MergePatch,
    /// A configuration for server-side apply.
    Apply,
}

impl BodyFormat {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MergePatch => "application/merge-patch+json",
            Self::Apply => "application/apply-patch+yaml", // JSON is YAML.
        }
    }
}

/// One request to the API server.
#[derive(Debug, Clone)]
pub struct KubeRequest {
    /// Effect that the request can have without a response.
    pub effect: CallEffect,
    /// HTTP method of the request.
    method: Method,
    /// Path on the server, percent-encoded.
    path: String,
    /// Query parameters in order, not encoded. A name can occur several times.
    query: Vec<(&'static str, String)>,
    /// Body with its format; `None` for a request without one.
    body: Option<(BodyFormat, Value)>,
}

impl KubeRequest {
    /// A `GET` of `path`.
    pub fn read(path: impl Into<String>) -> Self {
        let path = path.into();
        Self { effect: CallEffect::ReadOnly, method: Method::GET, path, query: Vec::new(), body: None }
    }

    /// A request that may change one object.
    pub fn write(method: Method, path: ObjectPath, format: BodyFormat, body: Value) -> Self {
        let path = path.into();
        Self { effect: CallEffect::MayHaveChanged, method, path, query: Vec::new(), body: Some((format, body)) }
    }

    /// A `POST` that creates an object in the collection at `path`: the only call about a
    /// collection that may change something.
    pub fn create(path: impl Into<String>, body: Value) -> Self {
        let (path, body) = (path.into(), Some((BodyFormat::Json, body)));
        Self { effect: CallEffect::MayHaveChanged, method: Method::POST, path, query: Vec::new(), body }
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Name of the request in errors, such as `kubernetes GET /api/v1/nodes`; it has no query.
    pub fn name(&self) -> String {
        format!("kubernetes {} {}", self.method, self.path)
    }

    /// Builds the request that is sent.
    pub(crate) fn to_http(&self) -> Result<Request<Body>, ActionError> {
        let mut builder = self.head().header("accept", "application/json");
        let bytes = match &self.body {
            Some((format, body)) => {
                builder = builder.header("content-type", format.content_type());
                serde_json::to_vec(body).map_err(|e| self.build_error(&e))?
            }
            None => Vec::new(),
        };
        builder.body(Body::from(bytes)).map_err(|e| self.build_error(&e))
    }

    /// Builds the request that upgrades a connection. It has no `Accept`: with `application/json`,
    /// kube-apiserver 1.37 refuses it with 406.
    pub(crate) fn to_upgrade(&self) -> Result<Request<Vec<u8>>, ActionError> {
        self.head().body(Vec::new()).map_err(|e| self.build_error(&e))
    }

    fn head(&self) -> Builder {
        Request::builder().method(self.method.clone()).uri(self.uri())
    }

    fn build_error(&self, error: &dyn std::fmt::Display) -> ActionError {
        ActionError::permanent(format!("{}: {error}", self.name()))
    }

    fn uri(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        format!("{}?{query}", self.path)
    }
}
