use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Code of the error of a call that was not sent, because the lease of its run had expired.
pub const LEASE_EXPIRED: &str = "LeaseExpired";

/// Meaning of a failure for the next attempt. It is chosen where the call is made and never
/// inferred further up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The call had no effect; a retry may succeed.
    Transient,
    /// The server asked for a lower rate of requests. The call had no effect.
    Throttled {
        /// Shortest time until the next request, if the server named one.
        retry_after: Option<Duration>,
    },
    /// A retry with the same input cannot succeed.
    Permanent,
    /// The call may have taken effect. The engine applies the action's `Recovery` before any retry.
    Unknown,
}

/// Failure of an attempt: text for people and data for the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionError {
    /// Meaning of the failure for the next attempt.
    pub kind: FailureKind,
    /// The server's own error code, such as `RouteConflict`, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Text that names the object and the cause: lower case, no full stop.
    pub message: String,
    /// Action that the reader can take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ActionError {
    /// A failure of the given kind, without code and hint.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, code: None, message: message.into(), hint: None }
    }

    /// A failure without effect; a retry may succeed.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Transient, message)
    }

    /// A refusal because of too many requests.
    pub fn throttled(retry_after: Option<Duration>, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Throttled { retry_after }, message)
    }

    /// A failure that a retry with the same input cannot avoid.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Permanent, message)
    }

    /// A failure of a call that may have taken effect.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unknown, message)
    }

    /// Adds the server's own error code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Adds the action that the reader can take.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prepends `context` to the message, as in `route table "x": …`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{} ({code})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ActionError {}
