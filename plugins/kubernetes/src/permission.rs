use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use stargate_sdk::Permission;

use crate::field::text;

/// Who grants what [`may`] names.
pub(crate) const AUTHORITY: &str = "kubernetes";

/// Something that `kubectl auth can-i` can be asked, in its words: `patch nodes`, `create pods --subresource=eviction`,
/// `get configmaps -n kube-system`, `approve signers.certificates.k8s.io/NAME`.
pub(crate) const fn may(question: &'static str) -> Permission {
    Permission::new(AUTHORITY, question)
}

/// `verbs` on the object that `object` says the kind of, as far as it says it.
pub(crate) fn on_object(verbs: &[&str], object: &Value, fields: &Fields) -> Vec<Permission> {
    let said = |pointer| text(object, pointer).filter(|text| !is_expression(text));
    let (Some(api_version), Some(kind)) = (said(fields.api_version), said(fields.kind)) else { return Vec::new() };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let point = if group.is_empty() { "" } else { "." };
    let place = in_namespace(said(fields.namespace));
    let question = |verb: &&str| format!("{verb} {}{point}{group}{place}", resource.plural);
    verbs.iter().map(|verb| Permission::of(AUTHORITY, question(verb))).collect()
}

/// Where the parts of an object's name stand.
pub(crate) struct Fields {
    api_version: &'static str,
    kind: &'static str,
    namespace: &'static str,
}

/// In the input of an action on one object.
pub(crate) const OF_INPUT: Fields = Fields { api_version: "/api_version", kind: "/kind", namespace: "/namespace" };
/// In an object itself.
pub(crate) const OF_OBJECT: Fields =
    Fields { api_version: "/apiVersion", kind: "/kind", namespace: "/metadata/namespace" };

/// `questions` about the namespace that `with` says, or else about `usual`.
pub(crate) fn in_namespace_of(questions: &[&str], with: &Value, usual: Option<&str>) -> Vec<Permission> {
    let said = text(with, "/namespace");
    let place = in_namespace(said.map_or(usual, |said| (!is_expression(said)).then_some(said)));
    questions.iter().map(|question| Permission::of(AUTHORITY, format!("{question}{place}"))).collect()
}

fn in_namespace(namespace: Option<&str>) -> String {
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
    fn the_kind_says_which_resource_it_is() {
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
    fn of_a_kind_that_is_not_known_yet_nothing_is_told() {
        let later = json!({"api_version": "v1", "kind": "${{ inputs.kind }}"});
        assert_eq!(on_object(&["get"], &later, &OF_INPUT), []);
    }

    #[test]
    fn a_namespace_is_the_one_that_is_said_or_the_usual_one() {
        let of = |with| in_namespace_of(&["get pods"], &with, Some("default"))[0].operation().to_owned();
        assert_eq!(of(json!({})), "get pods -n default");
        assert_eq!(of(json!({"namespace": "web"})), "get pods -n web");
        assert_eq!(of(json!({"namespace": "${{ inputs.n }}"})), "get pods");
    }
}
