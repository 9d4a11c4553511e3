use std::collections::BTreeMap;

use serde_json::Value;
use stargate_kubernetes_client::json::{list, text, texts};

use super::peer::PolicyPod;

/// Label that Cilium adds to the labels of a pod: its namespace.
const NAMESPACE_LABEL: &str = "io.kubernetes.pod.namespace";
/// Prefix of the labels of a pod's namespace among its own.
const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels.";
/// Sources that a label in a selector can name.
const SOURCES: [&str; 2] = ["k8s:", "any:"];

/// True if a `CiliumNetworkPolicy` or `CiliumClusterwideNetworkPolicy` selects a pod, by its `spec`
/// or one of its `specs`.
pub(crate) fn selects_endpoint(policy: &Value, pod: &PolicyPod) -> bool {
    let namespace = text(policy, "/metadata/namespace");
    let specs = policy.get("spec").into_iter().chain(list(policy, "/specs"));
    let mut selectors = specs.filter_map(|spec| spec.get("endpointSelector"));
    namespace.is_none_or(|namespace| namespace == pod.namespace)
        && selectors.any(|selector| is_selected(selector, &cilium_labels(pod)))
}

fn cilium_labels(pod: &PolicyPod) -> BTreeMap<String, &str> {
    let own = pod.labels.iter().map(|(key, value)| (key.clone(), value.as_str()));
    let of_namespace =
        pod.namespace_labels.iter().map(|(key, value)| (format!("{NAMESPACE_LABELS}{key}"), value.as_str()));
    own.chain(of_namespace).chain([(NAMESPACE_LABEL.to_owned(), pod.namespace.as_str())]).collect()
}

/// True if labels meet a selector. An unknown operator counts as met: the policy is then named
/// rather than overlooked.
fn is_selected(selector: &Value, labels: &BTreeMap<String, &str>) -> bool {
    let value = |key: &str| {
        let key = SOURCES.iter().find_map(|source| key.strip_prefix(source)).unwrap_or(key);
        labels.get(key).copied()
    };
    let pairs = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let mut expressions = list(selector, "/matchExpressions");
    pairs.into_iter().all(|(key, wanted)| wanted.as_str() == value(key))
        && expressions.all(|expression| {
            let found = value(expression["key"].as_str().unwrap_or_default());
            let is_listed = || found.is_some_and(|found| texts(expression, "/values").any(|each| each == found));
            match expression["operator"].as_str() {
                Some("In") => is_listed(),
                Some("NotIn") => !is_listed(),
                Some("Exists") => found.is_some(),
                Some("DoesNotExist") => found.is_none(),
                _ => true,
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_selected_by_labels_with_and_without_their_source() {
        let object = json!({"metadata": {"name": "db", "namespace": "shop", "labels": {"app": "db"}}});
        let pod = PolicyPod::new(&object, None);
        for (policy, expected) in [
            (json!({"metadata": {"namespace": "shop"}, "spec": {"endpointSelector": {}}}), true),
            (json!({"metadata": {"namespace": "other"}, "spec": {"endpointSelector": {}}}), false),
            (json!({"spec": {"endpointSelector": {"matchLabels": {"k8s:app": "db"}}}}), true),
            (json!({"spec": {"endpointSelector": {"matchLabels": {"app": "web"}}}}), false),
            (
                json!({"specs": [{"endpointSelector": {"matchLabels": {"any:io.kubernetes.pod.namespace": "shop"}}}]}),
                true,
            ),
            (
                json!({"spec": {"endpointSelector": {"matchExpressions": [
                {"key": "app", "operator": "NotIn", "values": ["db"]}]}}}),
                false,
            ),
            (json!({"spec": {"nodeSelector": {}}}), false),
        ] {
            assert_eq!(selects_endpoint(&policy, &pod), expected, "{policy}");
        }
    }
}
