use serde_json::Value;

use super::json::{list_at, str_at, strings_at};
use super::state::{Kube, User};

/// Request for an authorization: a verb on a resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessRequest<'a> {
    /// Verb, such as `get` or `deletecollection`.
    pub(crate) verb: &'a str,
    /// API group; empty for the core group.
    pub(crate) group: &'a str,
    /// Resource, or `resource/subresource`.
    pub(crate) resource: &'a str,
    /// Namespace; empty for cluster-wide resources and all namespaces.
    pub(crate) namespace: &'a str,
    /// Name of the object; empty for a collection.
    pub(crate) name: &'a str,
}

/// Returns true if roles and their bindings grant a request. Members of `system:masters` may do
/// everything.
pub(crate) fn may(kube: &Kube, user: &User, access: AccessRequest<'_>) -> bool {
    user.is_in("system:masters") || rules(kube, user, access.namespace).iter().any(|rule| allows(rule, access))
}

/// Returns true if a user may access a path that is not a resource. A trailing `*` in a rule
/// matches any suffix.
pub(crate) fn may_path(kube: &Kube, user: &User, verb: &str, path: &str) -> bool {
    let covers = |pattern: &String| match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => pattern == path,
    };
    let allowed = |rule: &Value| has(rule, "verbs", verb) && strings_at(rule, &["nonResourceURLs"]).iter().any(covers);
    user.is_in("system:masters") || rules(kube, user, "").iter().any(allowed)
}

/// Returns the rules bound to a user in the whole cluster and in `namespace`.
pub(crate) fn rules(kube: &Kube, user: &User, namespace: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    for binding in kube.all("clusterrolebindings.rbac.authorization.k8s.io").filter(|binding| binds(binding, user)) {
        rules.extend(rules_of(kube, binding, ""));
    }
    let local = kube.all("rolebindings.rbac.authorization.k8s.io");
    for binding in local.filter(|binding| super::json::namespace_of(binding) == namespace && binds(binding, user)) {
        rules.extend(rules_of(kube, binding, namespace));
    }
    rules
}

/// Returns the rules of the role that a binding refers to; empty if the role does not exist.
fn rules_of(kube: &Kube, binding: &Value, namespace: &str) -> Vec<Value> {
    let name = str_at(binding, &["roleRef", "name"]);
    let role = match str_at(binding, &["roleRef", "kind"]) {
        "ClusterRole" => kube.named("clusterroles.rbac.authorization.k8s.io", name),
        _ => kube.named("roles.rbac.authorization.k8s.io", &format!("{namespace}/{name}")),
    };
    role.map(|role| list_at(role, &["rules"]).to_vec()).unwrap_or_default()
}

/// Returns true if a user is a subject of a binding.
fn binds(binding: &Value, user: &User) -> bool {
    list_at(binding, &["subjects"]).iter().any(|subject| {
        let name = str_at(subject, &["name"]);
        match str_at(subject, &["kind"]) {
            "Group" => user.is_in(name),
            "User" => user.name == name,
            "ServiceAccount" => {
                user.name == format!("system:serviceaccount:{}:{name}", str_at(subject, &["namespace"]))
            }
            _ => false,
        }
    })
}

/// Returns true if a list of a rule contains a value or `*`.
fn has(rule: &Value, key: &str, value: &str) -> bool {
    list_at(rule, &[key]).iter().filter_map(Value::as_str).any(|each| each == "*" || each == value)
}

/// Returns true if a rule grants a request. `*/subresource` matches the subresource of all
/// resources.
fn allows(rule: &Value, access: AccessRequest<'_>) -> bool {
    let below = access.resource.split_once('/').map(|(_, below)| format!("*/{below}"));
    let names = list_at(rule, &["resourceNames"]);
    has(rule, "verbs", access.verb)
        && has(rule, "apiGroups", access.group)
        && (has(rule, "resources", access.resource) || below.is_some_and(|below| has(rule, "resources", &below)))
        && (names.is_empty() || names.iter().any(|name| name == access.name))
}
