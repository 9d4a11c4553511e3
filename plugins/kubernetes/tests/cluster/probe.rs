use serde_json::{Value, json};
use stargate_sdk::FailureKind;

use crate::{
    cluster::{Cluster, until},
    fake::FakeApiServer,
};

const PROBE: &str = "kubernetes.pod.probe";

fn input() -> Value {
    json!({"node": "w1", "pod_cidr": "10.244.65.0/24"})
}

/// The path and the object of the stored pod.
fn pod(fake: &FakeApiServer) -> Option<(String, Value)> {
    let world = fake.state();
    world.objects.iter().find(|(at, _)| at.contains("/pods/")).map(|(at, pod)| (at.clone(), pod.clone()))
}

/// Sets the status of the next pod, as its kubelet would.
async fn set_status(fake: FakeApiServer, status: Value) -> Value {
    until(|| pod(&fake).is_some_and(|(_, pod)| pod["status"].is_null())).await;
    let (at, mut pod) = pod(&fake).expect("read just now");
    pod["status"] = status;
    fake.state().put(&at, pod.clone());
    pod
}

#[tokio::test]
async fn a_pod_gets_an_address_without_a_scheduler_and_is_removed() {
    let cluster = Cluster::start().await;
    let kubelet = tokio::spawn(set_status(cluster.fake.clone(), json!({"phase": "Pending", "podIP": "10.244.65.7"})));
    let (output, _) = cluster.actions.step(PROBE, input()).await.expect("probed");
    assert_eq!(output["ip"], "10.244.65.7");
    assert_eq!(kubelet.await.expect("kubelet")["spec"]["nodeName"], "w1");
    assert_eq!(pod(&cluster.fake), None);
}

#[tokio::test]
async fn the_pod_of_a_killed_attempt_is_found_and_removed() {
    let cluster = Cluster::start().await;
    let cx = cluster.actions.context(PROBE);
    tokio::select! {
        result = cluster.actions.run(&cx, PROBE, input()) => panic!("there is no kubelet: {result:?}"),
        () = until(|| pod(&cluster.fake).is_some()) => {}
    }
    let kubelet = tokio::spawn(set_status(cluster.fake.clone(), json!({"podIP": "10.244.65.7"})));
    cluster.actions.run(&cx, PROBE, input()).await.expect("probed");
    kubelet.await.expect("kubelet");
    assert_eq!((pod(&cluster.fake), cluster.fake.state().count("POST")), (None, 1), "the same pod");
}

#[tokio::test]
async fn a_pod_that_the_kubelet_refused_is_replaced() {
    let cluster = Cluster::start().await;
    let fake = cluster.fake.clone();
    let kubelet = tokio::spawn(async move {
        set_status(fake.clone(), json!({"phase": "Failed", "reason": "OutOfpods"})).await;
        set_status(fake, json!({"podIP": "10.244.65.8"})).await;
    });
    let (output, _) = cluster.actions.step(PROBE, input()).await.expect("probed");
    kubelet.await.expect("kubelet");
    assert_eq!((output["ip"].as_str(), pod(&cluster.fake)), (Some("10.244.65.8"), None));
}

#[tokio::test]
async fn an_address_outside_the_pod_cidr_fails_and_the_pod_is_removed() {
    let cluster = Cluster::start().await;
    let kubelet = tokio::spawn(set_status(cluster.fake.clone(), json!({"podIP": "172.17.0.2"})));
    let (kind, error) = cluster.fails(PROBE, input()).await;
    kubelet.await.expect("kubelet");
    assert_eq!((kind, error.contains("172.17.0.2")), (FailureKind::Permanent, true), "{error}");
    assert_eq!(pod(&cluster.fake), None);
}
