use http::{Method, Request, request::Builder};
use kube::client::Body;
use serde_json::Value;
use stargate_sdk::ActionError;
use url::form_urlencoded;

use crate::failure::Effect;

/// How a body is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    MergePatch,
    Apply,
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MergePatch => "application/merge-patch+json",
            Self::Apply => "application/apply-patch+yaml", // JSON is YAML.
        }
    }
}

/// One request to the API server.
pub(crate) struct Call {
    pub(crate) effect: Effect,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<(Form, Value)>,
}

impl Call {
    /// A request that changes nothing.
    pub(crate) fn read(path: String) -> Self {
        Self { effect: Effect::None, method: Method::GET, path, query: Vec::new(), body: None }
    }

    /// A request that may change something.
    pub(crate) fn write(method: Method, path: String, form: Form, body: Value) -> Self {
        Self { effect: Effect::Possible, method, path, query: Vec::new(), body: Some((form, body)) }
    }

    /// Adds a query parameter.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// The request as an error names it: without the query, which says nothing to a reader.
    pub(crate) fn name(&self) -> String {
        format!("kubernetes {} {}", self.method, self.path)
    }

    pub(crate) fn request(&self) -> Result<Request<Body>, ActionError> {
        let mut builder = self.head().header("accept", "application/json");
        let bytes = match &self.body {
            Some((form, body)) => {
                builder = builder.header("content-type", form.content_type());
                serde_json::to_vec(body).map_err(|e| self.unusable(&e))?
            }
            None => Vec::new(),
        };
        builder.body(Body::from(bytes)).map_err(|e| self.unusable(&e))
    }

    /// The request that a connection is upgraded with: one that is to be answered in JSON is refused with 406.
    pub(crate) fn upgrade(&self) -> Result<Request<Vec<u8>>, ActionError> {
        self.head().body(Vec::new()).map_err(|e| self.unusable(&e))
    }

    fn head(&self) -> Builder {
        Request::builder().method(self.method.clone()).uri(self.uri())
    }

    fn unusable(&self, error: &dyn std::fmt::Display) -> ActionError {
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
