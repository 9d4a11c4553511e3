use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kube::access;
use crate::kube::authority::{self, Request, read_request};
use crate::kube::effect::{Effect, FieldEdit};
use crate::kube::json::{at, holds, list_at, name_of, rfc3339, str_at, strings_at};
use crate::kube::rbac::AccessRequest;
use crate::kube::resource::{CERTIFICATES, core};
use crate::kube::state::{Kube, User};

/// Name of the controller in managed fields.
const CONTROLLER: &str = "kube-controller-manager";
/// Signer of client certificates of kubelets.
const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signer of serving certificates of kubelets.
const SERVING: &str = "kubernetes.io/kubelet-serving";

/// Returns the requests that have no certificate and are neither denied nor failed.
pub(super) fn due(kube: &Kube, _: Timestamp) -> Vec<Value> {
    let is_open = |request: &&Value| {
        str_at(request, &["status", "certificate"]).is_empty() && !holds(request, "Denied") && !holds(request, "Failed")
    };
    kube.all("certificatesigningrequests.certificates.k8s.io").filter(is_open).cloned().collect()
}

/// Approves the client certificate of a kubelet if a role permits it, and signs an approved
/// request.
///
/// No controller approves serving certificates: an operator or the workflow must do so, because it
/// knows the machine.
pub(super) fn reconcile(kube: &Kube, request: &Value, now: Timestamp) -> Vec<Effect> {
    if holds(request, "Approved") {
        sign(kube, request, now).into_iter().collect()
    } else if str_at(request, &["spec", "signerName"]) == CLIENT {
        approve(kube, request, now).into_iter().collect()
    } else {
        Vec::new()
    }
}

/// Returns a condition with status `True` whose times are `now`.
fn condition(kind: &str, reason: &str, message: &str, now: Timestamp) -> Value {
    json!({
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastUpdateTime": rfc3339(now),
        "lastTransitionTime": rfc3339(now),
    })
}

/// Returns the effect that changes one field of a request.
fn edit(request: &Value, field: FieldEdit) -> Effect {
    Effect::Edit {
        resource: core("certificatesigningrequests"),
        key: name_of(request).to_owned(),
        manager: CONTROLLER.to_owned(),
        fields: vec![field],
    }
}

/// Returns the effect that appends a condition to a request.
fn add_condition(request: &Value, condition: Value) -> Effect {
    let mut conditions = list_at(request, &["status", "conditions"]).to_vec();
    conditions.push(condition);
    edit(request, FieldEdit::set(&["status", "conditions"], Value::Array(conditions)))
}

/// Approves the request of a kubelet, as the controller `csrapproving` does, if its user may create
/// such certificates.
fn approve(kube: &Kube, request: &Value, now: Timestamp) -> Option<Effect> {
    let read = read_request(str_at(request, &["spec", "request"]))?;
    if problem(CLIENT, &read, &strings_at(request, &["spec", "usages"])).is_some() {
        return None;
    }
    let name = str_at(request, &["spec", "username"]).to_owned();
    let is_own = name == read.common_name;
    let user = User { name, groups: strings_at(request, &["spec", "groups"]), uid: String::new() };
    let below =
        if is_own { "certificatesigningrequests/selfnodeclient" } else { "certificatesigningrequests/nodeclient" };
    if !access::may(
        kube,
        &user,
        AccessRequest { verb: "create", group: CERTIFICATES, resource: below, namespace: "", name: "" },
    ) {
        return None;
    }
    let message = if is_own {
        "Auto approving self kubelet client certificate after SubjectAccessReview."
    } else {
        "Auto approving kubelet client certificate after SubjectAccessReview."
    };
    Some(add_condition(request, condition("Approved", "AutoApproved", message, now)))
}

/// Signs an approved request, or marks it as failed if the signer refuses its content.
///
/// Returns `None` for a signer that the controller manager does not implement.
fn sign(kube: &Kube, request: &Value, now: Timestamp) -> Option<Effect> {
    let signer = str_at(request, &["spec", "signerName"]);
    if !matches!(signer, CLIENT | SERVING | "kubernetes.io/kube-apiserver-client") {
        return None;
    }
    let usages = strings_at(request, &["spec", "usages"]);
    let read = read_request(str_at(request, &["spec", "request"]))?;
    if let Some(problem) = problem(signer, &read, &usages) {
        return Some(add_condition(request, condition("Failed", "SignerValidationFailure", problem, now)));
    }
    let seconds = at(request, &["spec", "expirationSeconds"]).and_then(Value::as_i64);
    let certificate = authority::sign(kube.authority.as_ref()?, read, &usages, seconds, now)?;
    Some(edit(request, FieldEdit::set(&["status", "certificate"], json!(STANDARD.encode(certificate)))))
}

/// Returns the reason for which a signer refuses a request, in the words of the real signer.
fn problem(signer: &str, request: &Request, usages: &[String]) -> Option<&'static str> {
    if signer == "kubernetes.io/kube-apiserver-client" {
        return request
            .organizations
            .iter()
            .any(|organization| organization == "system:masters")
            .then_some("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed");
    }
    if request.organizations != ["system:nodes"] {
        return Some("subject organization is not system:nodes");
    }
    if !request.common_name.starts_with("system:node:") {
        return Some("subject common name does not begin with system:node: ");
    }
    if request.has_other_names {
        return Some("email and URI subjectAltNames are not allowed");
    }
    let nameless = request.dns_names.is_empty() && request.addresses.is_empty();
    match signer {
        CLIENT if !nameless => return Some("DNS and IP subjectAltNames are not allowed"),
        SERVING if nameless => return Some("DNS or IP subjectAltName is required"),
        _ => {}
    }
    let (needed, other) =
        if signer == CLIENT { ("client auth", "server auth") } else { ("server auth", "client auth") };
    let has = |usage: &str| usages.iter().any(|each| each == usage);
    let known = |usage: &String| {
        matches!(usage.as_str(), "digital signature" | "key encipherment" | "client auth" | "server auth")
    };
    if !has(needed) || has(other) || !has("digital signature") || !usages.iter().all(known) {
        return Some(
            "usages did not match [key encipherment digital signature client auth] or [digital signature client auth]",
        );
    }
    None
}
