use std::time::Duration;

use serde_json::{Value, json};

use crate::hang_guard::hang_guard;
use crate::harness::{Bench, open, open_with};

const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const PODS: &str = "/api/v1/namespaces/default/pods";
const NODE: &str = "aks-nodepool1-41954725-vmss000000";

/// Creates a job whose pod runs until it is ended, with more fields in its specification.
async fn create(bench: &Bench, more: &[(&str, Value)]) {
    let containers = json!([{ "name": "c", "image": "i:1" }]);
    let pod = json!({ "nodeName": NODE, "restartPolicy": "Never", "containers": containers });
    let mut job = json!({ "metadata": { "name": "j" }, "spec": { "template": { "spec": pod } } });
    for (field, value) in more {
        job["spec"][field] = value.clone();
    }
    let (status, created) = bench.admin("POST", JOBS, Some(&job)).await;
    assert_eq!(status, 201, "{created}");
}

/// Returns the names of the pods of the job.
async fn pods(bench: &Bench) -> Vec<String> {
    let (_, list) = bench.admin("GET", &format!("{PODS}?labelSelector=job-name%3Dj"), None).await;
    list["items"].as_array().unwrap().iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_a_job_stay_unless_a_policy_removes_them() {
    let warning = "299 - \"child pods are preserved by default when jobs are deleted; set propagationPolicy=Background \
                   to remove them or set propagationPolicy=Orphan to suppress this warning\"";
    for (policy, remains, warned) in
        [("", 1, Some(warning)), ("Orphan", 1, None), ("Background", 0, None), ("Foreground", 0, None)]
    {
        let bench = open().await;
        create(&bench, &[]).await;
        assert_eq!(pods(&bench).await.len(), 1, "{policy}");
        let url = format!("{}{JOBS}/j?gracePeriodSeconds=0&propagationPolicy={policy}", bench.sim.kube_url().unwrap());
        let url = url.trim_end_matches("&propagationPolicy=").to_owned();
        let answer = bench.client.delete(url).bearer_auth(&bench.token).send().await.unwrap();
        let seen = answer.headers().get("warning").map(|text| text.to_str().unwrap().to_owned());
        assert_eq!((answer.status().as_u16(), seen.as_deref()), (200, warned), "{policy}");
        wait(async || {
            pods(&bench).await.len() == remains && bench.admin("GET", &format!("{JOBS}/j"), None).await.0 == 404
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_job_fails_and_is_removed_after_its_time_to_live() {
    let bench = open_with(true).await;
    create(&bench, &[("activeDeadlineSeconds", json!(1))]).await;
    let read = async || bench.admin("GET", &format!("{JOBS}/j"), None).await.1;
    wait(async || read().await.pointer("/status/conditions/0/reason") == Some(&json!("DeadlineExceeded"))).await;
    assert_eq!(read().await["status"]["active"], Value::Null);
    let lives = json!({ "spec": { "ttlSecondsAfterFinished": 0 } });
    let merge = "application/merge-patch+json";
    assert_eq!(bench.ask("PATCH", &format!("{JOBS}/j"), &bench.token, merge, Some(&lives)).await.0, 200);
    wait(async || bench.admin("GET", &format!("{JOBS}/j"), None).await.0 == 404).await;
}

/// Waits until a condition holds.
async fn wait(holds: impl AsyncFn() -> bool) {
    let held = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    hang_guard(held).await.unwrap();
}
