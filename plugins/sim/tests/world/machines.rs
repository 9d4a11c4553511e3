use serde_json::json;

use crate::harness::{WorldBench, compute, empty, machine, network, nic, with_network};

async fn with_machine(bench: &WorldBench) {
    with_network(bench).await;
    bench.put(&network("networkInterfaces/n"), nic(bench)).await.expect(201);
    bench.made(&compute("virtualMachines/m"), machine(bench)).await;
}

#[tokio::test]
async fn a_machine_is_creating_then_succeeded_and_counts_its_etag() {
    let bench = empty().await;
    with_network(&bench).await;
    bench.put(&network("networkInterfaces/n"), nic(&bench)).await.expect(201);
    let path = compute("virtualMachines/m");
    let put = bench.put(&path, machine(&bench)).await.expect(201);
    assert_eq!((put.state(), put.header("etag")), ("Creating", Some("\"1\"")));
    assert!(
        put.header("azure-asyncoperation")
            .unwrap()
            .contains("/providers/Microsoft.Compute/locations/canadacentral/operations/")
    );
    bench.finish(&put).await;
    let read = bench.get(&path).await.expect(200);
    assert_eq!((read.state(), read.header("etag")), ("Succeeded", Some("\"2\"")));
    assert!(!read.body.to_string().contains("customData"), "custom data is never shown");
    let again = bench.put(&path, machine(&bench)).await.expect(200);
    assert_eq!(again.header("etag"), Some("\"3\""));
    assert!(again.header("azure-asyncoperation").is_none());
    let stale = bench.request(reqwest::Method::DELETE, &path).header("If-Match", "\"1\"");
    let refused = crate::harness::got(stale.send().await.unwrap()).await.refused(412, "PreconditionFailed");
    assert_eq!(
        refused.body["error"]["message"],
        "Etag provided in if-match header \"1\" does not match etag \"3\" of resource."
    );
}

#[tokio::test]
async fn a_machine_has_its_nic_and_disk_and_leaves_them_behind() {
    let bench = empty().await;
    with_machine(&bench).await;
    let nic = bench.get(&network("networkInterfaces/n")).await.body;
    assert!(nic["properties"]["virtualMachine"]["id"].as_str().unwrap().ends_with("/virtualMachines/m"));
    assert!(nic["properties"]["macAddress"].as_str().unwrap().starts_with("00-0D-3A-"));
    bench.delete(&network("networkInterfaces/n")).await.refused(400, "NicInUse");
    let deleted = bench.delete(&compute("virtualMachines/m")).await.expect(202);
    let location = deleted.header("location").unwrap();
    assert!(location.contains("&monitor=true"));
    bench.finish_location(location).await.expect(200);
    bench.get(&compute("virtualMachines/m")).await.expect(404);
    bench.delete(&compute("virtualMachines/m")).await.expect(204);
    let disks = bench.get(&compute("disks")).await.body;
    assert_eq!(disks["value"][0]["properties"]["diskState"], "Unattached", "deleteOption is Detach unless said");
    let gone = bench.delete(&network("networkInterfaces/n")).await.expect(202);
    assert!(gone.header("azure-asyncoperation").is_some());
    bench.finish_location(gone.header("location").unwrap()).await.expect(204);
}

#[tokio::test]
async fn power_changes_are_operations() {
    let bench = empty().await;
    with_machine(&bench).await;
    let power = async || {
        let view = bench.get(&compute("virtualMachines/m/instanceView")).await.expect(200).body;
        view["statuses"][1]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(power().await, "PowerState/running");
    let stop = bench.post(&compute("virtualMachines/m/deallocate"), json!({})).await.expect(202);
    bench.finish(&stop).await;
    assert_eq!(power().await, "PowerState/deallocated");
    let start = bench.post(&compute("virtualMachines/m/start"), json!({})).await.expect(202);
    bench.finish(&start).await;
    assert_eq!(power().await, "PowerState/running");
    let shown = bench.get(&format!("{}?$expand=instanceView", compute("virtualMachines/m"))).await.body;
    assert_eq!(shown["properties"]["instanceView"]["vmAgent"]["statuses"][0]["displayStatus"], "Ready");
    bench
        .post(&compute("virtualMachines/m/runCommand"), json!({ "commandId": "RunShellScript" }))
        .await
        .refused(409, "OperationNotAllowed");
}

#[tokio::test]
async fn what_a_machine_was_born_with_cannot_change() {
    let bench = empty().await;
    with_machine(&bench).await;
    let path = compute("virtualMachines/m");
    for (pointer, value) in [
        ("/properties/osProfile/customData", "QQ=="),
        ("/properties/osProfile/adminUsername", "other"),
        ("/properties/storageProfile/imageReference/offer", "other"),
    ] {
        let mut body = machine(&bench);
        *body.pointer_mut(pointer).unwrap() = json!(value);
        bench.put(&path, body).await.refused(409, "PropertyChangeNotAllowed");
    }
    let mut without = machine(&bench);
    without["properties"]["osProfile"].as_object_mut().unwrap().remove("customData");
    bench.put(&path, without).await.expect(200);
}

#[tokio::test]
async fn a_body_must_be_whole() {
    let bench = empty().await;
    with_network(&bench).await;
    bench.put(&network("networkInterfaces/n"), nic(&bench)).await.expect(201);
    for (pointer, key) in [
        ("/properties", "networkProfile"),
        ("/properties", "storageProfile"),
        ("/properties", "osProfile"),
        ("/properties/storageProfile/osDisk", "createOption"),
        ("/properties/osProfile", "linuxConfiguration"),
    ] {
        let mut body = machine(&bench);
        body.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
        bench.put(&compute("virtualMachines/m"), body).await.refused(400, "InvalidParameter");
    }
    let mut body = machine(&bench);
    body["properties"]["osProfile"]["customData"] = json!("not base64!");
    bench.put(&compute("virtualMachines/m"), body).await.refused(400, "InvalidParameter");
}

#[tokio::test]
async fn a_disk_is_202_and_its_operation_carries_it() {
    let bench = empty().await;
    let body = json!({ "location": "canadacentral", "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 30 } });
    let put = bench.put(&compute("disks/d"), body).await.expect(202);
    let url = put.header("azure-asyncoperation").unwrap().to_owned();
    assert!(url.contains("/DiskOperations/"));
    assert!(put.header("location").unwrap().contains("monitor=true"));
    bench.finish(&put).await;
    let status = bench.poll(&url).await.expect(200).body;
    assert_eq!(status["properties"]["output"]["properties"]["diskState"], "Unattached");
}
