use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kube::access;
use crate::kube::authority::{Request, read_request};
use crate::kube::identity::User;
use crate::kube::json::{at, holds, list_at, moment, name_of, set, str_at, strings_at};
use crate::kube::rbac::Wish;
use crate::kube::resource::{CERTIFICATES, core};
use crate::kube::state::Kube;

const CONTROLLER: &str = "kube-controller-manager";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING: &str = "kubernetes.io/kubelet-serving";

/// Approves kubelets' client certificates where a role says so, and signs what is approved. Serving certificates are approved
/// by nobody here: that is for whoever knows the node.
pub(super) fn act(kube: &mut Kube, now: Timestamp) {
    let open = |request: &&Value| {
        str_at(request, &["status", "certificate"]).is_empty() && !holds(request, "Denied") && !holds(request, "Failed")
    };
    let requests: Vec<Value> =
        kube.all("certificatesigningrequests.certificates.k8s.io").filter(open).cloned().collect();
    for request in requests {
        if holds(&request, "Approved") {
            sign(kube, &request, now);
        } else if str_at(&request, &["spec", "signerName"]) == CLIENT {
            approve(kube, &request, now);
        }
    }
}

fn condition(kind: &str, reason: &str, message: &str, now: Timestamp) -> Value {
    json!({
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastUpdateTime": moment(now),
        "lastTransitionTime": moment(now),
    })
}

fn add_condition(kube: &mut Kube, request: &Value, condition: Value, now: Timestamp) {
    kube.edit(&core("certificatesigningrequests"), name_of(request), (CONTROLLER, now), |request| {
        let mut conditions = list_at(request, &["status", "conditions"]).to_vec();
        conditions.push(condition);
        set(request, &["status", "conditions"], Value::Array(conditions));
    });
}

/// What `csrapproving` does: a kubelet's own request, by somebody who may have such certificates.
fn approve(kube: &mut Kube, request: &Value, now: Timestamp) {
    let Some(read) = read_request(str_at(request, &["spec", "request"])) else { return };
    if problem(CLIENT, &read, &strings_at(request, &["spec", "usages"])).is_some() {
        return;
    }
    let name = str_at(request, &["spec", "username"]).to_owned();
    let is_own = name == read.common_name;
    let user = User { name, groups: strings_at(request, &["spec", "groups"]), uid: String::new() };
    let below =
        if is_own { "certificatesigningrequests/selfnodeclient" } else { "certificatesigningrequests/nodeclient" };
    if !access::may(kube, &user, Wish { verb: "create", group: CERTIFICATES, resource: below, namespace: "", name: "" })
    {
        return;
    }
    let message = if is_own {
        "Auto approving self kubelet client certificate after SubjectAccessReview."
    } else {
        "Auto approving kubelet client certificate after SubjectAccessReview."
    };
    add_condition(kube, request, condition("Approved", "AutoApproved", message, now), now);
}

fn sign(kube: &mut Kube, request: &Value, now: Timestamp) {
    let signer = str_at(request, &["spec", "signerName"]);
    if !matches!(signer, CLIENT | SERVING | "kubernetes.io/kube-apiserver-client") {
        return;
    }
    let usages = strings_at(request, &["spec", "usages"]);
    let Some(read) = read_request(str_at(request, &["spec", "request"])) else { return };
    if let Some(problem) = problem(signer, &read, &usages) {
        add_condition(kube, request, condition("Failed", "SignerValidationFailure", problem, now), now);
        return;
    }
    let seconds = at(request, &["spec", "expirationSeconds"]).and_then(Value::as_i64);
    let Some(authority) = &kube.authority else { return };
    let Some(certificate) = authority.sign(read, &usages, seconds, now) else { return };
    let certificate = json!(STANDARD.encode(certificate));
    kube.edit(&core("certificatesigningrequests"), name_of(request), (CONTROLLER, now), |request| {
        set(request, &["status", "certificate"], certificate);
    });
}

/// Why a signer refuses a request.
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
