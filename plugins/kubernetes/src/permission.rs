use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use stargate_kubernetes_client::{AUTHORITY, json::text};
use stargate_sdk::Permission;

/// Permissions for `verbs` on the kind that `object` names in `fields`.
///
/// None if the kind is an expression. If the namespace is one, the permissions are for all
/// namespaces.
pub(crate) fn on_object(verbs: &[&str], object: &Value, fields: &KindFields) -> Vec<Permission> {
    let literal = |pointer| text(object, pointer).filter(|text| !is_expression(text));
    let (Some(api_version), Some(kind)) = (literal(fields.api_version), literal(fields.kind)) else {
        return Vec::new();
    };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let dot = if group.is_empty() { "" } else { "." };
    let option = namespace_option(literal(fields.namespace));
    let question = |verb: &&str| format!("{verb} {}{dot}{group}{option}", resource.plural);
    verbs.iter().map(|verb| Permission::of(AUTHORITY, question(verb))).collect()
}

/// JSON pointers to the fields that name a kind and a namespace.
pub(crate) struct KindFields {
    api_version: &'static str,
    kind: &'static str,
    namespace: &'static str,
}

/// Fields in the input of an action on one object.
pub(crate) const OF_INPUT: KindFields =
    KindFields { api_version: "/api_version", kind: "/kind", namespace: "/namespace" };
/// Fields in an object itself.
pub(crate) const OF_OBJECT: KindFields =
    KindFields { api_version: "/apiVersion", kind: "/kind", namespace: "/metadata/namespace" };

/// Permissions for `questions` in the namespace that `with` names, else in `default`.
///
/// If the namespace is an expression, or there is no default, they are for all namespaces.
pub(crate) fn in_namespace_of(questions: &[&str], with: &Value, default: Option<&str>) -> Vec<Permission> {
    let given = text(with, "/namespace");
    let option = namespace_option(given.map_or(default, |given| (!is_expression(given)).then_some(given)));
    questions.iter().map(|question| Permission::of(AUTHORITY, format!("{question}{option}"))).collect()
}

fn namespace_option(namespace: Option<&str>) -> String {
    namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default()
}

fn is_expression(text: &str) -> bool {
    text.contains("${{")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn questions(permissions: &[Permission]) -> Vec<&str> {
        permissions.iter().map(Permission::operation).collect()
    }

    #[test]
    fn the_resource_follows_from_the_kind() {
        let site = json!({"apiVersion": "stargate.io/v1alpha1", "kind": "Site", "metadata": {"name": "dc"}});
        assert_eq!(
            questions(&on_object(&["get", "patch"], &site, &OF_OBJECT)),
            ["get sites.stargate.io", "patch sites.stargate.io"]
        );
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "kube-system"}});
        assert_eq!(questions(&on_object(&["get"], &account, &OF_OBJECT)), ["get serviceaccounts -n kube-system"]);
        let cilium = json!({"api_version": "cilium.io/v2", "kind": "CiliumNode", "namespace": "${{ inputs.n }}"});
        assert_eq!(questions(&on_object(&["get"], &cilium, &OF_INPUT)), ["get ciliumnodes.cilium.io"]);
    }

    #[test]
    fn a_kind_that_is_not_known_yet_has_no_permissions() {
        let later = json!({"api_version": "v1", "kind": "${{ inputs.kind }}"});
        assert_eq!(on_object(&["get"], &later, &OF_INPUT), []);
    }

    #[test]
    fn the_namespace_is_the_given_one_or_the_default() {
        let of = |with| in_namespace_of(&["get pods"], &with, Some("default"))[0].operation().to_owned();
        assert_eq!(of(json!({})), "get pods -n default");
        assert_eq!(of(json!({"namespace": "web"})), "get pods -n web");
        assert_eq!(of(json!({"namespace": "${{ inputs.n }}"})), "get pods");
    }
}
