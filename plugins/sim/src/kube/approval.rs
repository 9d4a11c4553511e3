use serde_json::Value;

use super::access;
use super::call::{Call, Reply, Target};
use super::effect::Decision;
use super::json::{at, set, str_at};
use super::rbac::Wish;
use super::resource::{CERTIFICATES, Resource};
use super::state::Kube;
use super::status::Refusal;
use super::{field_validation, managed, patch_call, update};

/// Writes the conditions of a certificate signing request through its `approval` subresource.
///
/// Only `status.conditions` is taken from the body. The user needs the verb `approve` on the signer
/// as well.
pub(crate) fn write(
    kube: &Kube,
    call: &Call,
    resource: &Resource,
    target: &Target,
) -> Result<Decision<Reply>, Refusal> {
    let name = target.name.as_deref().unwrap_or_default();
    let held = kube.object(resource, name).cloned().ok_or_else(|| Refusal::not_found(resource, name))?;
    let (new, warnings) = written(call, resource, &held)?;
    let given = str_at(&new, &["metadata", "resourceVersion"]);
    if !given.is_empty() && given != str_at(&held, &["metadata", "resourceVersion"]) {
        return Err(Refusal::modified(resource, name));
    }
    check_signer(kube, call, resource, &held, name)?;
    let mut approved = held.clone();
    let conditions = at(&new, &["status", "conditions"]).cloned().unwrap_or_else(|| Value::Array(Vec::new()));
    set(&mut approved, &["status", "conditions"], conditions);
    super::defaults::complete(resource, &mut approved, call.now);
    managed::updated(resource, &held, &mut approved, call.manager("approval"));
    let decision = update::finish(kube, call, resource, &held, approved)?;
    Ok(decision.map(|object| Reply::ok(object).with_warnings(warnings)))
}

/// Returns the object of the body, or the current object after the patch of the body, with the
/// warnings.
fn written(call: &Call, resource: &Resource, held: &Value) -> Result<(Value, Vec<String>), Refusal> {
    if call.method == "PATCH" {
        return patch_call::checked(call, resource, held);
    }
    let mut body = call.json()?;
    let warnings = field_validation::check_body(call, resource, &mut body)?;
    Ok((body, warnings))
}

/// Requires the verb `approve` on the signer, or on all signers of its domain (`domain/*`).
fn check_signer(kube: &Kube, call: &Call, resource: &Resource, held: &Value, name: &str) -> Result<(), Refusal> {
    let signer = str_at(held, &["spec", "signerName"]);
    let domain = signer.split('/').next().unwrap_or_default();
    let all = format!("{domain}/*");
    let may = |name: &str| {
        access::may(
            kube,
            &call.user,
            Wish { verb: "approve", group: CERTIFICATES, resource: "signers", namespace: "", name },
        )
    };
    if may(signer) || may(&all) {
        return Ok(());
    }
    let why = format!("user not permitted to approve requests with signerName \"{signer}\"");
    Err(Refusal::forbidden(resource, Some(name), &why))
}
