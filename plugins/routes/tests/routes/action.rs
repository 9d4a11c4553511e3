use std::sync::Arc;

use serde_json::json;
use stargate_routes::{Facts, register};
use stargate_sdk::{ActionContext, FailureKind, Recovery, Registry, Secrets};

use crate::facts::{log, net, nets};

async fn run(facts: serde_json::Value) -> Result<serde_json::Value, stargate_sdk::ActionError> {
    let mut registry = Registry::default();
    register(&mut registry);
    let action = registry.find("routes.desired.compute").unwrap();
    assert_eq!(action.recovery(), Recovery::Repeat);
    action.run(&ActionContext::detached("routes", Arc::new(Secrets::default())), facts).await
}

#[tokio::test]
async fn the_action_accepts_the_nodes_as_they_are_listed() {
    let mut facts = serde_json::to_value(log()).unwrap();
    facts["aks"]["nodes"][0]["ready"] = json!(true);
    let desired = run(facts).await.unwrap();
    assert_eq!(desired["router_routes"][0], json!({ "prefix": "10.244.0.0/24", "next_hop_ip": "10.224.0.4" }));
    assert_eq!(desired["advertise"]["dc"]["dc"][0], json!("10.50.1.0/24"));
}

#[tokio::test]
async fn an_address_may_be_unknown_and_an_error_names_node_and_field() {
    let mut facts = serde_json::to_value(log()).unwrap();
    for unknown in [json!(""), json!(null)] {
        facts["aks"]["nodes"][1]["internal_ip"] = unknown;
        let desired = run(facts.clone()).await.unwrap();
        let unrouted = json!([{ "name": "aks-1", "reason": "its Node has no InternalIP of IPv4" }]);
        assert_eq!(desired["unrouted"], unrouted);
    }
    facts["aks"]["nodes"][1]["internal_ip"] = json!("10.224.0");
    let error = run(facts.clone()).await.expect_err("refused").message;
    let expected = "input of routes.desired.compute: aks.nodes[1]: \
                    node \"aks-1\": internal_ip \"10.224.0\": invalid IPv4 address syntax";
    assert_eq!(error, expected);
    facts["aks"]["nodes"][1]["internal_ip"] = json!("10.224.0.5");
    facts["sites"][0]["workers"][0]["pod_cidr"] = json!("10.244.64.0");
    let error = run(facts.clone()).await.expect_err("refused").message;
    assert!(error.contains("sites[0].workers[0]: node \"worker-1\": pod_cidr \"10.244.64.0\": "), "{error}");
    facts["sites"][0]["workers"][0]["pod_cidr"] = json!(null);
    facts["sites"][0]["router"]["ip"] = json!("x");
    let error = run(facts).await.expect_err("refused").message;
    assert!(error.contains("input of routes.desired.compute: sites[0].router.ip: "), "{error}");
}

#[tokio::test]
async fn a_node_without_routes_fails_the_check_with_its_name() {
    let mut registry = Registry::default();
    register(&mut registry);
    let check = registry.find("routes.nodes.check").unwrap();
    let cx = || ActionContext::detached("routed", Arc::new(Secrets::default()));
    check.run(&cx(), json!({ "unrouted": [] })).await.unwrap();
    let unrouted = json!([{ "name": "aks-1", "reason": "its Node has no InternalIP of IPv4" }]);
    let error = check.run(&cx(), json!({ "unrouted": unrouted })).await.expect_err("incomplete");
    assert!(error.message.contains("node aks-1: its Node has no InternalIP"), "{error}");
    assert!(error.hint.unwrap().contains("kubectl get node aks-1"));
}

#[tokio::test]
async fn a_conflict_is_permanent_and_has_a_hint() {
    let mut facts = serde_json::to_value(log()).unwrap();
    facts["sites"][0]["workers"][1]["internal_ip"] = json!("10.50.1.5");
    let error = run(facts).await.expect_err("refused");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert_eq!(error.message, "worker worker-1 and worker worker-2 have the same address, 10.50.1.5");
    assert_eq!(error.hint.unwrap(), "one of the two is stale or misconfigured: drop it from the list, or renumber it");
}

/// Runs the check of a new site, in a deployment if `alone` is false, and returns its error.
async fn refused_site(alone: bool, change: impl FnOnce(&mut Facts)) -> String {
    let mut facts = log();
    change(&mut facts);
    let mut registry = Registry::default();
    register(&mut registry);
    let site = facts.sites.remove(0);
    let input = if alone { json!({ "site": site }) } else { json!({ "site": site, "aks": facts.aks }) };
    let cx = ActionContext::detached("site", Arc::new(Secrets::default()));
    let result = registry.find("routes.site.check").unwrap().run(&cx, input).await;
    result.err().map(|error| error.message).unwrap_or_default()
}

#[tokio::test]
async fn a_new_site_is_checked_without_the_cluster() {
    assert_eq!(refused_site(true, |_| {}).await, "");
    let error = refused_site(true, |facts| facts.sites[0].virtual_network = nets(&["172.20.0.0/16", "172.21.0.0/16"]));
    assert_eq!(
        error.await,
        "subnet of site dc, 10.50.1.0/24, is outside its virtual network, 172.20.0.0/16, 172.21.0.0/16"
    );
    let error = refused_site(true, |facts| facts.sites[0].router.ip = "10.50.2.4".parse().unwrap()).await;
    assert_eq!(error, "address 10.50.2.4 of router dc-router is outside the subnet of site dc, 10.50.1.0/24");
    let error = refused_site(true, |facts| facts.sites[0].pod_block = net("10.50.1.0/25")).await;
    assert!(error.contains("pod CIDR of site dc, 10.50.1.0/25, is inside subnet of site dc"), "{error}");
    assert_eq!(refused_site(true, |facts| facts.sites[0].pod_block = net("10.0.0.0/18")).await, "", "of the cluster");
}

#[tokio::test]
async fn a_site_pod_cidr_needs_room_for_each_worker() {
    let refused = |length: u8| async move {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut site = log().sites.remove(0);
        site.workers.iter_mut().for_each(|worker| worker.pod_cidr = None);
        let input = json!({ "site": site, "pod_cidr_length": length });
        let cx = ActionContext::detached("site", Arc::new(Secrets::default()));
        let result = registry.find("routes.site.check").unwrap().run(&cx, input).await;
        result.err().map(|error| error.message).unwrap_or_default()
    };
    assert_eq!(refused(19).await, "", "two workers, and room for two");
    let expected = "pod CIDR 10.244.64.0/18 of site dc has 1 × /18, fewer than the site has workers: 2";
    assert_eq!(refused(18).await, expected);
}

#[tokio::test]
async fn a_new_site_must_not_collide_with_an_aks_node_but_is_not_refused_for_one_that_has_no_routes() {
    let error = refused_site(false, |facts| facts.aks.nodes[1].pod_cidr = Some(net("10.244.70.0/24"))).await;
    assert!(error.contains("AKS node aks-1, 10.244.70.0/24, is inside pod CIDR of site dc"), "{error}");
    assert_eq!(refused_site(false, |facts| facts.aks.nodes[1].internal_ip = "10.225.0.9".parse().ok()).await, "");
    let error = refused_site(false, |facts| facts.sites[0].pod_block = net("10.0.0.0/18")).await;
    assert!(error.contains("is inside the cluster's service CIDR, 10.0.0.0/16"), "{error}");
}
