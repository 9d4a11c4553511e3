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
    /// No answer, or one that does not say whether the call took effect.
    pub(crate) fn in_doubt(self, message: impl Into<String>) -> ActionError {
        ActionError::new(self.unanswered(), message)
    }

    fn unanswered(self) -> FailureKind {
        match self {
            Self::None => FailureKind::Transient,
            Self::Possible => FailureKind::Unknown,
        }
    }
}

/// A call that failed, with the server's own words when there was an answer.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) code: Option<StatusCode>,
    pub(crate) status: Box<Status>,
    pub(crate) error: ActionError,
}

/// The `Status` object that the API server answers failures with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    /// `Success` or `Failure`.
    #[serde(rename = "status")]
    pub(crate) outcome: String,
    pub(crate) message: String,
    pub(crate) reason: String,
    pub(crate) details: Details,
}

/// What a [`Status`] adds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Details {
    pub(crate) causes: Vec<Cause>,
    pub(crate) retry_after_seconds: u64,
}

/// One of several causes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Cause {
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) field: String,
}

impl ApiError {
    /// The object (or the kind) is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code == Some(StatusCode::NOT_FOUND)
    }

    /// The kind is not served: nobody answered for the path. An object (or a namespace) that is missing is named.
    pub(crate) fn is_of_unserved_kind(&self) -> bool {
        self.is_not_found() && self.status.reason.is_empty()
    }

    /// An object of the name is there already.
    pub(crate) fn already_exists(&self) -> bool {
        self.status.reason == "AlreadyExists"
    }

    /// The object changed since it was read, or is another one by now.
    pub(crate) fn is_stale(&self) -> bool {
        self.code == Some(StatusCode::CONFLICT) && !self.already_exists() && self.owners().is_empty()
    }

    /// Fields that belong to others, each as `.data.a (kubectl)`.
    pub(crate) fn owners(&self) -> Vec<String> {
        let causes = self.status.details.causes.iter().filter(|cause| cause.reason == "FieldManagerConflict");
        causes.map(|cause| format!("{} ({})", cause.field, owner(&cause.message))).collect()
    }

    /// What a disruption budget says, when it is why an eviction is refused for now.
    pub(crate) fn budget(&self) -> Option<&str> {
        let causes = &self.status.details.causes;
        causes.iter().find(|cause| cause.reason == "DisruptionBudget").map(|cause| cause.message.as_str())
    }

    /// How long the server asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self.error.kind {
            FailureKind::Throttled { retry_after } => retry_after,
            FailureKind::Transient | FailureKind::Permanent | FailureKind::Unknown => None,
        }
    }
}

/// `conflict with "kubectl-edit" using v1` names who is in the way.
fn owner(message: &str) -> &str {
    message.split('"').nth(1).unwrap_or(message)
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        Self { code: None, status: Box::default(), error }
    }
}

impl From<ApiError> for ActionError {
    fn from(error: ApiError) -> Self {
        error.error
    }
}

/// Maps a call that got no answer.
pub(crate) fn unanswered(effect: Effect, call: &str, error: &kube::Error) -> ActionError {
    let message = format!("{call}: {}", chain(error));
    if let kube::Error::Auth(_) = error {
        // A login helper failed: no request was sent.
        return ActionError::transient(message).with_hint("check the login command of the kubeconfig's user");
    }
    if was_not_sent(error) { ActionError::transient(message) } else { effect.in_doubt(message) }
}

/// Whether the connection was never made.
fn was_not_sent(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

/// Maps an answer that is no success.
pub(crate) fn refused(effect: Effect, call: &str, code: StatusCode, headers: &HeaderMap, body: &[u8]) -> ApiError {
    let status: Box<Status> = serde_json::from_slice(body).unwrap_or_default();
    let message = format!("{call}: {}", describe(code, &status, body));
    let kind = kind(effect, code, headers, &status);
    let error = ActionError::new(kind, message).with_code(reason(code, &status));
    let error = match hint(code) {
        Some(hint) => error.with_hint(hint),
        None => error,
    };
    ApiError { code: Some(code), status, error }
}

fn reason(code: StatusCode, status: &Status) -> String {
    if status.reason.is_empty() { code.as_str().to_owned() } else { status.reason.clone() }
}

fn describe(code: StatusCode, status: &Status, body: &[u8]) -> String {
    let said = if status.message.is_empty() { String::from_utf8_lossy(body) } else { status.message.as_str().into() };
    let said: String = said.trim().chars().take(LONGEST_MESSAGE).collect();
    if said.is_empty() { code.to_string() } else { said }
}

fn kind(effect: Effect, code: StatusCode, headers: &HeaderMap, status: &Status) -> FailureKind {
    let conflict_of_owners = status.details.causes.iter().any(|cause| cause.reason == "FieldManagerConflict");
    match code.as_u16() {
        429 => FailureKind::Throttled { retry_after: retry_after(headers, status) },
        // Somebody else was faster: nothing was written, and the next attempt reads again.
        409 if status.reason == "Conflict" && !conflict_of_owners => FailureKind::Transient,
        // A listing that took too long to page through starts again.
        410 => FailureKind::Transient,
        // An admission webhook is asked before anything is stored.
        500 if status.message.contains("failed calling webhook") => FailureKind::Transient,
        408 | 500..=599 => effect.unanswered(),
        _ => FailureKind::Permanent,
    }
}

fn retry_after(headers: &HeaderMap, status: &Status) -> Option<Duration> {
    let header = headers.get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = (status.details.retry_after_seconds > 0).then_some(status.details.retry_after_seconds);
    header.or(body).map(Duration::from_secs)
}

fn hint(code: StatusCode) -> Option<&'static str> {
    match code.as_u16() {
        401 => Some("the credentials in the kubeconfig are not accepted: they may have expired"),
        403 => Some("the account in the kubeconfig needs the right that the message names"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(effect: Effect, code: u16, body: &serde_json::Value, expected: FailureKind) {
        let code = StatusCode::from_u16(code).expect("status");
        let error = refused(effect, "call", code, &HeaderMap::new(), body.to_string().as_bytes());
        assert_eq!(error.error.kind, expected, "{code} {body}");
    }

    #[test]
    fn every_answer_gets_the_kind_that_fits() {
        use Effect::{None as Read, Possible as Write};
        use FailureKind::{Permanent, Transient, Unknown};
        let throttled = |seconds| FailureKind::Throttled { retry_after: Some(Duration::from_secs(seconds)) };
        check(Write, 429, &json!({"reason": "TooManyRequests", "details": {"retryAfterSeconds": 10}}), throttled(10));
        check(Write, 409, &json!({"reason": "Conflict"}), Transient);
        check(Write, 409, &json!({"reason": "AlreadyExists"}), Permanent);
        let owners = json!({"reason": "Conflict", "details": {"causes": [{"reason": "FieldManagerConflict"}]}});
        check(Write, 409, &owners, Permanent);
        check(Write, 422, &json!({"reason": "Invalid"}), Permanent);
        check(Write, 403, &json!({"reason": "Forbidden"}), Permanent);
        check(Read, 410, &json!({"reason": "Expired"}), Transient);
        check(Read, 503, &json!({"reason": "ServiceUnavailable"}), Transient);
        check(Write, 503, &json!({"reason": "ServiceUnavailable"}), Unknown);
        check(Write, 504, &json!({"reason": "Timeout"}), Unknown);
        let webhook =
            json!({"reason": "InternalError", "message": "Internal error occurred: failed calling webhook \"x\""});
        check(Write, 500, &webhook, Transient);
    }

    #[test]
    fn a_conflict_names_the_field_and_its_owner() {
        let body = json!({"reason": "Conflict", "details": {"causes": [
            {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\"", "field": ".data.a"}]}});
        let error =
            refused(Effect::Possible, "call", StatusCode::CONFLICT, &HeaderMap::new(), body.to_string().as_bytes());
        assert_eq!(error.owners(), [".data.a (kubectl)"]);
        assert!(!error.is_stale());
    }
}
