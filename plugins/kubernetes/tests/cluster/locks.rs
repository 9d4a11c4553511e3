use std::{collections::BTreeSet, time::Duration};

use axum::http::Method;
use serde_json::{Value, json};
use stargate_sdk::{FailureKind, LockAttempt, RemoteLockRequest};

use crate::{
    cluster::{Actions, Cluster, until},
    fake::ApiFault,
};

const LOCK: &str = "cluster/prod";

/// Request of a run for [`LOCK`].
pub(crate) fn request(run: &str, epoch: u64) -> RemoteLockRequest {
    RemoteLockRequest {
        lock: LOCK.into(),
        run: run.into(),
        epoch,
        workflow: "sync".into(),
        owner: format!("{run}@host, process 1"),
        process: String::new(),
        ended_runs: vec![],
        duration: Duration::from_secs(1),
    }
}

/// Takes the lock once, as this process.
pub(crate) async fn take(actions: &Actions, request: &RemoteLockRequest) -> LockAttempt {
    actions.lock_service(LOCK).take(&actions.context("take"), request).await.expect("an answer")
}

/// Returns the run that holds the lock.
pub(crate) fn holder(attempt: &LockAttempt) -> &str {
    match attempt {
        LockAttempt::Held(holder) => &holder.run,
        other => panic!("{other:?}"),
    }
}

fn lease(cluster: &Cluster) -> Value {
    let object = cluster.actions.lock_service(LOCK).object(LOCK);
    let name = object.strip_prefix("lease kube-system/").expect("a lease");
    cluster.fake.state().objects[&format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{name}")].clone()
}

#[tokio::test]
async fn a_lock_is_held_by_one_run_until_it_is_released() {
    let cluster = Cluster::start().await;
    let (own, other) = (&cluster.actions, cluster.other_process());
    let (first, second) = (request("first", 1), request("second", 1));
    assert_eq!(take(own, &first).await, LockAttempt::Taken);
    let LockAttempt::Held(held) = take(&other, &second).await else { panic!("it is held") };
    assert_eq!((held.run.as_str(), held.workflow.as_str(), held.may_have_ended), ("first", "sync", false));
    assert_eq!((held.owner.as_str(), held.since.len()), ("first@host, process 1", "2026-11-28T15:00:01.500000Z".len()));
    let cx = own.context("renew");
    for _ in 0..2 {
        assert_eq!(own.lock_service(LOCK).renew(&cx, &first).await.expect("renewed"), LockAttempt::Taken);
    }
    own.lock_service(LOCK).release(&cx, &first).await.expect("released");
    assert_eq!(take(&other, &second).await, LockAttempt::Taken);
    let spec = lease(&cluster)["spec"].clone();
    assert_eq!((&spec["leaseTransitions"], &spec["leaseDurationSeconds"]), (&json!(1), &json!(1)));
    assert_eq!(spec["holderIdentity"], "second@host, process 1, run second, epoch 1");
    // A release by a run that no longer holds the lock changes nothing.
    let writes = cluster.fake.state().writes.len();
    own.lock_service(LOCK).release(&cx, &first).await.expect("nothing to release");
    assert_eq!(cluster.fake.state().writes.len(), writes);
}

#[tokio::test]
async fn a_lock_that_is_not_renewed_is_taken_over_and_its_holder_learns_it() {
    let cluster = Cluster::start().await;
    let (own, other) = (&cluster.actions, cluster.other_process());
    let (first, second) = (request("first", 1), request("second", 1));
    assert_eq!(take(own, &first).await, LockAttempt::Taken);
    let mut refused = 0;
    while take(&other, &second).await != LockAttempt::Taken {
        refused += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refused > 0, "the other process observes the lease first");
    let renewed = own.lock_service(LOCK).renew(&own.context("renew"), &first).await.expect("an answer");
    assert_eq!(holder(&renewed), "second");
}

#[tokio::test]
async fn a_later_epoch_and_a_run_after_an_ended_one_take_the_lock_at_once() {
    let cluster = Cluster::start().await;
    assert_eq!(take(&cluster.actions, &request("run", 1)).await, LockAttempt::Taken);
    let (other, third) = (cluster.other_process(), cluster.other_process());
    assert_eq!(take(&other, &request("run", 2)).await, LockAttempt::Taken);
    assert_eq!(holder(&take(&cluster.actions, &request("run", 1)).await), "run");
    let after = RemoteLockRequest { ended_runs: vec!["run".into()], ..request("next", 1) };
    assert_eq!(take(&third, &after).await, LockAttempt::Taken);
}

#[tokio::test]
async fn of_two_processes_that_write_at_the_same_time_one_takes_the_lock() {
    let cluster = Cluster::start().await;
    take(&cluster.actions, &request("first", 1)).await;
    let cx = cluster.actions.context("release");
    cluster.actions.lock_service(LOCK).release(&cx, &request("first", 1)).await.expect("released");
    let path = cluster.fake.state().objects.keys().next().expect("the lease").clone();
    cluster.fake.fault(
        Method::PUT,
        ApiFault::Meanwhile(Box::new(move |state| {
            let mut lease = state.objects[&path].clone();
            lease["spec"]["holderIdentity"] = json!("faster@host, process 1, run faster, epoch 1");
            state.put(&path, lease);
        })),
    );
    assert_eq!(holder(&take(&cluster.other_process(), &request("second", 1)).await), "faster");
}

#[tokio::test]
async fn a_change_by_another_client_that_is_not_a_run_does_not_lose_the_lock() {
    let cluster = Cluster::start().await;
    let first = request("first", 1);
    take(&cluster.actions, &first).await;
    let path = cluster.fake.state().objects.keys().next().expect("the lease").clone();
    let mut annotated = lease(&cluster);
    annotated["metadata"]["annotations"]["note"] = json!("by hand");
    cluster.fake.state().put(&path, annotated);
    let cx = cluster.actions.context("renew");
    assert_eq!(cluster.actions.lock_service(LOCK).renew(&cx, &first).await.expect("renewed"), LockAttempt::Taken);
    assert_eq!(lease(&cluster)["metadata"]["annotations"]["note"], "by hand");
}

#[tokio::test]
async fn a_lost_reply_leaves_a_lock_that_the_next_request_finds() {
    let cluster = Cluster::start().await;
    let (cx, service) = (cluster.actions.context("take"), cluster.actions.lock_service(LOCK));
    cluster.fake.fault(Method::POST, ApiFault::LoseReply);
    let error = service.take(&cx, &request("first", 1)).await.expect_err("the reply is lost");
    assert_eq!(error.kind, FailureKind::Unknown);
    assert_eq!(service.take(&cx, &request("first", 1)).await.expect("taken"), LockAttempt::Taken);
}

#[tokio::test]
async fn an_account_without_permission_is_an_error_and_a_server_that_is_gone_is_not() {
    let cluster = Cluster::start().await;
    let (cx, service) = (cluster.actions.context("take"), cluster.actions.lock_service(LOCK));
    let forbidden = json!({"reason": "Forbidden", "message": "cannot create resource \"leases\""});
    cluster.fake.fault(Method::POST, ApiFault::Answer(403, forbidden));
    let error = service.take(&cx, &request("first", 1)).await.expect_err("forbidden");
    assert_eq!(error.kind, FailureKind::Permanent);
    assert!(error.to_string().starts_with("lock \"cluster/prod\", lease kube-system/stargate-lock-cluster-prod-"));

    let dir = tempfile::tempdir().expect("directory");
    let gone = Actions::new(&dir.path().join("none"));
    assert!(matches!(take(&gone, &request("first", 1)).await, LockAttempt::Unavailable(_)));
    let path = dir.path().join("kubeconfig");
    std::fs::write(&path, crate::cluster::kubeconfig("http://127.0.0.1:1").to_string()).expect("kubeconfig");
    assert!(matches!(take(&Actions::new(&path), &request("first", 1)).await, LockAttempt::Unavailable(_)));
}

#[tokio::test]
async fn the_cluster_is_identified_by_a_uid_or_else_by_its_address() {
    let (cluster, other) = (Cluster::start().await, Cluster::start().await);
    let (first, second) =
        (cluster.actions.identify().await.expect("one"), other.actions.identify().await.expect("two"));
    assert_eq!(first.id, None, "there is no namespace kube-system");
    assert!(!first.is_same(&second) && first.is_same(&first));
    for (of, uid) in [(&cluster, "uid-1"), (&other, "uid-1")] {
        of.fake.state().put("/api/v1/namespaces/kube-system", json!({}));
        let identity = of.other_process().identify().await.expect("identity");
        assert_eq!(identity.id.as_deref(), Some(uid));
        assert!(identity.description.contains(uid) && identity.description.contains("by context \"c\""));
    }
    // The same uid under another address is the same cluster.
    let again = other.other_process().identify().await.expect("identity");
    assert!(again.is_same(&cluster.other_process().identify().await.expect("identity")));
}

#[tokio::test]
async fn of_many_processes_one_holds_the_lock_at_a_time() {
    let cluster = Cluster::start().await;
    let holding = std::sync::Arc::new(std::sync::Mutex::new((0_u32, BTreeSet::new())));
    let runs = (0..6).map(|number| {
        let (actions, holding) = (cluster.other_process(), holding.clone());
        let request = RemoteLockRequest { duration: Duration::from_mins(1), ..request(&format!("run-{number}"), 1) };
        tokio::spawn(async move {
            while take(&actions, &request).await != LockAttempt::Taken {
                tokio::task::yield_now().await;
            }
            let before = {
                let mut holding = holding.lock().expect("no panic");
                holding.0 += 1;
                holding.1.insert(request.run.clone());
                holding.0
            };
            assert_eq!(before, 1, "another run holds it");
            tokio::task::yield_now().await;
            holding.lock().expect("no panic").0 -= 1;
            let cx = actions.context("release");
            actions.lock_service(LOCK).release(&cx, &request).await.expect("released");
        })
    });
    for run in runs.collect::<Vec<_>>() {
        run.await.expect("the run ends");
    }
    until(|| holding.lock().expect("no panic").1.len() == 6).await;
}
