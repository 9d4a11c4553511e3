use serde_json::Value;

use crate::arm::error::ArmError;
use crate::arm::operation::running_on;
use crate::arm::request::ArmCall;
use crate::arm::retry_after::retry_after;
use crate::arm::store::{Arm, ArmResourceType, Family, StoredResource, name_of, root_id};

/// Checks `If-Match`, `If-None-Match` and the etag in the body.
///
/// # Errors
/// 412 in the words of the resource's provider.
pub(crate) fn check_conditions(call: &ArmCall, existing: Option<&StoredResource>, id: &str) -> Result<(), ArmError> {
    if call.if_none_match.as_deref() == Some("*") && existing.is_some() {
        let message = format!("The resource {id} already exists.");
        return Err(ArmError::new(412, "PreconditionFailed", message));
    }
    let in_body = call.body.as_ref().and_then(|body| body.get("etag")).and_then(Value::as_str);
    let Some(wanted) = call.if_match.as_deref().or(in_body).filter(|wanted| !wanted.is_empty()) else { return Ok(()) };
    let Some(existing) = existing else {
        // Only the header says that something must exist; an etag in the body of a first PUT is
        // ignored.
        return if call.if_match.is_some() { Err(mismatch(wanted, None, id)) } else { Ok(()) };
    };
    let Some(actual) = existing.shown_etag() else { return Ok(()) };
    if wanted == "*" || bare(wanted) == bare(&actual) {
        Ok(())
    } else {
        Err(mismatch(wanted, Some((existing, &actual)), id))
    }
}

/// Returns an etag without weakness mark and quotes.
fn bare(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

/// Returns the 412 for an etag that differs.
fn mismatch(wanted: &str, existing: Option<(&StoredResource, &str)>, id: &str) -> ArmError {
    let wanted = bare(wanted);
    match existing {
        Some((existing, actual)) if existing.kind.family() == Family::Compute => {
            let message =
                format!("Etag provided in if-match header \"{wanted}\" does not match etag {actual} of resource.");
            ArmError::new(412, "PreconditionFailed", message)
        }
        Some((_, actual)) => {
            let message = format!(
                "Etag provided in if-match header W/\"{wanted}\" does not match etag {actual} of resource {id} in NRP data store."
            );
            ArmError::new(412, "PreconditionFailed", "Precondition failed.")
                .with_detail("PreconditionFailedEtagMismatch", message)
        }
        None => ArmError::new(412, "PreconditionFailed", format!("The resource {id} does not exist.")),
    }
}

/// Refuses a write while another one is in progress on the same top-level resource.
///
/// # Errors
/// 429 of network resources, 409 of the others.
pub(crate) fn check_idle(arm: &Arm, call: &ArmCall, kind: ArmResourceType, id: &str) -> Result<(), ArmError> {
    let root = root_id(id).to_ascii_lowercase();
    let Some(running) = running_on(arm, &root) else { return Ok(()) };
    let uri = format!(
        "{}/subscriptions/{}/providers/{}/locations/{}/operations/{}?api-version={}",
        call.base, arm.subscription, running.namespace, running.location, running.id, running.api_version
    );
    Err(match kind.family() {
        Family::Network => ArmError {
            details: Some(Vec::new()),
            ..ArmError::new(
                429,
                "AnotherOperationInProgress",
                format!("Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: {uri}."),
            )
        }
        .with_header("Retry-After", retry_after(10.0, arm.speed)),
        Family::Compute | Family::Disk => {
            ArmError::new(409, "Conflict", "The request failed due to conflict with a concurrent request. To resolve it, please refer to https://aka.ms/activitylog to get more details on the conflicting requests.")
        }
        Family::Aks => {
            let message = format!(
                "Operation is not allowed because there's an in progress operation {} on the managed cluster {}.",
                running.id,
                name_of(root_id(id))
            );
            ArmError::new(409, "OperationNotAllowed", message)
        }
    })
}
