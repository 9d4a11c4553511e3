use serde_json::Value;
use stargate_sdk::ActionError;

use crate::{
    field::{name, text},
    node_facts::is_managed,
};

/// AKS puts the node resource group's name on every node that it manages.
const CLUSTER: &str = "/metadata/labels/kubernetes.azure.com~1cluster";
/// What a label's value may hold.
const LONGEST: usize = 63;

/// Refuses nodes of another cluster than the one whose node resource group is `group`.
///
/// Every node that AKS manages and that names a group must name this one, and one at least must: a cluster without such
/// nodes is none of AKS's.
pub(crate) fn check(nodes: &[Value], group: &str) -> Result<(), ActionError> {
    let expected = label_of(group);
    let mut named = nodes.iter().filter(|node| is_managed(node)).filter_map(|node| Some((node, text(node, CLUSTER)?)));
    let mut is_there = false;
    if let Some((node, other)) = named.find(|(_, label)| {
        is_there = true;
        !label.eq_ignore_ascii_case(&expected)
    }) {
        return Err(elsewhere(&format!("its node {:?} is in {other}, and those of Azure's in {group}", name(node))));
    }
    if is_there {
        Ok(())
    } else {
        Err(elsewhere(&format!("none of its {} nodes says that it is in {group}", nodes.len())))
    }
}

/// The group's name as a label's value; AKS makes it fit.
fn label_of(group: &str) -> String {
    let mut label: String = group.chars().take(LONGEST).map(|c| if "()".contains(c) { '-' } else { c }).collect();
    if label.ends_with(['-', '_', '.']) {
        label.truncate(LONGEST - 1);
        label.push('z');
    }
    label
}

fn elsewhere(why: &str) -> ActionError {
    ActionError::permanent(format!("the kubeconfig leads to another cluster than Azure's: {why}")).with_hint(
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
    fn every_node_of_aks_is_in_the_group_and_there_is_one() {
        let foreign = node(&json!({"kubernetes.azure.com/managed": "false", "kubernetes.azure.com/cluster": "theirs"}));
        check(&[of(GROUP), of("mc_G_c_westeurope"), foreign.clone(), node(&json!({}))], GROUP).expect("in order");
        let another = check(&[of(GROUP), of("MC_other")], GROUP).expect_err("another cluster's");
        assert!(another.message.contains("MC_other") && another.message.contains(GROUP), "{another}");
        for none in [vec![], vec![foreign], vec![node(&json!({}))]] {
            let error = check(&none, GROUP).expect_err("no node of AKS's");
            assert!(error.message.contains("nodes says that it is in"), "{error}");
        }
    }

    #[test]
    fn a_name_that_is_no_label_is_made_one() {
        assert_eq!(label_of("MC_(a)_b"), "MC_-a-_b");
        assert_eq!(label_of("MC_a."), "MC_a.z");
        let long = "m".repeat(70);
        assert_eq!(label_of(&long), "m".repeat(63));
        let ends = format!("{}-{}", "m".repeat(62), "m".repeat(8));
        assert_eq!(label_of(&ends), format!("{}z", "m".repeat(62)));
    }
}
