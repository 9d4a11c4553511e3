use std::{error::Error, fmt, time::Duration};

use http::{HeaderMap, StatusCode};
use hyper_util::client::legacy;
use jiff::Timestamp;
use serde::Deserialize;
use stargate_client::{CallEffect, bounded_retry_after, error_chain, excerpt, expired, retry_after};
use stargate_sdk::{ActionError, FailureKind};

use crate::connection::credential_problem;

/// A call that failed, with the server's `Status` object if there was a response.
#[derive(Debug)]
pub struct KubeError {
    /// HTTP status of the response; `None` if there was none.
    pub code: Option<StatusCode>,
    /// The server's explanation; empty if there was no response or it had another form.
    pub status: Box<KubeStatus>,
    /// The error for the engine.
    pub error: ActionError,
}

/// The `Status` object that the API server answers failures with (`meta/v1`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct KubeStatus {
    /// Result in one word: `Success` or `Failure`.
    #[serde(rename = "status")]
    pub outcome: String,
    /// Explanation for people.
    pub message: String,
    /// Reason in one word, such as `AlreadyExists`.
    pub reason: String,
    /// Further data about the reason.
    pub details: StatusDetails,
}

/// Further data of a [`KubeStatus`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatusDetails {
    /// The causes, for reasons that can have several.
    pub causes: Vec<StatusCause>,
    /// Seconds until the request can be repeated; 0 if the server gives no figure.
    pub retry_after_seconds: u64,
}

/// One of the causes of a failure.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatusCause {
    /// Reason in one word, such as `FieldManagerConflict`.
    pub reason: String,
    /// Explanation for people.
    pub message: String,
    /// Path of the field that the cause is about, such as `.spec.replicas`.
    pub field: String,
}

/// A field that another manager owns, so that an apply without force was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldConflict {
    /// Path of the field, such as `.data.a`.
    pub field: String,
    /// Name of its field manager, such as `kubectl-edit`.
    pub manager: String,
}

impl fmt::Display for FieldConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.field, self.manager)
    }
}

impl KubeError {
    /// The object or its kind does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code == Some(StatusCode::NOT_FOUND)
    }

    /// The server does not serve the kind. An answer about an object or a namespace that does not
    /// exist has a reason, one about an unknown path has none.
    pub fn is_unserved_kind(&self) -> bool {
        self.is_not_found() && self.status.reason.is_empty()
    }

    /// An object of the name exists already.
    pub fn already_exists(&self) -> bool {
        self.status.reason == "AlreadyExists"
    }

    /// The object has changed since it was read, or has been replaced by another one.
    pub fn is_stale(&self) -> bool {
        self.code == Some(StatusCode::CONFLICT) && !self.already_exists() && self.conflicts().is_empty()
    }

    /// The fields of other managers that an apply without force would have changed.
    pub fn conflicts(&self) -> Vec<FieldConflict> {
        let causes = self.status.details.causes.iter().filter(|cause| cause.reason == "FieldManagerConflict");
        let conflict = |cause: &StatusCause| FieldConflict {
            field: cause.field.clone(),
            manager: manager_in(&cause.message).to_owned(),
        };
        causes.map(conflict).collect()
    }

    /// The disruption budget's explanation, if it is the reason for which an eviction was refused.
    pub fn disruption_budget(&self) -> Option<&str> {
        let causes = &self.status.details.causes;
        causes.iter().find(|cause| cause.reason == "DisruptionBudget").map(|cause| cause.message.as_str())
    }

    /// Delay that the server asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.error.kind {
            FailureKind::Throttled { retry_after } => retry_after,
            FailureKind::Transient | FailureKind::Permanent | FailureKind::Unknown => None,
        }
    }
}

/// Name of the manager in `conflict with "kubectl-edit" using v1`.
fn manager_in(message: &str) -> &str {
    message.split('"').nth(1).unwrap_or(message)
}

impl From<ActionError> for KubeError {
    fn from(error: ActionError) -> Self {
        Self { code: None, status: Box::default(), error }
    }
}

impl From<KubeError> for ActionError {
    fn from(error: KubeError) -> Self {
        error.error
    }
}

/// Classifies a call without a response.
pub(crate) fn unanswered_error(effect: CallEffect, call: &str, error: &kube::Error) -> ActionError {
    if let kube::Error::Auth(error) = error {
        // No request was sent.
        let message = format!("{call}: cannot use the kubeconfig: {}", credential_problem(error));
        return ActionError::transient(message).with_hint("check the credentials of the kubeconfig's user");
    }
    let message = format!("{call}: {}", error_chain(error));
    if let Some(expired) = expired(error) {
        return expired;
    }
    if was_not_sent(error) { ActionError::transient(message) } else { effect.unanswered_error(message) }
}

/// True if no connection was made.
fn was_not_sent(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(legacy::Error::is_connect) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Classifies a response without success.
pub(crate) fn refused_error(
    effect: CallEffect,
    call: &str,
    code: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> KubeError {
    let status: Box<KubeStatus> = serde_json::from_slice(body).unwrap_or_default();
    let delay = retry_after(headers, Timestamp::now()).or_else(|| delay_in(&status));
    let kind = effect.failure_kind(code, delay, kind_by_reason(code, &status));
    let error =
        ActionError::new(kind, format!("{call}: {}", describe(code, &status, body))).with_code(reason(code, &status));
    let error = match hint(code) {
        Some(hint) => error.with_hint(hint),
        None => error,
    };
    KubeError { code: Some(code), status, error }
}

fn delay_in(status: &KubeStatus) -> Option<Duration> {
    let seconds = status.details.retry_after_seconds;
    (seconds > 0).then(|| bounded_retry_after(Duration::from_secs(seconds)))
}

fn reason(code: StatusCode, status: &KubeStatus) -> String {
    if status.reason.is_empty() { code.as_str().to_owned() } else { status.reason.clone() }
}

fn describe(code: StatusCode, status: &KubeStatus, body: &[u8]) -> String {
    let message = if status.message.is_empty() { String::from_utf8_lossy(body) } else { (&*status.message).into() };
    let message = excerpt(&message);
    if message.is_empty() { code.to_string() } else { message }
}

/// Kind of a failure whose `Status` decides more than the HTTP status.
fn kind_by_reason(code: StatusCode, status: &KubeStatus) -> Option<FailureKind> {
    let has_conflict = status.details.causes.iter().any(|cause| cause.reason == "FieldManagerConflict");
    match code.as_u16() {
        // Another client wrote first: nothing was written, and the next attempt reads again.
        409 if status.reason == "Conflict" && !has_conflict => Some(FailureKind::Transient),
        // The snapshot of a list expired between two pages; the next attempt starts a new list.
        410 => Some(FailureKind::Transient),
        // Admission webhooks are called before the object is stored.
        500 if status.message.contains("failed calling webhook") => Some(FailureKind::Transient),
        _ => None,
    }
}

fn hint(code: StatusCode) -> Option<&'static str> {
    match code.as_u16() {
        401 => Some("the credentials in the kubeconfig are not accepted: they may have expired"),
        403 => Some("the account in the kubeconfig needs the right that the message names"),
        _ => None,
    }
}

/// Checks what must hold for any answer of an API server: it is read, or an error of limited
/// length.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_any_answer(input: &[u8]) {
    use crate::{discovery::kind_in, exec_frames::ExecMessage, json};
    for effect in [CallEffect::ReadOnly, CallEffect::MayHaveChanged] {
        let error = refused_error(effect, "GET /x", StatusCode::CONFLICT, &HeaderMap::new(), input);
        assert!(error.error.message.len() < 4096, "{}", error.error);
        let _ = (error.conflicts(), error.disruption_budget(), error.retry_after(), error.is_stale());
    }
    for stream in 0..5 {
        ExecMessage::parse([&[stream], input].concat());
    }
    let Ok(object) = serde_json::from_slice(input) else { return };
    if let Some(kind) = kind_in(&object, "/api/v1".into(), "ConfigMap") {
        assert!(kind.collection_path(Some("default")).is_ok_and(|path| path.starts_with("/api/v1/")));
    }
    let _ = (json::name(&object), json::uid(&object), json::condition(&object, "Ready"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(effect: CallEffect, code: u16, body: &serde_json::Value, expected: FailureKind) {
        let code = StatusCode::from_u16(code).expect("status");
        let error = refused_error(effect, "call", code, &HeaderMap::new(), body.to_string().as_bytes());
        assert_eq!(error.error.kind, expected, "{code} {body}");
    }

    #[test]
    fn each_response_has_its_failure_kind() {
        use CallEffect::{MayHaveChanged as Write, ReadOnly as Read};
        use FailureKind::{Permanent, Transient, Unknown};
        let throttled = |seconds| FailureKind::Throttled { retry_after: Some(Duration::from_secs(seconds)) };
        check(Write, 429, &json!({"reason": "TooManyRequests", "details": {"retryAfterSeconds": 10}}), throttled(10));
        check(Write, 409, &json!({"reason": "Conflict"}), Transient);
        check(Write, 409, &json!({"reason": "AlreadyExists"}), Permanent);
        let conflict = json!({"reason": "Conflict", "details": {"causes": [{"reason": "FieldManagerConflict"}]}});
        check(Write, 409, &conflict, Permanent);
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
    fn a_conflict_names_the_field_and_its_manager() {
        let body = json!({"reason": "Conflict", "details": {"causes": [
            {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\"", "field": ".data.a"}]}});
        let body = body.to_string();
        let effect = CallEffect::MayHaveChanged;
        let error = refused_error(effect, "call", StatusCode::CONFLICT, &HeaderMap::new(), body.as_bytes());
        assert_eq!(error.conflicts().iter().map(ToString::to_string).collect::<Vec<_>>(), [".data.a (kubectl)"]);
        assert!(!error.is_stale());
    }
}
