use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::hang_guard::hang_guard;
use crate::harness::{WorldBench, empty, network};

async fn set(bench: &WorldBench, rule: Value) {
    bench.tell("/faults", rule).await.expect(200);
}

fn table() -> Value {
    json!({ "location": "canadacentral" })
}

async fn exists(bench: &WorldBench) -> bool {
    bench.get(&network("routeTables/t")).await.status == 200
}

#[tokio::test]
async fn throttle_and_error_happen_instead_of_the_request() {
    let bench = empty().await;
    set(&bench, json!({ "fault": { "kind": "throttle", "retry_after": 7 } })).await;
    let throttled = bench.put(&network("routeTables/t"), table()).await.expect(429);
    assert_eq!(throttled.header("retry-after"), Some("7"));
    set(&bench, json!({ "fault": { "kind": "error", "status": 503 } })).await;
    bench.put(&network("routeTables/t"), table()).await.expect(503);
    assert!(!exists(&bench).await);
    set(&bench, json!({ "fault": { "kind": "error_after", "status": 500 } })).await;
    bench.put(&network("routeTables/t"), table()).await.expect(500);
    assert!(exists(&bench).await);
}

#[tokio::test]
async fn a_refused_request_has_no_effect_and_a_lost_reply_has() {
    let bench = empty().await;
    set(&bench, json!({ "fault": { "kind": "refuse" } })).await;
    assert!(bench.request(reqwest::Method::PUT, &network("routeTables/t")).json(&table()).send().await.is_err());
    assert!(!exists(&bench).await);
    set(&bench, json!({ "fault": { "kind": "lost_reply" } })).await;
    assert!(bench.request(reqwest::Method::PUT, &network("routeTables/t")).json(&table()).send().await.is_err());
    assert!(exists(&bench).await);
}

#[tokio::test]
async fn a_hang_holds_the_request_on_either_side_of_its_effect() {
    let bench = empty().await;
    for (kind, effect) in [("hang_before", false), ("hang_after", true)] {
        set(&bench, json!({ "fault": { "kind": kind } })).await;
        let path = network("routeTables/t");
        let put = bench.put(&path, table());
        let look = async {
            let holds = bench.world("/holds?wait=20").await;
            assert_eq!(holds[0]["after_effect"], json!(effect), "{holds}");
            assert_eq!(exists(&bench).await, effect, "{kind}");
            bench.tell("/holds/release", json!({})).await.expect(200)
        };
        let (put, released) = tokio::join!(put, look);
        assert_eq!(released.body["released"], 1);
        assert_eq!(put.status, 201);
        let deleted = bench.delete(&network("routeTables/t")).await;
        if deleted.status == 429 {
            bench.finish(&put).await;
        }
        let deleted = if deleted.status == 429 { bench.delete(&network("routeTables/t")).await } else { deleted };
        bench.finish(&deleted.expect(202)).await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_hold() {
    let bench = empty().await;
    set(&bench, json!({ "fault": { "kind": "hang_after" } })).await;
    let request = bench.request(reqwest::Method::PUT, &network("routeTables/t")).json(&table());
    let client = tokio::spawn(request.send());
    let mut count = bench.sim.shared().paused_requests().watch();
    hang_guard(count.wait_for(|count| *count == 1)).await.unwrap().unwrap();
    client.abort();
    hang_guard(count.wait_for(|count| *count == 0)).await.unwrap().unwrap();
    assert!(exists(&bench).await);
}

#[tokio::test]
async fn rules_count_mutating_requests_and_choose_by_path() {
    let bench = empty().await;
    set(&bench, json!({ "nth": 2, "path": "ROUTES/", "method": "PUT", "surface": "arm", "fault": { "kind": "error", "status": 500 } })).await;
    bench.made(&network("routeTables/t"), table()).await;
    let route = |prefix: &str| json!({ "properties": { "addressPrefix": prefix, "nextHopType": "None" } });
    bench.made(&network("routeTables/t/routes/a"), route("10.8.0.0/16")).await;
    bench.put(&network("routeTables/t/routes/b"), route("10.9.0.0/16")).await.expect(500);
    bench.put(&network("routeTables/t/routes/b"), route("10.9.0.0/16")).await.expect(201);
    let rules = bench.world("/faults").await;
    assert_eq!((&rules["rules"][0]["seen"], &rules["rules"][0]["fired"]), (&json!(3), &json!(1)));
}

#[tokio::test]
async fn polls_can_fail_while_the_operation_goes_on() {
    let bench = empty().await;
    set(
        &bench,
        json!({ "method": "GET", "path": "/operations/", "times": 2, "fault": { "kind": "error", "status": 502 } }),
    )
    .await;
    let put = bench.put(&network("routeTables/t"), table()).await.expect(201);
    let url = put.header("azure-asyncoperation").unwrap();
    bench.poll(url).await.expect(502);
    bench.poll(url).await.expect(502);
    assert_eq!(bench.finish(&put).await, "Succeeded");
}

#[tokio::test]
async fn slow_requests_and_operations_take_longer() {
    let bench = empty().await;
    set(&bench, json!({ "fault": { "kind": "slow", "ms": 200 } })).await;
    let before = Instant::now();
    bench.put(&network("routeTables/t"), table()).await.expect(201);
    assert!(before.elapsed() >= Duration::from_millis(200));
    set(&bench, json!({ "fault": { "kind": "operation_slow", "factor": 1e6 } })).await;
    let put = bench.put(&network("routeTables/u"), table()).await.expect(201);
    let status = bench.poll(put.header("azure-asyncoperation").unwrap()).await.expect(200);
    assert_eq!(status.body["status"], "InProgress");
    assert!(status.header("retry-after").is_some());
}

#[tokio::test]
async fn a_schedule_strikes_by_chance_up_to_its_limit() {
    let bench = empty().await;
    let schedule =
        json!({ "schedule": { "seed": 1, "rate": 1.0, "limit": 2, "faults": [{ "kind": "error", "status": 500 }] } });
    bench.tell("/faults", schedule).await.expect(204);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(bench.put(&network("routeTables/t"), table()).await.status);
    }
    assert_eq!(statuses, [500, 500, 201]);
    bench.control(Method::DELETE, "/faults").send().await.unwrap();
    assert_eq!(bench.world("/faults").await["schedule"], Value::Null);
}

#[tokio::test]
async fn an_unknown_fault_is_refused() {
    let bench = empty().await;
    bench.tell("/faults", json!({ "fault": { "kind": "gremlins" } })).await.expect(422);
}
