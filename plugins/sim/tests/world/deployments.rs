use serde_json::{Value, json};

use crate::hang_guard::hang_guard;
use crate::harness::{Got, WorldBench, compute, empty, machine, network, nic, with_network};

const PATH: &str = "/resourcegroups/g/providers/Microsoft.Resources/deployments/d";

fn deployment(resources: &Value) -> Value {
    let template = json!({ "contentVersion": "1.0.0.0", "resources": resources });
    json!({ "properties": { "mode": "incremental", "template": template, "parameters": {} } })
}

fn resource(kind: &str, name: &str, mut body: Value, needs: &[&str]) -> Value {
    body["type"] = json!(kind);
    body["name"] = json!(name);
    body["apiVersion"] = json!("2024-03-02");
    body["dependsOn"] = json!(needs);
    body
}

/// Follows the deployment's operation to its end.
async fn ended(bench: &WorldBench, put: &Got) -> Value {
    let end = hang_guard(async {
        loop {
            let poll = bench.poll(put.header("azure-asyncoperation").unwrap()).await.expect(200).body;
            if poll["status"] != "Running" {
                return poll;
            }
            tokio::task::yield_now().await;
        }
    });
    end.await.unwrap()
}

#[tokio::test]
async fn a_machine_is_made_after_the_nic_that_it_needs() {
    let bench = empty().await;
    with_network(&bench).await;
    let resources = json!([
        resource("Microsoft.Compute/virtualMachines", "m", machine(&bench), &["Microsoft.Network/networkInterfaces/n"]),
        resource("Microsoft.Network/networkInterfaces", "n", nic(&bench), &[]),
    ]);
    let put = bench.put(PATH, deployment(&resources)).await.expect(201);
    assert_eq!(put.state(), "Accepted");
    assert_eq!(ended(&bench, &put).await, json!({ "status": "Succeeded" }));
    assert_eq!(bench.get(&compute("virtualMachines/m")).await.expect(200).state(), "Succeeded");
    let shown = bench.get(PATH).await.expect(200);
    assert_eq!(shown.state(), "Succeeded");
    assert_eq!(shown.body["properties"]["outputResources"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        bench.get("/resourcegroups/g/providers/Microsoft.Resources/deployments").await.body["value"][0]["name"],
        "d"
    );
}

#[tokio::test]
async fn a_deployment_fails_with_what_the_provider_said() {
    let bench = empty().await;
    let resources = json!([resource("Microsoft.Compute/virtualMachines", "m", machine(&bench), &[])]);
    let put = bench.put(PATH, deployment(&resources)).await.expect(201);
    let status = ended(&bench, &put).await;
    assert_eq!(status["status"], "Failed");
    assert_eq!(status["error"]["code"], "DeploymentFailed");
    assert_eq!(status["error"]["details"][0]["code"], "InvalidResourceReference");
    assert_eq!(bench.get(PATH).await.expect(200).body["properties"]["error"], status["error"]);
}

#[tokio::test]
async fn a_deployment_waits_for_another_write_and_is_not_replaced_meanwhile() {
    let bench = empty().await;
    let table = json!({ "location": "canadacentral" });
    // Slow until the deployment has been refused, so that the first write is still in progress on a
    // loaded machine.
    let speed = std::mem::replace(&mut bench.sim.shared().lock().arm.speed, 1.0);
    let first = bench.put(&network("routeTables/t"), table.clone()).await.expect(201);
    let mut changed = table;
    changed["tags"] = json!({ "a": "b" });
    let body = deployment(&json!([resource("Microsoft.Network/routeTables", "t", changed, &[])]));
    let put = bench.put(PATH, body.clone()).await.expect(201);
    bench.put(PATH, body).await.refused(409, "DeploymentActive");
    bench.sim.shared().lock().arm.speed = speed;
    bench.finish(&first).await;
    assert_eq!(ended(&bench, &put).await["status"], "Succeeded");
    assert_eq!(bench.get(&network("routeTables/t")).await.body["tags"], json!({ "a": "b" }));
}

#[tokio::test]
async fn what_is_no_deployment_is_refused() {
    let bench = empty().await;
    bench.get(PATH).await.refused(404, "DeploymentNotFound");
    bench.put(PATH, json!({ "properties": { "mode": "Incremental" } })).await.refused(400, "InvalidTemplate");
    bench.put(PATH, json!({ "properties": { "mode": "Complete" } })).await.refused(400, "InvalidRequestContent");
    let unknown = json!([resource("Microsoft.Network/nothings", "x", json!({}), &[])]);
    bench.put(PATH, deployment(&unknown)).await.refused(400, "InvalidTemplate");
    bench.put(PATH, deployment(&json!([]))).await.expect(201);
    assert_eq!(bench.get(PATH).await.expect(200).state(), "Succeeded");
    bench.delete(PATH).await.expect(204);
    bench.get(PATH).await.refused(404, "DeploymentNotFound");
}

#[tokio::test]
async fn images_are_listed_and_shown() {
    let bench = empty().await;
    let of = |offer: &str| {
        format!(
            "/providers/Microsoft.Compute/locations/canadacentral/publishers/Canonical/artifacttypes/vmimage/offers/{offer}"
        )
    };
    let versions = format!("{}/skus/22_04-lts-gen2/versions", of("0001-com-ubuntu-server-jammy"));
    let listed = bench.get(&versions).await.expect(200).body;
    let shown = bench.get(&format!("{versions}/{}", listed[0]["name"].as_str().unwrap())).await.expect(200).body;
    assert_eq!(shown["properties"]["hyperVGeneration"], "V2");
    bench.get(&format!("{versions}/0.0.1")).await.refused(404, "NotFound");
    bench.get(&format!("{}/skus/x/versions", of("y"))).await.refused(404, "NotFound");
}

#[tokio::test]
async fn an_old_api_version_has_no_members_that_came_later() {
    let bench = empty().await;
    with_network(&bench).await;
    bench.made(&network("networkInterfaces/n"), nic(&bench)).await;
    let path = network("networkInterfaces/n");
    let old = bench.get(&path).await.expect(200).body;
    let new = bench.get(&format!("{path}?api-version=2025-05-01")).await.expect(200).body;
    assert_eq!((&old["kind"], &new["kind"]), (&Value::Null, &json!("Regular")));
    assert!(old["properties"].get("allowPort25Out").is_none(), "{old}");
}
