//! The strategy of a deployment is recorded in the cluster.

use crate::{
    deployment::{EAST, only_dead, output, prefixes, sync, two_datacenters},
    inputs::NODE_GROUP,
    outside,
};

const NODE_TABLE: &str = "stargate-workers-rt";

#[tokio::test]
async fn a_strategy_is_kept_by_runs_that_name_none() {
    let mut harness = two_datacenters().await;
    let (code, said) = sync(&mut harness, &[("strategy", "per_node")]).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    assert!(said.contains("strategy") && said.contains("per_node"), "{said}");
    let is_per_node = |routes: &[String]| {
        let has = |prefix: &str| routes.iter().any(|route| route == prefix);
        has("10.244.64.0/24") && has("10.244.65.0/24") && has("10.244.96.0/24") && !has("10.244.64.0/19")
    };
    assert!(is_per_node(&prefixes(&harness.sim, NODE_GROUP, NODE_TABLE).await));

    let writes = harness.sim.shared().peek().traffic.mutating();
    let (code, _) = sync(&mut harness, &[]).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    EAST.provision(&mut harness).await;
    assert_eq!(
        harness.sim.shared().peek().traffic.mutating(),
        writes,
        "neither a schedule nor provision-dc changes it"
    );
    assert!(is_per_node(&prefixes(&harness.sim, NODE_GROUP, NODE_TABLE).await));
    let sites = outside::list(&harness.sim, "/apis/stargate.io/v1alpha1/sites").await;
    let recorded = sites.iter().find(|site| site["spec"]["type"] == "aks").unwrap();
    assert_eq!(recorded["metadata"]["annotations"]["stargate.io/strategy"], "per_node");

    // An explicit other one is applied to all sites, and both are named.
    let mut inputs = EAST.inputs(&harness.sim).await;
    inputs.insert("strategy".into(), "per_site".into());
    let code = harness.run_with_inputs(&["run", "workflow"], "provision-dc", &inputs).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    let said = output(&harness);
    assert!(said.contains("per_node") && said.contains("per_site"), "{said}");
    let routes = prefixes(&harness.sim, NODE_GROUP, NODE_TABLE).await;
    assert_eq!(routes.iter().filter(|route| route.ends_with("/19")).count(), 2, "{routes:?}");
    assert!(!routes.iter().any(|route| route.starts_with("10.244") && route.ends_with("/24")), "{routes:?}");
    only_dead(&harness.sim, &[]).await;
}
