use std::time::Duration;

use reqwest::{StatusCode, header::HeaderMap};
use serde::Deserialize;
use serde_json::Value;
use stargate_sdk::{ActionError, FailureKind};

/// Codes with which a resource provider says: not now, and nothing happened.
const NOT_NOW: [&str; 6] = [
    "AnotherOperationInProgress",
    "ReferencedResourceNotProvisioned",
    "RetryableError",
    "RetryableErrorDueToAnotherOperation",
    "ResourceGroupBeingDeleted",
    "ParentResourceNotProvisioned",
];
/// Codes with which ARM and the providers say: too often, whatever the HTTP status.
const TOO_OFTEN: [&str; 2] = ["SubscriptionRequestsThrottled", "TooManyRequests"];

/// ARM's error object, whole or inside `{"error": …}`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct ArmError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) target: Option<String>,
    pub(crate) details: Option<Vec<ArmError>>,
}

impl ArmError {
    /// Reads the error out of a response's body; what is no ARM error gives an empty one.
    pub(crate) fn of_body(body: &Value) -> Self {
        Self::of_value(body.get("error").unwrap_or(body))
    }

    /// Reads an error object.
    pub(crate) fn of_value(value: &Value) -> Self {
        serde_json::from_value(value.clone()).unwrap_or_default()
    }

    /// Whether the code, or one in the details, says that a later try may pass.
    fn says_not_now(&self) -> bool {
        self.has_code(&NOT_NOW)
    }

    /// Whether the code, or one in the details, asks for patience.
    fn says_too_often(&self) -> bool {
        self.has_code(&TOO_OFTEN)
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| self.code.eq_ignore_ascii_case(code))
            || self.details.iter().flatten().any(|detail| detail.has_code(codes))
    }

    /// The message with target and details, on one line.
    pub(crate) fn text(&self) -> String {
        let mut text = sentence(&self.message);
        if let Some(target) =
            self.target.as_ref().filter(|target| !target.is_empty() && !text.contains(target.as_str()))
        {
            text = format!("{text} (target {target})");
        }
        for detail in self.details.iter().flatten().filter(|d| !d.message.is_empty() && d.message != self.message) {
            text = format!("{text}; {}: {}", detail.code, detail.text());
        }
        text
    }

    fn hint(&self) -> Option<&'static str> {
        let details = self.details.iter().flatten().find_map(Self::hint);
        hint(&self.code, &self.message).or(details)
    }
}

fn sentence(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    line.trim_end_matches('.').to_owned()
}

fn hint(code: &str, message: &str) -> Option<&'static str> {
    let quota = message.to_ascii_lowercase().contains("quota");
    Some(match code {
        "RouteConflict" => "another route of the table has this prefix: remove one of the two",
        "OperationNotAllowed" | "QuotaExceeded" if quota => "ask for a higher quota, or choose another size or region",
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

/// Whether a call may have changed something if no answer proves otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only reads.
    None,
    /// It may have.
    Possible,
}

/// Turns an answer that is no success into an error of the kind that fits.
pub(crate) fn of_answer(effect: Effect, status: StatusCode, headers: &HeaderMap, body: &Value) -> ActionError {
    let error = ArmError::of_body(body);
    let code = if error.code.is_empty() { status.as_u16().to_string() } else { error.code.clone() };
    let text = if error.message.is_empty() { format!("azure answered {status}") } else { error.text() };
    let message = match correlation(headers) {
        Some(id) => format!("{text}; correlation id {id}"),
        None => text,
    };
    let failure = ActionError::new(kind(effect, status, headers, &error), message).with_code(code);
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

fn kind(effect: Effect, status: StatusCode, headers: &HeaderMap, error: &ArmError) -> FailureKind {
    let retry_after = retry_after(headers);
    match status {
        StatusCode::TOO_MANY_REQUESTS => FailureKind::Throttled { retry_after },
        _ if error.says_too_often() => FailureKind::Throttled { retry_after },
        _ if error.says_not_now() => match retry_after {
            Some(_) => FailureKind::Throttled { retry_after },
            None => FailureKind::Transient,
        },
        // Somebody else was faster: nothing was written, and the next attempt reads again.
        StatusCode::PRECONDITION_FAILED => FailureKind::Transient,
        StatusCode::REQUEST_TIMEOUT => unanswered(effect),
        _ if status.is_server_error() => unanswered(effect),
        StatusCode::CONFLICT if retry_after.is_some() => FailureKind::Throttled { retry_after },
        _ => FailureKind::Permanent,
    }
}

/// The kind of a call whose answer tells nothing about what happened.
pub(crate) fn unanswered(effect: Effect) -> FailureKind {
    match effect {
        Effect::None => FailureKind::Transient,
        Effect::Possible => FailureKind::Unknown,
    }
}

/// `Retry-After` in seconds; ARM uses no dates.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn correlation(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-ms-correlation-request-id")?.to_str().ok()
}

/// Turns what a failed operation's status says into an error. Nothing is unknown here: ARM has told the end.
pub(crate) fn of_operation(status: &str, error: &Value) -> ActionError {
    let error = ArmError::of_value(error);
    let code = if error.code.is_empty() { status.to_owned() } else { error.code.clone() };
    let passing = error.says_not_now()
        || error.says_too_often()
        || ["InternalServerError", "OperationPreempted"].contains(&code.as_str());
    let kind = if passing { FailureKind::Transient } else { FailureKind::Permanent };
    let text = if error.message.is_empty() { format!("the operation ended as {status}") } else { error.text() };
    let failure = ActionError::new(kind, text).with_code(code);
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(effect: Effect, status: u16, retry: Option<&str>, code: &str, expected: FailureKind) {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry {
            headers.insert("retry-after", seconds.parse().expect("header"));
        }
        let body = json!({"error": {"code": code, "message": "It did not work."}});
        let error = of_answer(effect, StatusCode::from_u16(status).expect("status"), &headers, &body);
        assert_eq!(error.kind, expected, "{status} {code}");
        assert_eq!(error.code.as_deref(), Some(code));
    }

    #[test]
    fn every_answer_gets_the_kind_that_fits() {
        use Effect::{None as Read, Possible as Write};
        use FailureKind::{Permanent, Transient, Unknown};
        let seven = FailureKind::Throttled { retry_after: Some(Duration::from_secs(7)) };
        let unsaid = FailureKind::Throttled { retry_after: None };
        check(Write, 429, Some("7"), "RetryableError", seven);
        check(Read, 429, None, "OperationNotAllowed", unsaid);
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
        let error = of_answer(Effect::Possible, StatusCode::CONFLICT, &HeaderMap::new(), &body);
        assert_eq!(error.kind, FailureKind::Transient);
        assert!(
            error.message.contains("ReferencedResourceNotProvisioned: Cannot proceed with operation"),
            "{}",
            error.message
        );
    }

    #[test]
    fn computes_throttling_is_told_from_its_quota_by_the_details() {
        let body = json!({"error": {"code": "OperationNotAllowed", "message": "Too many requests have been received.",
            "details": [{"code": "TooManyRequests", "target": "HighCostGet30Min", "message": "{}"}]}});
        let error = of_answer(Effect::Possible, StatusCode::CONFLICT, &HeaderMap::new(), &body);
        assert_eq!(error.kind, FailureKind::Throttled { retry_after: None });
        let body = json!({"error": {"code": "OperationNotAllowed", "message": "Operation would exceed the approved Total Regional Cores quota."}});
        let error = of_answer(Effect::Possible, StatusCode::CONFLICT, &HeaderMap::new(), &body);
        assert_eq!((error.kind, error.hint.is_some()), (FailureKind::Permanent, true));
    }

    #[test]
    fn message_target_and_correlation_id_are_kept() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-correlation-request-id", "c-1".parse().expect("header"));
        let body = json!({"error": {"code": "InvalidParameter", "message": "Bad value.", "target": "vmSize"}});
        let error = of_answer(Effect::Possible, StatusCode::BAD_REQUEST, &headers, &body);
        assert_eq!(error.message, "Bad value (target vmSize); correlation id c-1");
    }

    #[test]
    fn a_body_that_is_no_json_object_still_names_the_status() {
        let error = of_answer(Effect::None, StatusCode::BAD_GATEWAY, &HeaderMap::new(), &Value::Null);
        assert_eq!(error.message, "azure answered 502 Bad Gateway");
        assert_eq!(error.kind, FailureKind::Transient);
    }

    #[test]
    fn a_failed_operation_is_permanent_unless_its_code_says_otherwise() {
        let failed = of_operation("Failed", &json!({"code": "SkuNotAvailable", "message": "The size is not there."}));
        assert_eq!((failed.kind, failed.hint.is_some()), (FailureKind::Permanent, true));
        let passing = of_operation("Failed", &json!({"code": "RetryableError", "message": "later"}));
        assert_eq!(passing.kind, FailureKind::Transient);
        let canceled = of_operation("Canceled", &Value::Null);
        assert_eq!(canceled.to_string(), "the operation ended as Canceled (Canceled)");
    }
}
