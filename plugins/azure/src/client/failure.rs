use std::time::Duration;

use jiff::Timestamp;
use reqwest::{StatusCode, header::HeaderMap};
use serde::Deserialize;
use serde_json::Value;
use stargate_client::CallEffect;
use stargate_sdk::{ActionError, FailureKind};

/// Codes of a request that a resource provider refused for the moment; nothing was changed.
const RETRYABLE_CODES: [&str; 6] = [
    "AnotherOperationInProgress",
    "ReferencedResourceNotProvisioned",
    "RetryableError",
    "RetryableErrorDueToAnotherOperation",
    "ResourceGroupBeingDeleted",
    "ParentResourceNotProvisioned",
];
/// Codes of a throttled request, with any HTTP status: compute answers 409 to some.
const THROTTLING_CODES: [&str; 2] = ["SubscriptionRequestsThrottled", "TooManyRequests"];

/// Error object of ARM, alone or in `{"error": …}`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct ArmErrorBody {
    code: String,
    message: String,
    target: Option<String>,
    details: Option<Vec<ArmErrorBody>>,
}

impl ArmErrorBody {
    /// Reads an error object, with every text on one line; anything else becomes an empty one.
    fn read(value: &Value) -> Self {
        serde_json::from_value::<Self>(value.clone()).unwrap_or_default().on_one_line()
    }

    fn on_one_line(self) -> Self {
        let details = self.details.map(|details| details.into_iter().map(Self::on_one_line).collect());
        Self {
            code: one_line(&self.code),
            message: one_line(&self.message),
            target: self.target.as_deref().map(one_line),
            details,
        }
    }

    /// True if the resource provider refused the request for the moment.
    fn is_retryable(&self) -> bool {
        self.has_code(&RETRYABLE_CODES)
    }

    /// True if the request exceeded a rate limit.
    fn is_throttled(&self) -> bool {
        self.has_code(&THROTTLING_CODES)
    }

    /// True if the code, or one in the details, is one of `codes`.
    fn has_code(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| self.code.eq_ignore_ascii_case(code))
            || self.details.iter().flatten().any(|detail| detail.has_code(codes))
    }

    /// Formats message, target and details.
    fn text(&self) -> String {
        let mut text = self.message.clone();
        let target = self.target.as_deref().filter(|target| !target.is_empty() && !text.contains(target));
        if let Some(target) = target {
            text = format!("{text} (target {target})");
        }
        for detail in self.details.iter().flatten().filter(|d| !d.message.is_empty() && d.message != self.message) {
            text = format!("{text}; {}: {}", detail.code, detail.text());
        }
        text
    }

    /// Hint for the code, or for the first known one in the details.
    fn hint(&self) -> Option<&'static str> {
        let in_details = || self.details.iter().flatten().find_map(Self::hint);
        hint(&self.code, &self.message).or_else(in_details)
    }

    /// Builds the error, with a hint for known codes.
    fn into_error(self, kind: FailureKind, code: String, message: String) -> ActionError {
        let error = ActionError::new(kind, message).with_code(code);
        match self.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// Text on one line, without the full stop at its end.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.trim_end_matches('.').to_owned()
}

/// Hint for the reader of an error with this code; `None` for unknown codes.
fn hint(code: &str, message: &str) -> Option<&'static str> {
    let is_quota = message.to_ascii_lowercase().contains("quota");
    Some(match code {
        "RouteConflict" => "another route of the table has this prefix: remove one of the two",
        "OperationNotAllowed" | "QuotaExceeded" if is_quota => {
            "request a higher quota, or choose another size or region"
        }
        "SkuNotAvailable" | "AllocationFailed" | "ZonalAllocationFailed" => "choose another size or region",
        "NetcfgSubnetRangesOverlap" => "choose a prefix apart from the network's other subnets",
        "NetcfgInvalidSubnet" => "choose a prefix inside the network's address space",
        "PrivateIPAddressInUse" => "choose another private address, or leave the choice to azure",
        "AuthorizationFailed" | "LinkedAuthorizationFailed" => {
            "grant the identity the role that the message names; a new role takes some minutes to work"
        }
        "InvalidAuthenticationToken" | "ExpiredAuthenticationToken" | "AuthenticationFailed" => {
            "log in again, or give a fresh token"
        }
        "ResourceGroupNotFound" => "check the resource group's name and the subscription",
        "SubscriptionNotFound" => "check the subscription and that the identity may see it",
        _ => return None,
    })
}

/// Error of a response without success, with ARM's code, message, target, details and correlation
/// id.
pub(crate) fn response_error(effect: CallEffect, status: StatusCode, headers: &HeaderMap, body: &Value) -> ActionError {
    let error = ArmErrorBody::read(body.get("error").unwrap_or(body));
    let code = if error.code.is_empty() { status.as_u16().to_string() } else { error.code.clone() };
    let text = if error.message.is_empty() { format!("azure answered {status}") } else { error.text() };
    let message = match correlation_id(headers) {
        Some(id) => format!("{text}; correlation id {id}"),
        None => text,
    };
    let retry_after = retry_after(headers);
    let kind = effect.failure_kind(status, retry_after, kind_by_code(status, retry_after, &error));
    error.into_error(kind, code, message)
}

/// Kind that ARM's error code decides; `None` leaves it to the status.
fn kind_by_code(status: StatusCode, retry_after: Option<Duration>, error: &ArmErrorBody) -> Option<FailureKind> {
    let throttled = FailureKind::Throttled { retry_after };
    match retry_after {
        _ if error.is_throttled() => Some(throttled),
        Some(_) if error.is_retryable() || status == StatusCode::CONFLICT => Some(throttled),
        None if error.is_retryable() => Some(FailureKind::Transient),
        _ => None,
    }
}

/// Reads the `Retry-After` header.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    stargate_client::retry_after(headers, Timestamp::now())
}

/// Id by which Azure's support finds the request.
fn correlation_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-ms-correlation-request-id")?.to_str().ok()
}

/// Error of an operation that finished as `status`, which is `Failed` or `Canceled`.
///
/// It is never `Unknown`: ARM has reported the end.
pub(crate) fn operation_error(status: &str, error: &Value) -> ActionError {
    let error = ArmErrorBody::read(error);
    let code = if error.code.is_empty() { status.to_owned() } else { error.code.clone() };
    let is_transient = error.is_retryable()
        || error.is_throttled()
        || ["InternalServerError", "OperationPreempted"].contains(&code.as_str());
    let kind = if is_transient { FailureKind::Transient } else { FailureKind::Permanent };
    let text = if error.message.is_empty() { format!("the operation ended as {status}") } else { error.text() };
    error.into_error(kind, code, text)
}

/// Checks what must hold for any answer of Azure Resource Manager: it is an error in one line, and
/// a resource has a name without separators.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_any_answer(input: &[u8]) {
    use crate::client::{ArmObject, ResourceId};
    let Ok(body) = serde_json::from_slice::<Value>(input) else { return };
    let status = StatusCode::CONFLICT;
    for effect in [CallEffect::ReadOnly, CallEffect::MayHaveChanged] {
        let error = response_error(effect, status, &HeaderMap::new(), &body);
        let code = error.code.as_deref().unwrap_or_default();
        assert!(!error.message.is_empty() && !format!("{code} {}", error.message).contains('\n'), "{error}");
    }
    assert!(!operation_error("Failed", &body["error"]).message.is_empty());
    let text = body["id"].as_str().unwrap_or_default().to_owned();
    let Ok(id) = text.parse::<ResourceId>() else { return };
    let object = ArmObject::new(id, &HeaderMap::new(), body);
    let _ = (object.state(), object.pending_state(), object.has_failed(), object.failed_state());
    assert!(!object.name().is_empty() && !object.name().contains('/'), "{text}");
    assert!(object.items("/properties/routes").len() < input.len());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(effect: CallEffect, status: u16, retry: Option<&str>, code: &str, expected: FailureKind) {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry {
            headers.insert("retry-after", seconds.parse().expect("header"));
        }
        let body = json!({"error": {"code": code, "message": "It did not work."}});
        let error = response_error(effect, StatusCode::from_u16(status).expect("status"), &headers, &body);
        assert_eq!(error.kind, expected, "{status} {code}");
        assert_eq!(error.code.as_deref(), Some(code));
    }

    #[test]
    fn each_response_has_its_kind() {
        use CallEffect::{MayHaveChanged as Write, ReadOnly as Read};
        use FailureKind::{Permanent, Transient, Unknown};
        let seven = FailureKind::Throttled { retry_after: Some(Duration::from_secs(7)) };
        let throttled = FailureKind::Throttled { retry_after: None };
        check(Write, 429, Some("7"), "RetryableError", seven);
        check(Read, 429, None, "OperationNotAllowed", throttled);
        check(Write, 409, None, "AnotherOperationInProgress", Transient);
        check(Write, 409, Some("7"), "AnotherOperationInProgress", seven);
        check(Write, 409, None, "OperationNotAllowed", Permanent);
        check(Write, 400, None, "RouteConflict", Permanent);
        check(Write, 403, None, "AuthorizationFailed", Permanent);
        check(Write, 412, None, "PreconditionFailed", Transient);
        check(Read, 503, None, "ServiceUnavailable", Transient);
        check(Write, 503, None, "ServiceUnavailable", Unknown);
        check(Write, 408, None, "RequestTimeout", Unknown);
        check(Read, 408, None, "RequestTimeout", Transient);
    }

    #[test]
    fn a_retryable_code_in_the_details_counts() {
        let body = json!({"error": {"code": "Conflict", "message": "no", "details": [
            {"code": "ReferencedResourceNotProvisioned", "message": "Cannot proceed with operation."}]}});
        let error = response_error(CallEffect::MayHaveChanged, StatusCode::CONFLICT, &HeaderMap::new(), &body);
        assert_eq!(error.kind, FailureKind::Transient);
        assert!(
            error.message.contains("ReferencedResourceNotProvisioned: Cannot proceed with operation"),
            "{}",
            error.message
        );
    }

    #[test]
    fn throttling_by_compute_is_distinguished_from_a_quota_by_the_details() {
        let body = json!({"error": {"code": "OperationNotAllowed", "message": "Too many requests have been received.",
            "details": [{"code": "TooManyRequests", "target": "HighCostGet30Min", "message": "{}"}]}});
        let error = response_error(CallEffect::MayHaveChanged, StatusCode::CONFLICT, &HeaderMap::new(), &body);
        assert_eq!(error.kind, FailureKind::Throttled { retry_after: None });
        let body = json!({"error": {"code": "OperationNotAllowed", "message": "Operation would exceed the approved Total Regional Cores quota."}});
        let error = response_error(CallEffect::MayHaveChanged, StatusCode::CONFLICT, &HeaderMap::new(), &body);
        assert_eq!((error.kind, error.hint.is_some()), (FailureKind::Permanent, true));
    }

    #[test]
    fn message_target_and_correlation_id_are_kept() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-correlation-request-id", "c-1".parse().expect("header"));
        let body = json!({"error": {"code": "InvalidParameter", "message": "Bad value.", "target": "vmSize"}});
        let error = response_error(CallEffect::MayHaveChanged, StatusCode::BAD_REQUEST, &headers, &body);
        assert_eq!(error.message, "Bad value (target vmSize); correlation id c-1");
    }

    #[test]
    fn every_text_of_an_error_is_on_one_line() {
        let body = json!({"error": {"code": "In\nvalid", "message": "Bad\nvalue.", "target": "vm\r\nSize",
            "details": [{"code": "De\ntail", "message": "too\nlarge"}]}});
        let error = response_error(CallEffect::ReadOnly, StatusCode::BAD_REQUEST, &HeaderMap::new(), &body);
        assert_eq!(error.message, "Bad value (target vm Size); De tail: too large");
        assert_eq!(error.code.as_deref(), Some("In valid"));
    }

    #[test]
    fn without_an_error_object_the_status_is_named() {
        let error = response_error(CallEffect::ReadOnly, StatusCode::BAD_GATEWAY, &HeaderMap::new(), &Value::Null);
        assert_eq!(error.message, "azure answered 502 Bad Gateway");
        assert_eq!(error.kind, FailureKind::Transient);
    }

    #[test]
    fn a_failed_operation_is_permanent_unless_its_code_is_transient() {
        let failed =
            operation_error("Failed", &json!({"code": "SkuNotAvailable", "message": "The size is not there."}));
        assert_eq!((failed.kind, failed.hint.is_some()), (FailureKind::Permanent, true));
        let transient = operation_error("Failed", &json!({"code": "RetryableError", "message": "later"}));
        assert_eq!(transient.kind, FailureKind::Transient);
        let canceled = operation_error("Canceled", &Value::Null);
        assert_eq!(canceled.to_string(), "the operation ended as Canceled (Canceled)");
    }
}
