use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{compute, empty, machine, network, nic, open, with_network};

#[tokio::test]
async fn counters_tell_writes_from_reads_and_start_again() {
    let bench = empty().await;
    bench.control(Method::POST, "/reset-counters").send().await.unwrap();
    bench.made(&network("routeTables/t"), json!({ "location": "canadacentral" })).await;
    let counters = bench.world("/counters").await;
    assert_eq!(counters["mutating"], 1);
    assert_eq!(counters["surfaces"]["arm"]["methods"]["PUT"], 1);
    assert!(counters["surfaces"]["arm"]["total"].as_u64().unwrap() > 1);
    bench.control(Method::POST, "/reset-counters").send().await.unwrap();
    bench.get(&network("routeTables/t")).await.expect(200);
    assert_eq!(bench.world("/counters").await["mutating"], 0);
}

#[tokio::test]
async fn credentials_and_tokens_do_not_count_as_writes() {
    let bench = open().await;
    let path = "/resourceGroups/stargate-aks-e2e-7/providers/Microsoft.ContainerService/managedClusters/stargate-aks-e2e-7/listClusterAdminCredential";
    bench.post(path, json!({})).await.expect(200);
    let form = [("grant_type", "client_credentials"), ("client_id", "c"), ("client_secret", "stargate-sim-secret")];
    bench.client.post(format!("{}/t/oauth2/v2.0/token", bench.sim.http_url())).form(&form).send().await.unwrap();
    assert_eq!(bench.world("/counters").await["mutating"], 0);
}

#[tokio::test]
async fn the_request_log_has_no_secrets() {
    let bench = empty().await;
    with_network(&bench).await;
    bench.put(&network("networkInterfaces/n"), nic(&bench)).await.expect(201);
    let made = bench.put(&compute("virtualMachines/m"), machine(&bench)).await.expect(201);
    bench.finish(&made).await;
    let form = [("grant_type", "client_credentials"), ("client_id", "c"), ("client_secret", "stargate-sim-secret")];
    bench.client.post(format!("{}/t/oauth2/v2.0/token", bench.sim.http_url())).form(&form).send().await.unwrap();
    let log = bench.world("/requests").await.to_string();
    let signature = made.header("azure-asyncoperation").unwrap().split("&s=").nth(1).unwrap()[..40].to_owned();
    for secret in ["I2Nsb3VkLWNvbmZpZwo=", "stargate-sim-secret", bench.sim.token(), signature.as_str()] {
        assert!(!log.contains(secret), "{secret}");
    }
    assert!(log.contains("virtualMachines/m") && log.contains("Standard_D2s_v5"));
    let writes = bench.world("/requests?mutating=true&surface=arm").await;
    assert!(
        writes.as_array().unwrap().iter().all(|request| request["method"] == "PUT" && request["status"].is_number())
    );
}

#[tokio::test]
async fn somebody_else_changes_the_world_past_counters_and_faults() {
    let bench = empty().await;
    bench.control(Method::POST, "/reset-counters").send().await.unwrap();
    bench.tell("/faults", json!({ "fault": { "kind": "refuse" } })).await.expect(200);
    let path = format!("{}{}?api-version=2024-01-01", bench.subscription(), network("routeTables/theirs"));
    bench
        .tell("/drift", json!({ "method": "PUT", "path": path, "body": { "location": "canadacentral" } }))
        .await
        .expect(201);
    bench.get(&network("routeTables/theirs")).await.expect(200);
    assert_eq!(bench.world("/counters").await["mutating"], 0);
}

#[tokio::test]
async fn health_state_and_shutdown() {
    let bench = empty().await;
    assert_eq!(bench.world("/health").await["status"], "ok");
    let state = bench.world("/state").await;
    assert_ne!(state["arm"]["groups"]["g"], Value::Null);
    bench.tell("/shutdown", json!({})).await.expect(202);
    bench.sim.stopped().await;
    bench.sim.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_instructions_name_every_way_in() {
    let bench = open().await;
    let text = stargate_sim::instructions(&bench.sim);
    for part in [
        bench.sim.https_url(),
        bench.sim.ca_file().display().to_string(),
        "az cloud register".to_owned(),
        "ssh -F".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}");
    }
}
