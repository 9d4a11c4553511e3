use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::arm::error::ArmError;
use crate::arm::json::Object;

/// Request to Azure Resource Manager, decoded.
#[derive(Debug, Clone)]
pub(crate) struct ArmCall {
    /// HTTP method in capitals.
    pub(crate) method: String,
    /// Percent-decoded segments of the path.
    pub(crate) segments: Vec<String>,
    /// Query parameters by lower-case name.
    pub(crate) query: BTreeMap<String, String>,
    /// Value of the header `If-Match`.
    pub(crate) if_match: Option<String>,
    /// Value of the header `If-None-Match`.
    pub(crate) if_none_match: Option<String>,
    pub(crate) body: Option<Value>,
    /// Scheme and authority that the client used: URLs of operations begin with them.
    pub(crate) base: String,
    /// Whole URL as it was sent.
    pub(crate) url: String,
    /// Faults for the operation that the request starts.
    pub(crate) fault: OperationFault,
    /// Time at which the request arrived.
    pub(crate) now: Timestamp,
}

impl ArmCall {
    /// Returns `api-version`, or the empty text.
    pub(crate) fn api_version(&self) -> &str {
        self.query.get("api-version").map_or("", String::as_str)
    }

    /// Returns the body.
    ///
    /// # Errors
    /// 400 `InvalidRequestContent` if it is not a JSON object.
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

    /// True if `$expand` asks for this member.
    pub(crate) fn expands(&self, what: &str) -> bool {
        self.query.get("$expand").is_some_and(|value| value.eq_ignore_ascii_case(what))
    }
}

/// Effect of an injected fault on the operation that a request starts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct OperationFault {
    /// Factor by which the operation takes longer.
    pub(crate) slow: Option<f64>,
    /// Error code with which the operation fails.
    pub(crate) fails: Option<String>,
}

/// Answer without the headers that every answer has.
#[derive(Debug, Clone, Default)]
pub(crate) struct ArmReply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
}

impl ArmReply {
    /// Returns an answer without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Returns an answer with a JSON body.
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Some(body) }
    }

    /// Adds a header to the answer.
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Answer to a request, or a refusal.
pub(crate) type ArmResult = Result<ArmReply, ArmError>;
