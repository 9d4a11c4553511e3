use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// What a failure means for the next attempt. Chosen where the call is made, never guessed further up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Nothing happened, and trying again may help.
    Transient,
    /// The far side asked for patience; `retry_after` is its own figure where it gave one.
    Throttled {
        /// How long the far side asked to wait.
        retry_after: Option<Duration>,
    },
    /// Trying again with the same input cannot help.
    Permanent,
    /// The call may have taken effect. The engine looks at the action's `Recovery` before anything else.
    Unknown,
}

/// Why an attempt failed, in words for a person and data for the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionError {
    /// What the failure means for the next attempt.
    pub kind: FailureKind,
    /// The far side's own code, such as `RouteConflict`, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Lower case, no full stop, names the object.
    pub message: String,
    /// What the reader can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ActionError {
    /// A failure of the given kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, code: None, message: message.into(), hint: None }
    }

    /// Nothing happened, and trying again may help.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Transient, message)
    }

    /// The far side asked for patience.
    pub fn throttled(retry_after: Option<Duration>, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Throttled { retry_after }, message)
    }

    /// Trying again with the same input cannot help.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Permanent, message)
    }

    /// The call may have taken effect.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unknown, message)
    }

    /// Adds the far side's own code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts `context` before the message, as in `route table "x": …`.
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
