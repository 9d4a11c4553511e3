//! The actions against a real API server, which `tests/rig/kube-tests.sh` starts. The tests are
//! ignored elsewhere, and fail without a server: none passes as skipped.

use serde_json::{Value, json};
use stargate_sdk::LockAttempt;

use crate::{cluster::Actions, locks};

/// The actions of the cluster that the environment names.
fn actions() -> Actions {
    let path = std::env::var_os("STARGATE_TEST_KUBECONFIG");
    Actions::new(path.expect("STARGATE_TEST_KUBECONFIG names a kubeconfig: run tests/rig/kube-tests.sh").as_ref())
}

#[tokio::test]
#[ignore = "needs an API server: run tests/rig/kube-tests.sh"]
async fn a_real_server_shows_written_objects_as_unchanged() {
    let actions = actions();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "stargate-test", "namespace": "default"}});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "stargate-test"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-bootstrapper"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:bootstrappers:stargate"}]});
    let manifest = json!({"manifest": [account, role]});
    actions.step("kubernetes.manifest.apply", manifest.clone()).await.expect("applied");
    let (_, changes) = actions.step("kubernetes.manifest.apply", manifest.clone()).await.expect("unchanged");
    assert!(changes.is_empty(), "{changes:?}");
    let found = actions.find("kubernetes.manifest.apply", manifest).await.expect("found");
    assert!(matches!(found, stargate_sdk::FindResult::Present(_)), "the second run makes no request that writes");

    actions.secret("s", "service-account-token:namespace=default&name=stargate-test").await.expect("token");
    actions.secret("s", "bootstrap-token:node=w1").await.expect("bootstrap token");
    actions.secret("s", "bootstrap-token:node=w1").await.expect("bootstrap token, again");

    let allocate = json!({"site": "test", "block": "10.99.0.0/18", "nodes": ["w1", "w2"]});
    let (first, _) = actions.step("kubernetes.pod_cidr.allocate", allocate.clone()).await.expect("allocated");
    let (second, changes) = actions.step("kubernetes.pod_cidr.allocate", allocate).await.expect("unchanged");
    assert_eq!((first, changes), (second, Vec::new()));
    actions.step("kubernetes.nodes.list", json!({})).await.expect("listed");

    let delete = |kind: &str, api: &str, namespace: Value| json!({"api_version": api, "kind": kind, "name": "stargate-test", "namespace": namespace});
    let binding = delete("ClusterRoleBinding", "rbac.authorization.k8s.io/v1", Value::Null);
    actions.step("kubernetes.object.delete", binding).await.expect("deleted");
    actions.step("kubernetes.object.delete", delete("ServiceAccount", "v1", json!("default"))).await.expect("deleted");
}

#[tokio::test]
#[ignore = "needs an API server: run tests/rig/kube-tests.sh"]
async fn a_real_server_cordons_and_drains() {
    let actions = actions();
    let node = json!({"manifest": {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "stargate-test-node"}}});
    actions.step("kubernetes.manifest.apply", node).await.expect("created");
    let name = json!({"name": "stargate-test-node"});
    actions.step("kubernetes.node.cordon", name.clone()).await.expect("cordoned");
    let (_, changes) = actions.step("kubernetes.node.cordon", name.clone()).await.expect("unchanged");
    assert!(changes.is_empty(), "{changes:?}");
    let (output, _) = actions.step("kubernetes.node.drain", name).await.expect("drained");
    assert_eq!(output["evicted"], json!([]));
    actions
        .step("kubernetes.node.cordon", json!({"name": "stargate-test-node", "cordoned": false}))
        .await
        .expect("uncordoned");
    let node = json!({"api_version": "v1", "kind": "Node", "name": "stargate-test-node"});
    actions.step("kubernetes.object.delete", node).await.expect("deleted");
}

#[tokio::test]
#[ignore = "needs an API server: run tests/rig/kube-tests.sh"]
async fn a_real_server_applies_a_kind_and_its_objects_in_one_step() {
    let actions = actions();
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.test.stargate.io"},
        "spec": {"group": "test.stargate.io", "scope": "Cluster",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}}]}});
    let widgets = (0..600).map(|number| {
        json!({"apiVersion": "test.stargate.io/v1", "kind": "Widget", "metadata": {"name": format!("w{number}")},
            "spec": {"size": number}})
    });
    let manifest = json!({"manifest": widgets.chain([definition]).collect::<Vec<_>>()});
    let preview = actions.preview("kubernetes.manifest.apply", manifest.clone()).await.expect("preview");
    assert!(matches!(&preview, stargate_sdk::Preview::Changes { differences, .. } if differences.len() == 601));
    actions.step("kubernetes.manifest.apply", manifest.clone()).await.expect("applied");
    let (_, changes) = actions.step("kubernetes.manifest.apply", manifest).await.expect("unchanged");
    assert!(changes.is_empty(), "{changes:?}");
    let kind = json!({"api_version": "test.stargate.io/v1", "kind": "Widget"});
    let (output, _) = actions.step("kubernetes.objects.list", kind).await.expect("listed");
    assert_eq!(output["objects"].as_array().map(Vec::len), Some(600), "more than one page");

    let delete = json!({"api_version": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "name": "widgets.test.stargate.io"});
    actions.step("kubernetes.object.delete", delete).await.expect("deleted");
}

#[tokio::test]
#[ignore = "needs an API server: run tests/rig/kube-tests.sh"]
async fn a_real_server_gives_a_lock_to_one_run_at_a_time() {
    let (own, other) = (actions(), actions());
    let identity = own.identify().await.expect("identity");
    assert!(identity.id.is_some() && identity.is_same(&other.identify().await.expect("identity")), "{identity:?}");

    let (first, second) = (locks::request("first", 1), locks::request("second", 1));
    let service = own.lock_service(&first.lock);
    let (name, cx) = (service.object(&first.lock).replace("lease kube-system/", ""), own.context("lock"));
    assert_eq!(locks::take(&own, &first).await, LockAttempt::Taken);
    assert_eq!(locks::holder(&locks::take(&other, &second).await), "first");
    assert_eq!(service.renew(&cx, &first).await.expect("renewed"), LockAttempt::Taken);
    // Not renewed any more, it expires after a second.
    while locks::take(&other, &second).await != LockAttempt::Taken {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(locks::holder(&service.renew(&cx, &first).await.expect("an answer")), "second");
    service.release(&cx, &first).await.expect("nothing to release");
    other.lock_service(&first.lock).release(&other.context("release"), &second).await.expect("released");
    assert_eq!(locks::take(&own, &locks::request("third", 1)).await, LockAttempt::Taken);
    let lease =
        json!({"api_version": "coordination.k8s.io/v1", "kind": "Lease", "name": name, "namespace": "kube-system"});
    own.step("kubernetes.object.delete", lease).await.expect("deleted");
}
