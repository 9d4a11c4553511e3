use std::{error::Error, time::Duration};

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use stargate_sdk::{ActionError, FailureKind};

/// Longer texts are cut: an error page is not a message.
const LONGEST_MESSAGE: usize = 600;

/// Whether a call may have changed something if no answer proves otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only reads.
    None,
    /// It may have.
    Possible,
}

impl Effect {
    /// The kind of a call whose answer, or lack of one, tells nothing about what happened.
    pub(crate) fn unanswered(self) -> FailureKind {
        match self {
            Self::None => FailureKind::Transient,
            Self::Possible => FailureKind::Unknown,
        }
    }
}

/// A call that failed.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) code: Option<StatusCode>,
    /// Who owns the fields that were to be set: the field managers.
    pub(crate) owners: Vec<String>,
    pub(crate) error: ActionError,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    reason: String,
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    causes: Vec<Cause>,
    retry_after_seconds: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        Self { code: None, owners: Vec::new(), error }
    }
}

/// Maps a call that got no answer.
pub(crate) fn unanswered(effect: Effect, call: &str, error: &kube::Error) -> ActionError {
    let mut causes = Vec::new();
    let mut was_sent = true;
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let connecting = error.downcast_ref().is_some_and(hyper_util::client::legacy::Error::is_connect);
        was_sent &= !connecting;
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.dedup();
    let kind = if was_sent { effect.unanswered() } else { FailureKind::Transient };
    ActionError::new(kind, format!("{call}: {}", causes.join(": ")))
}

/// Maps an answer that is no success.
pub(crate) fn refused(effect: Effect, call: &str, code: StatusCode, headers: &HeaderMap, body: &[u8]) -> ApiError {
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let owners: Vec<String> = status.details.causes.iter().filter_map(owner).collect();
    let said = if status.message.is_empty() { code.to_string() } else { status.message.clone() };
    let said: String = said.chars().take(LONGEST_MESSAGE).collect();
    let reason = if status.reason.is_empty() { code.as_str() } else { &status.reason };
    let kind = kind(effect, code, headers, &status, !owners.is_empty());
    let error = ActionError::new(kind, format!("{call}: {said}")).with_code(reason);
    let error = match code.as_u16() {
        401 => error.with_hint("the credentials in the kubeconfig are not accepted: they may have expired"),
        403 => error.with_hint("the account in the kubeconfig needs get and patch on ciliumnodes.cilium.io"),
        _ => error,
    };
    ApiError { code: Some(code), owners, error }
}

fn kind(effect: Effect, code: StatusCode, headers: &HeaderMap, status: &Status, owned: bool) -> FailureKind {
    match code.as_u16() {
        429 => FailureKind::Throttled { retry_after: retry_after(headers, status) },
        // Somebody else was faster: nothing was written, and the next attempt reads again.
        409 if status.reason == "Conflict" && !owned => FailureKind::Transient,
        408 | 500..=599 => effect.unanswered(),
        _ => FailureKind::Permanent,
    }
}

fn retry_after(headers: &HeaderMap, status: &Status) -> Option<Duration> {
    let header = headers.get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = (status.details.retry_after_seconds > 0).then_some(status.details.retry_after_seconds);
    header.or(body).map(Duration::from_secs)
}

/// `conflict with "kubectl-edit" using v1` names who is in the way.
fn owner(cause: &Cause) -> Option<String> {
    let is_owner = cause.reason == "FieldManagerConflict";
    is_owner.then(|| cause.message.split('"').nth(1).unwrap_or(&cause.message).to_owned())
}
