use std::collections::BTreeSet;

use futures::future::BoxFuture;
use serde::Serialize;

use crate::{ActionContext, ActionError, Permission};

/// A read-only test of one precondition of the environment, for `stargate doctor`.
pub trait Check: Send + Sync {
    /// Identifier of the check: `provider.noun`. It is stable, because scripts select checks by it.
    fn id(&self) -> &'static str;

    /// Sentence in the third person that describes the check to users.
    fn summary(&self) -> &'static str;

    /// Identifiers of the checks that must pass before this one runs; all of them are added before
    /// it.
    fn after(&self) -> &'static [&'static str] {
        &[]
    }

    /// Runs the check. `required` are the permissions that the selected actions require, of all
    /// authorities.
    fn run<'a>(&'a self, cx: &'a ActionContext, required: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding>;
}

/// Result of a check in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// The precondition holds.
    Ok,
    /// The precondition may not hold, or not for long.
    Warning,
    /// The precondition does not hold: actions will fail.
    Failed,
    /// The check could not be made.
    Skipped,
}

/// Result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Result in one word.
    pub status: CheckStatus,
    /// Actual state, or the reason for which it is not sufficient. Lower case, no full stop.
    pub message: String,
    /// Command to run or permission to grant next.
    pub hint: Option<String>,
    /// Operations that must be allowed, if the check is about permissions.
    pub required: Vec<String>,
}

impl Finding {
    /// The precondition holds.
    pub fn ok(message: impl Into<String>) -> Self {
        Self { status: CheckStatus::Ok, message: message.into(), hint: None, required: Vec::new() }
    }

    /// The precondition may not hold, or not for long.
    pub fn warning(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: CheckStatus::Warning, message: message.into(), hint: Some(hint.into()), required: Vec::new() }
    }

    /// The precondition does not hold.
    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: CheckStatus::Failed, message: message.into(), hint: Some(hint.into()), required: Vec::new() }
    }

    /// The check could not be made, for `reason`.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self { status: CheckStatus::Skipped, message: reason.into(), hint: None, required: Vec::new() }
    }

    /// The check failed with `error`, whose own hint is used instead of `hint` if it has one.
    pub fn of_error(error: ActionError, hint: impl Into<String>) -> Self {
        let message = error.to_string();
        Self {
            status: CheckStatus::Failed,
            message,
            hint: Some(error.hint.unwrap_or_else(|| hint.into())),
            required: Vec::new(),
        }
    }

    /// Adds the operations that must be allowed.
    #[must_use]
    pub fn with_permissions(mut self, required: &[&str]) -> Self {
        self.required = required.iter().map(|&operation| operation.to_owned()).collect();
        self
    }
}
