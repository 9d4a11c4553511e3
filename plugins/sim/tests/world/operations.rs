use reqwest::Method;
use serde_json::json;

use crate::harness::{NODES, compute, empty, got, network, open};

#[tokio::test]
async fn an_operation_url_is_long_signed_and_good_only_verbatim() {
    let bench = empty().await;
    let put = bench.put(&network("routeTables/t"), json!({ "location": "canadacentral" })).await.expect(201);
    let url = put.header("azure-asyncoperation").unwrap();
    assert!(url.len() > 3000, "{}", url.len());
    bench.poll(url).await.expect(200);
    bench.poll(&url[..url.len() - 1]).await.expect(404);
    bench.poll(&url.replace("api-version=2024-01-01", "api-version=2024-03-01")).await.expect(404);
    bench.poll(url.split("&t=").next().unwrap()).await.expect(404);
    bench.finish(&put).await;
    bench.tell("/operations/expire", json!({})).await.expect(204);
    bench.poll(url).await.expect(404);
    assert_eq!(bench.get(&network("routeTables/t")).await.state(), "Succeeded");
}

#[tokio::test]
async fn a_delete_has_both_headers_and_an_absent_resource_is_204() {
    let bench = empty().await;
    bench.made(&network("routeTables/t"), json!({ "location": "canadacentral" })).await;
    let deleted = bench.delete(&network("routeTables/t")).await.expect(202);
    let location = deleted.header("location").unwrap();
    assert!(location.contains("/operationResults/"));
    assert_eq!(bench.finish(&deleted).await, "Succeeded");
    bench.poll(location).await.expect(204);
    bench.delete(&network("routeTables/t")).await.expect(204);
    let absent = bench.request(Method::DELETE, &network("routeTables/t")).header("If-Match", "W/\"x\"");
    got(absent.send().await.unwrap()).await.expect(204);
}

#[tokio::test]
async fn a_group_is_deleted_with_location_alone_and_takes_all_with_it() {
    let bench = open().await;
    let group = "/resourcegroups/stargate-aks-e2e-7";
    let deleted = bench.delete(group).await.expect(202);
    assert!(deleted.header("azure-asyncoperation").is_none());
    let location = deleted.header("location").unwrap().to_owned();
    assert!(location.contains("/operationresults/eyJqb2JJZCI6"), "{location}");
    assert_eq!(bench.get(group).await.state(), "Deleting");
    bench
        .put(
            "/resourceGroups/stargate-aks-e2e-7/providers/Microsoft.Network/routeTables/t",
            json!({ "location": "canadacentral" }),
        )
        .await
        .refused(409, "ResourceGroupBeingDeleted");
    let done = bench.finish_location(&location).await.expect(200);
    assert_eq!(done.body, json!(""));
    bench.get(group).await.refused(404, "ResourceGroupNotFound");
    bench.get(&format!("/resourcegroups/{NODES}")).await.refused(404, "ResourceGroupNotFound");
    let head = bench.request(Method::HEAD, group).send().await.unwrap();
    assert_eq!(head.status(), 404);
}

#[tokio::test]
async fn groups_answer_at_once() {
    let bench = empty().await;
    let again =
        bench.put("/resourcegroups/g", json!({ "location": "canadacentral", "tags": { "a": "b" } })).await.expect(200);
    assert_eq!(again.state(), "Succeeded");
    assert_eq!(bench.request(Method::HEAD, "/resourcegroups/G").send().await.unwrap().status(), 204);
    let patched = bench.request(Method::PATCH, "/resourcegroups/g").json(&json!({ "tags": { "c": "d" } }));
    assert_eq!(got(patched.send().await.unwrap()).await.expect(200).body["tags"], json!({ "c": "d" }));
    bench.put("/resourcegroups/g", json!({ "location": "eastus" })).await.refused(409, "InvalidResourceGroupLocation");
    let listed = bench.get("/resourcegroups").await.expect(200).body;
    assert_eq!(listed["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_cluster_has_operation_urls_of_another_version_and_pages_its_list() {
    let bench = empty().await;
    let clusters = "/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters";
    let body = json!({ "location": "canadacentral", "properties": { "dnsPrefix": "c", "agentPoolProfiles": [{ "name": "np", "count": 1, "vmSize": "Standard_D2s_v5", "mode": "System" }] } });
    for name in ["a", "b", "c"] {
        let put = bench.put(&format!("{clusters}/{name}?api-version=2024-05-01"), body.clone()).await.expect(201);
        assert_eq!(put.state(), "Creating");
        assert!(put.header("azure-asyncoperation").unwrap().contains("api-version=2017-08-31"));
        assert!(put.body["id"].as_str().unwrap().contains("/resourcegroups/"));
        bench.finish(&put).await;
    }
    let first = bench.get(clusters).await.expect(200).body;
    let next = first["nextLink"].as_str().unwrap();
    let second = bench.poll(next).await.expect(200).body;
    assert_eq!((first["value"].as_array().unwrap().len(), second["value"].as_array().unwrap().len()), (2, 1));
    let pools = bench.get(&format!("{clusters}/a/agentPools")).await.expect(200).body;
    assert_eq!(pools["value"][0]["properties"]["count"], 1);
    let vnets = bench
        .get("/resourceGroups/MC_g_a_canadacentral/providers/Microsoft.Network/virtualNetworks")
        .await
        .expect(200)
        .body;
    assert_eq!(vnets["value"].as_array().unwrap().len(), 1);
    let deleted = bench.delete(&format!("{clusters}/a")).await.expect(202);
    assert!(deleted.header("location").unwrap().contains("/operationresults/"));
    bench.finish(&deleted).await;
    bench.get("/resourcegroups/MC_g_a_canadacentral").await.expect(404);
}

#[tokio::test]
async fn an_operation_that_fails_says_why_and_the_resource_is_failed() {
    let bench = empty().await;
    bench
        .tell("/faults", json!({ "fault": { "kind": "operation_failed", "code": "AllocationFailed" } }))
        .await
        .expect(200);
    let put = bench.put(&network("routeTables/t"), json!({ "location": "canadacentral" })).await.expect(201);
    assert_eq!(bench.finish(&put).await, "Failed");
    let status = bench.poll(put.header("azure-asyncoperation").unwrap()).await.expect(200).body;
    assert_eq!(status["error"]["code"], "AllocationFailed");
    assert_eq!(bench.get(&network("routeTables/t")).await.state(), "Failed");
    let again = bench.put(&network("routeTables/t"), json!({ "location": "canadacentral" })).await.expect(200);
    assert_eq!(bench.finish(&again).await, "Succeeded");
}

#[tokio::test]
async fn every_answer_has_the_headers_of_arm() {
    let bench = empty().await;
    let read = bench
        .request(Method::GET, &compute("virtualMachines"))
        .header("x-ms-client-request-id", "abc")
        .header("x-ms-return-client-request-id", "true");
    let read = got(read.send().await.unwrap()).await.expect(200);
    for name in [
        "x-ms-request-id",
        "x-ms-correlation-request-id",
        "x-ms-routing-request-id",
        "x-ms-ratelimit-remaining-subscription-global-reads",
    ] {
        assert!(read.header(name).is_some(), "{name}");
    }
    assert_eq!(read.header("x-ms-client-request-id"), Some("abc"));
}
