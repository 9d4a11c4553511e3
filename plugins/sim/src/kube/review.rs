use serde_json::{Value, json};

use super::access;
use super::identity::{by_token, shown};
use super::json::{set, str_at, strings_at};
use super::rbac::{self, AccessRequest};
use super::request::{ApiRequest, ApiResponse, Target};
use super::state::{Kube, User};
use super::status::Refusal;

/// Answers a review, an object that is created as a question and not stored. Returns `None` if the
/// target is not a review.
///
/// Each authenticated user may create the reviews about itself, as the default roles of a cluster
/// permit.
pub(crate) fn answer(kube: &Kube, request: &ApiRequest, target: &Target) -> Option<Result<ApiResponse, Refusal>> {
    let review: fn(&Kube, &ApiRequest, &mut Value) = match (target.group.as_str(), target.plural.as_str()) {
        ("authentication.k8s.io", "selfsubjectreviews") => review_self,
        ("authentication.k8s.io", "tokenreviews") => review_token,
        ("authorization.k8s.io", "selfsubjectaccessreviews") => review_own_access,
        ("authorization.k8s.io", "subjectaccessreviews") => review_access,
        ("authorization.k8s.io", "selfsubjectrulesreviews") => review_own_rules,
        _ => return None,
    };
    let allowed = request.user.is_in("system:authenticated")
        && (target.plural.starts_with("self")
            || access::may(
                kube,
                &request.user,
                AccessRequest {
                    verb: "create",
                    group: &target.group,
                    resource: &target.plural,
                    namespace: "",
                    name: "",
                },
            ));
    if request.method != "POST" {
        return Some(Err(Refusal::method_not_allowed()));
    }
    if !allowed {
        let message = format!(
            "{}.{} is forbidden: User \"{}\" cannot create resource \"{}\" in API group \"{}\" at the cluster scope",
            target.plural, target.group, request.user.name, target.plural, target.group
        );
        let details = json!({ "group": target.group, "kind": target.plural });
        return Some(Err(Refusal::new(403, "Forbidden", &message, Some(details))));
    }
    Some(request.json().map(|mut object| {
        review(kube, request, &mut object);
        super::json::default(&mut object, &["metadata"], json!({}));
        ApiResponse::created(object)
    }))
}

/// Answers a `SelfSubjectReview` with the requesting user.
fn review_self(_kube: &Kube, request: &ApiRequest, review: &mut Value) {
    set(review, &["status", "userInfo"], shown(&request.user));
}

/// Answers a `TokenReview` with the user of a bearer token.
fn review_token(kube: &Kube, request: &ApiRequest, review: &mut Value) {
    let status = match by_token(kube, str_at(review, &["spec", "token"]), request.now) {
        Some(user) => json!({ "authenticated": true, "user": shown(&user) }),
        None => json!({ "error": "invalid bearer token" }),
    };
    set(review, &["status"], status);
}

/// Answers a `SelfSubjectAccessReview` for the requesting user.
fn review_own_access(kube: &Kube, request: &ApiRequest, review: &mut Value) {
    decide(kube, &request.user, review);
}

/// Answers a `SubjectAccessReview` for the user in the specification.
fn review_access(kube: &Kube, _call: &ApiRequest, review: &mut Value) {
    let user = User {
        name: str_at(review, &["spec", "user"]).to_owned(),
        groups: strings_at(review, &["spec", "groups"]),
        uid: String::new(),
    };
    decide(kube, &user, review);
}

/// Sets `status.allowed` for the resource or the path in the specification.
fn decide(kube: &Kube, user: &User, review: &mut Value) {
    let attributes = review.pointer("/spec/resourceAttributes").cloned().unwrap_or_default();
    let field = |key: &str| str_at(&attributes, &[key]).to_owned();
    let (verb, group, namespace, name) = (field("verb"), field("group"), field("namespace"), field("name"));
    let resource = match field("subresource").as_str() {
        "" => field("resource"),
        sub => format!("{}/{sub}", field("resource")),
    };
    let path = str_at(review, &["spec", "nonResourceAttributes", "path"]);
    let allowed = if path.is_empty() {
        access::may(
            kube,
            user,
            AccessRequest { verb: &verb, group: &group, resource: &resource, namespace: &namespace, name: &name },
        )
    } else {
        rbac::may_path(kube, user, str_at(review, &["spec", "nonResourceAttributes", "verb"]), path)
    };
    set(review, &["status"], json!({ "allowed": allowed }));
}

/// Answers a `SelfSubjectRulesReview` with the rules of the user, those for resources and those for
/// paths.
fn review_own_rules(kube: &Kube, request: &ApiRequest, review: &mut Value) {
    let rules = rbac::rules(kube, &request.user, str_at(review, &["spec", "namespace"]));
    let (paths, resources): (Vec<Value>, Vec<Value>) =
        rules.into_iter().partition(|rule| rule.get("nonResourceURLs").is_some());
    set(review, &["status"], json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": false }));
}
