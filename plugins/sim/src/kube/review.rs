use serde_json::{Value, json};

use super::access;
use super::call::{Call, Reply, Target};
use super::identity::{by_token, shown};
use super::json::{set, str_at, strings_at};
use super::rbac::{self, Wish};
use super::state::{Kube, User};
use super::status::Refusal;

/// Answers a review, an object that is created as a question and not stored. Returns `None` if the
/// target is not a review.
///
/// Each authenticated user may create the reviews about itself, as the default roles of a cluster
/// permit.
pub(crate) fn answer(kube: &Kube, call: &Call, target: &Target) -> Option<Result<Reply, Refusal>> {
    let review: fn(&Kube, &Call, &mut Value) = match (target.group.as_str(), target.plural.as_str()) {
        ("authentication.k8s.io", "selfsubjectreviews") => who_am_i,
        ("authentication.k8s.io", "tokenreviews") => whose_token,
        ("authorization.k8s.io", "selfsubjectaccessreviews") => may_i,
        ("authorization.k8s.io", "subjectaccessreviews") => may_they,
        ("authorization.k8s.io", "selfsubjectrulesreviews") => my_rules,
        _ => return None,
    };
    let allowed = call.user.is_in("system:authenticated")
        && (target.plural.starts_with("self")
            || access::may(
                kube,
                &call.user,
                Wish { verb: "create", group: &target.group, resource: &target.plural, namespace: "", name: "" },
            ));
    if call.method != "POST" {
        return Some(Err(Refusal::method_not_allowed()));
    }
    if !allowed {
        let message = format!(
            "{}.{} is forbidden: User \"{}\" cannot create resource \"{}\" in API group \"{}\" at the cluster scope",
            target.plural, target.group, call.user.name, target.plural, target.group
        );
        let details = json!({ "group": target.group, "kind": target.plural });
        return Some(Err(Refusal::new(403, "Forbidden", &message, Some(details))));
    }
    Some(call.json().map(|mut object| {
        review(kube, call, &mut object);
        super::json::default(&mut object, &["metadata"], json!({}));
        Reply::created(object)
    }))
}

/// Answers a `SelfSubjectReview` with the requesting user.
fn who_am_i(_kube: &Kube, call: &Call, review: &mut Value) {
    set(review, &["status", "userInfo"], shown(&call.user));
}

/// Answers a `TokenReview` with the user of a bearer token.
fn whose_token(kube: &Kube, call: &Call, review: &mut Value) {
    let status = match by_token(kube, str_at(review, &["spec", "token"]), call.now) {
        Some(user) => json!({ "authenticated": true, "user": shown(&user) }),
        None => json!({ "error": "invalid bearer token" }),
    };
    set(review, &["status"], status);
}

/// Answers a `SelfSubjectAccessReview` for the requesting user.
fn may_i(kube: &Kube, call: &Call, review: &mut Value) {
    decide(kube, &call.user, review);
}

/// Answers a `SubjectAccessReview` for the user in the specification.
fn may_they(kube: &Kube, _call: &Call, review: &mut Value) {
    let user = User {
        name: str_at(review, &["spec", "user"]).to_owned(),
        groups: strings_at(review, &["spec", "groups"]),
        uid: String::new(),
    };
    decide(kube, &user, review);
}

/// Sets `status.allowed` for the resource or the path in the specification.
fn decide(kube: &Kube, user: &User, review: &mut Value) {
    let wanted = review.pointer("/spec/resourceAttributes").cloned().unwrap_or_default();
    let field = |key: &str| str_at(&wanted, &[key]).to_owned();
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
            Wish { verb: &verb, group: &group, resource: &resource, namespace: &namespace, name: &name },
        )
    } else {
        rbac::may_path(kube, user, str_at(review, &["spec", "nonResourceAttributes", "verb"]), path)
    };
    set(review, &["status"], json!({ "allowed": allowed }));
}

/// Answers a `SelfSubjectRulesReview` with the rules of the user, those for resources and those for
/// paths.
fn my_rules(kube: &Kube, call: &Call, review: &mut Value) {
    let rules = rbac::rules(kube, &call.user, str_at(review, &["spec", "namespace"]));
    let (paths, resources): (Vec<Value>, Vec<Value>) =
        rules.into_iter().partition(|rule| rule.get("nonResourceURLs").is_some());
    set(review, &["status"], json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": false }));
}
