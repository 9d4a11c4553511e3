use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::arm::error::ArmError;
use crate::arm::json::Object;

/// A request, with what every type's behaviour may need of it.
#[derive(Debug, Clone)]
pub(crate) struct ArmCall {
    pub(crate) method: String,
    /// Decoded segments of the path.
    pub(crate) segments: Vec<String>,
    /// Query by lower-case name.
    pub(crate) query: BTreeMap<String, String>,
    /// `If-Match`.
    pub(crate) if_match: Option<String>,
    /// `If-None-Match`.
    pub(crate) if_none_match: Option<String>,
    pub(crate) body: Option<Value>,
    /// Scheme and authority that the client used: what operation URLs begin with.
    pub(crate) base: String,
    /// The whole URL, as it was sent.
    pub(crate) url: String,
    pub(crate) fault: OperationFault,
    pub(crate) now: Timestamp,
}

impl ArmCall {
    pub(crate) fn api_version(&self) -> &str {
        self.query.get("api-version").map_or("", String::as_str)
    }

    /// The body as an object; anything else is refused as ARM does.
    pub(crate) fn object(&self) -> Result<Object, ArmError> {
        match &self.body {
            Some(Value::Object(object)) => Ok(object.clone()),
            _ => Err(ArmError::gateway(
                400,
                "InvalidRequestContent",
                "The request content was invalid and could not be deserialized: expected a JSON object.",
            )),
        }
    }

    pub(crate) fn expands(&self, what: &str) -> bool {
        self.query.get("$expand").is_some_and(|value| value.eq_ignore_ascii_case(what))
    }
}

/// What a fault does to the operation that a request starts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct OperationFault {
    /// Times longer.
    pub(crate) slow: Option<f64>,
    /// Fails with this code.
    pub(crate) fails: Option<String>,
}

/// An answer, before the headers that all answers have.
#[derive(Debug, Clone, Default)]
pub(crate) struct ArmReply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
}

impl ArmReply {
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Some(body) }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What a behaviour gives: an answer or a refusal.
pub(crate) type ArmResult = Result<ArmReply, ArmError>;
