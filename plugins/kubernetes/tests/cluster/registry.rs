use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use stargate_sdk::{FailureKind, FindResult};

use crate::{
    cluster::{Cluster, until},
    fake::ApiFault,
};

const ALLOCATE: &str = "kubernetes.pod_cidr.allocate";
const RELEASE: &str = "kubernetes.pod_cidr.release";
const CONFIG_MAP: &str = "/api/v1/namespaces/kube-system/configmaps/stargate-pod-cidrs";

fn input(nodes: &[&str]) -> serde_json::Value {
    json!({"site": "dc", "block": "10.244.64.0/18", "nodes": nodes,
        "taken": ["10.244.64.0/24", {"name": "aks-0", "pod_cidr": "10.244.0.0/24", "ready": true}]})
}

#[tokio::test]
async fn pod_cidrs_are_recorded_once_and_found_after_a_lost_response() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.actions.find(ALLOCATE, input(&["w1"])).await.expect("find"), FindResult::Absent);
    cluster.fake.fault(Method::POST, ApiFault::LoseReply);
    let (kind, _) = cluster.fails(ALLOCATE, input(&["w1", "w2"])).await;
    assert_eq!(kind, FailureKind::Unknown);
    let blocks = json!({"allocations": {"w1": "10.244.65.0/24", "w2": "10.244.66.0/24"}});
    assert_eq!(cluster.actions.find(ALLOCATE, input(&["w1", "w2"])).await.expect("find"), FindResult::Present(blocks));
    let (_, changes) = cluster.actions.step(ALLOCATE, input(&["w2", "w1"])).await.expect("allocated");
    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!(cluster.fake.state().writes.len(), 1);
}

#[tokio::test]
async fn two_processes_never_allocate_the_same_pod_cidr() {
    let cluster = Cluster::start().await;
    cluster.actions.step(ALLOCATE, input(&["w1"])).await.expect("allocated");
    cluster.fake.fault(
        Method::PUT,
        ApiFault::Meanwhile(Box::new(|world| {
            let mut other = world.objects[CONFIG_MAP].clone();
            other["data"]["dc"] =
                r#"{"block":"10.244.64.0/18","allocations":{"w1":"10.244.65.0/24","x":"10.244.66.0/24"}}"#.into();
            world.put(CONFIG_MAP, other);
        })),
    );
    let (output, _) = cluster.actions.step(ALLOCATE, input(&["w2"])).await.expect("allocated");
    assert_eq!(output["allocations"], json!({"w2": "10.244.67.0/24"}));
    assert_eq!(cluster.fake.state().count("PUT"), 2);
}

#[tokio::test]
async fn a_registry_that_changes_all_the_time_is_read_again_with_delays_until_the_deadline() {
    let cluster = Cluster::start().await;
    cluster.actions.step(ALLOCATE, input(&["w1"])).await.expect("allocated");
    for (action, input) in [(ALLOCATE, input(&["w2"])), (RELEASE, json!({"node": "w1"}))] {
        for _ in 0..1_000 {
            cluster.fake.fault(Method::PUT, ApiFault::Answer(409, json!({"reason": "Conflict", "message": "changed"})));
        }
        let before = cluster.fake.state().count("PUT");
        let cx = cluster.actions.context(action).with_timeout(Duration::from_millis(600));
        let error = cluster.actions.run(&cx, action, input).await.expect_err("it never fits");
        assert_ne!(error.kind, FailureKind::Permanent, "{error}");
        let writes = cluster.fake.state().count("PUT") - before;
        assert!((1..50).contains(&writes), "{writes} writes: {error}");
        cluster.fake.state().faults.clear();
    }
}

#[tokio::test]
async fn a_pod_cidr_that_a_node_of_aks_has_is_refused_with_both_owners() {
    let cluster = Cluster::start().await;
    cluster.actions.step(ALLOCATE, input(&["w1"])).await.expect("allocated");
    let mut collides = input(&["w1"]);
    collides["taken"] = json!([{"name": "aks-9", "pod_cidr": "10.244.65.0/24"}]);
    let (kind, error) = cluster.fails(ALLOCATE, collides).await;
    assert_eq!(kind, FailureKind::Permanent);
    assert!(error.contains("\"w1\"") && error.contains("\"aks-9\""), "{error}");
}

#[tokio::test]
async fn a_registry_that_cannot_be_parsed_is_never_overwritten() {
    let cluster = Cluster::start().await;
    cluster.fake.state().put(CONFIG_MAP, json!({"data": {"dc": "?"}}));
    let (kind, error) = cluster.fails(ALLOCATE, input(&["w1"])).await;
    assert_eq!((kind, error.contains("cannot parse")), (FailureKind::Permanent, true), "{error}");
    assert!(cluster.fake.state().writes.is_empty());
}

#[tokio::test]
async fn a_pod_cidr_is_released_when_its_last_pod_is_gone_and_only_once() {
    let cluster = Cluster::start().await;
    cluster.actions.step(ALLOCATE, input(&["w1", "w2"])).await.expect("allocated");
    let pod = "/api/v1/namespaces/default/pods/p";
    let status = |ip: &str| json!({"status": {"phase": "Running", "podIPs": [{"ip": ip}]}});
    cluster.fake.state().put(pod, status("10.244.65.7"));
    cluster.fake.state().put("/api/v1/namespaces/default/pods/q", status("10.244.66.7"));
    let fake = cluster.fake.clone();
    let release = cluster.actions.step(RELEASE, json!({"node": "w1"}));
    let pods = async {
        // The release has read the registry and found the pod.
        until(|| fake.state().reads.iter().any(|path| path == "/api/v1/pods")).await;
        assert_eq!(fake.state().count("PUT"), 0, "it waits for the pod");
        fake.state().objects.remove(pod);
    };
    let (released, ()) = tokio::join!(release, pods);
    let (output, changes) = released.expect("released");
    assert_eq!((output, changes.len()), (json!({"pod_cidr": "10.244.65.0/24"}), 1));
    let (output, changes) = cluster.actions.step(RELEASE, json!({"node": "w1"})).await.expect("released before");
    assert_eq!((output, changes.len()), (json!({"pod_cidr": "10.244.65.0/24"}), 0));
    let (output, _) = cluster.actions.step(ALLOCATE, input(&["w3"])).await.expect("allocated");
    assert_eq!(output["allocations"], json!({"w3": "10.244.67.0/24"}), "no node has had this one");
    let (output, _) = cluster.actions.step(ALLOCATE, input(&["w1"])).await.expect("allocated");
    assert_eq!(output["allocations"], json!({"w1": "10.244.65.0/24"}), "the node has returned");
}

#[tokio::test]
async fn a_pod_cidr_whose_node_exists_is_not_released() {
    let cluster = Cluster::start().await;
    cluster.actions.step(ALLOCATE, input(&["w1"])).await.expect("allocated");
    let writes = cluster.fake.state().writes.len();
    cluster.fake.state().put("/api/v1/nodes/w1", json!({}));
    let (kind, error) = cluster.fails(RELEASE, json!({"node": "w1"})).await;
    assert_eq!((kind, error.contains("node \"w1\" exists")), (FailureKind::Permanent, true), "{error}");
    cluster.fake.state().objects.remove("/api/v1/nodes/w1");
    // Another node has got the pod CIDR meanwhile.
    cluster.fake.state().put("/api/v1/nodes/x", json!({"spec": {"podCIDR": "10.244.65.0/25"}}));
    let (kind, error) = cluster.fails(RELEASE, json!({"node": "w1"})).await;
    assert_eq!((kind, error.contains("node \"x\" exists")), (FailureKind::Permanent, true), "{error}");
    assert_eq!(cluster.fake.state().writes.len(), writes);
}

#[tokio::test]
async fn a_release_keeps_what_another_process_records_at_the_same_time() {
    let cluster = Cluster::start().await;
    cluster.actions.step(ALLOCATE, input(&["w1"])).await.expect("allocated");
    cluster.fake.fault(
        Method::PUT,
        ApiFault::Meanwhile(Box::new(|world| {
            let mut other = world.objects[CONFIG_MAP].clone();
            other["data"]["dc"] =
                r#"{"block":"10.244.64.0/18","allocations":{"w1":"10.244.65.0/24","x":"10.244.66.0/24"}}"#.into();
            world.put(CONFIG_MAP, other);
        })),
    );
    cluster.actions.step(RELEASE, json!({"node": "w1"})).await.expect("released");
    let data = cluster.fake.state().objects[CONFIG_MAP]["data"]["dc"].clone();
    let expected =
        r#"{"block":"10.244.64.0/18","allocations":{"x":"10.244.66.0/24"},"released":{"w1":"10.244.65.0/24"}}"#;
    assert_eq!(data, expected);
}
