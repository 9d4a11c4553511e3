use serde_json::Value;
use stargate_kubernetes_client::json::{name, text};
use stargate_sdk::ActionError;

use super::is_managed;

/// Label of each node that AKS manages, with the name of the node resource group.
const CLUSTER: &str = "/metadata/labels/kubernetes.azure.com~1cluster";
/// Maximum number of characters of a label's value (Kubernetes documentation, "Labels and
/// Selectors").
const MAX_LABEL_CHARS: usize = 63;

/// Checks that the nodes belong to the cluster whose node resource group is `group`.
///
/// Each node that AKS manages and that names a group must name this one, and at least one node must
/// do so: a cluster without such nodes is not an AKS cluster.
///
/// # Errors
/// `Permanent`: the kubeconfig is that of another cluster.
pub(crate) fn check_resource_group(nodes: &[Value], group: &str) -> Result<(), ActionError> {
    let expected = label_of(group);
    let mut named = nodes.iter().filter(|node| is_managed(node)).filter_map(|node| Some((node, text(node, CLUSTER)?)));
    let mut is_named = false;
    if let Some((node, other)) = named.find(|(_, label)| {
        is_named = true;
        !label.eq_ignore_ascii_case(&expected)
    }) {
        return Err(other_cluster_error(&format!("its node {:?} is in {other}, not in {group}", name(node))));
    }
    if is_named {
        Ok(())
    } else {
        Err(other_cluster_error(&format!("none of its {} nodes is labelled as in {group}", nodes.len())))
    }
}

/// Value of the label for a group: AKS replaces the characters that a label cannot contain.
fn label_of(group: &str) -> String {
    let mut label: String =
        group.chars().take(MAX_LABEL_CHARS).map(|c| if "()".contains(c) { '-' } else { c }).collect();
    if label.ends_with(['-', '_', '.']) {
        label.truncate(MAX_LABEL_CHARS - 1);
        label.push('z');
    }
    label
}

fn other_cluster_error(reason: &str) -> ActionError {
    ActionError::permanent(format!("the kubeconfig is that of another cluster than Azure's: {reason}")).with_hint(
        "name the cluster's context with `--kube-context`, or its file with `--kubeconfig`; `az aks get-credentials` writes one",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GROUP: &str = "MC_g_c_westeurope";

    fn node(labels: &Value) -> Value {
        json!({"metadata": {"name": "n", "labels": labels}})
    }

    fn of(group: &str) -> Value {
        node(&json!({"kubernetes.azure.com/cluster": group}))
    }

    #[test]
    fn each_node_of_aks_is_in_the_group_and_one_exists() {
        let foreign = node(&json!({"kubernetes.azure.com/managed": "false", "kubernetes.azure.com/cluster": "theirs"}));
        check_resource_group(&[of(GROUP), of("mc_G_c_westeurope"), foreign.clone(), node(&json!({}))], GROUP)
            .expect("the expected cluster");
        let another = check_resource_group(&[of(GROUP), of("MC_other")], GROUP).expect_err("another cluster");
        assert!(another.message.contains("MC_other") && another.message.contains(GROUP), "{another}");
        for none in [vec![], vec![foreign], vec![node(&json!({}))]] {
            let error = check_resource_group(&none, GROUP).expect_err("no node of AKS");
            assert!(error.message.contains("nodes is labelled as in"), "{error}");
        }
    }

    #[test]
    fn a_name_that_is_not_a_label_is_changed() {
        assert_eq!(label_of("MC_(a)_b"), "MC_-a-_b");
        assert_eq!(label_of("MC_a."), "MC_a.z");
        let long = "m".repeat(70);
        assert_eq!(label_of(&long), "m".repeat(63));
        let ends = format!("{}-{}", "m".repeat(62), "m".repeat(8));
        assert_eq!(label_of(&ends), format!("{}z", "m".repeat(62)));
    }
}
