use serde_json::Value;

use super::access;
use super::effect::Decision;
use super::json::{at, set, str_at};
use super::rbac::AccessRequest;
use super::request::{ApiRequest, ApiResponse, Target};
use super::resource::{CERTIFICATES, Resource};
use super::state::Kube;
use super::status::Refusal;
use super::{field_validation, managed, patch_request, update};

/// Writes the conditions of a certificate signing request through its `approval` subresource.
///
/// Only `status.conditions` is taken from the body. The user needs the verb `approve` on the signer
/// as well.
pub(crate) fn write(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
) -> Result<Decision<ApiResponse>, Refusal> {
    let name = target.name.as_deref().unwrap_or_default();
    let held = kube.object(resource, name).cloned().ok_or_else(|| Refusal::not_found(resource, name))?;
    let (new, warnings) = written(request, resource, &held)?;
    let given = str_at(&new, &["metadata", "resourceVersion"]);
    if !given.is_empty() && given != str_at(&held, &["metadata", "resourceVersion"]) {
        return Err(Refusal::modified(resource, name));
    }
    check_signer(kube, request, resource, &held, name)?;
    let mut approved = held.clone();
    let conditions = at(&new, &["status", "conditions"]).cloned().unwrap_or_else(|| Value::Array(Vec::new()));
    set(&mut approved, &["status", "conditions"], conditions);
    super::defaults::complete(resource, &mut approved, request.now);
    managed::updated(resource, &held, &mut approved, request.manager("approval"));
    let decision = update::finish(kube, request, resource, &held, approved)?;
    Ok(decision.map(|object| ApiResponse::ok(object).with_warnings(warnings)))
}

/// Returns the object of the body, or the current object after the patch of the body, with the
/// warnings.
fn written(request: &ApiRequest, resource: &Resource, held: &Value) -> Result<(Value, Vec<String>), Refusal> {
    if request.method == "PATCH" {
        return patch_request::checked(request, resource, held);
    }
    let mut body = request.json()?;
    let warnings = field_validation::check_body(request, resource, &mut body)?;
    Ok((body, warnings))
}

/// Requires the verb `approve` on the signer, or on all signers of its domain (`domain/*`).
fn check_signer(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    held: &Value,
    name: &str,
) -> Result<(), Refusal> {
    let signer = str_at(held, &["spec", "signerName"]);
    let domain = signer.split('/').next().unwrap_or_default();
    let all = format!("{domain}/*");
    let may = |name: &str| {
        access::may(
            kube,
            &request.user,
            AccessRequest { verb: "approve", group: CERTIFICATES, resource: "signers", namespace: "", name },
        )
    };
    if may(signer) || may(&all) {
        return Ok(());
    }
    let why = format!("user not permitted to approve requests with signerName \"{signer}\"");
    Err(Refusal::forbidden(resource, Some(name), &why))
}
