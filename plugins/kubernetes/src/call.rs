use http::{Method, Request};
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
        Ok(self.plain_request()?.map(Body::from))
    }

    /// The request as bytes: what a connection is upgraded with.
    pub(crate) fn plain_request(&self) -> Result<Request<Vec<u8>>, ActionError> {
        let unusable = |e: &dyn std::fmt::Display| ActionError::permanent(format!("{}: {e}", self.name()));
        let mut builder = Request::builder().method(self.method.clone()).uri(self.uri());
        let bytes = match &self.body {
            Some((form, body)) => {
                builder = builder.header("content-type", form.content_type());
                serde_json::to_vec(body).map_err(|e| unusable(&e))?
            }
            None => Vec::new(),
        };
        builder.header("accept", "application/json").body(bytes).map_err(|e| unusable(&e))
    }

    fn uri(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        format!("{}?{query}", self.path)
    }
}
