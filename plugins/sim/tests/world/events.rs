use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{compute, empty, machine, network, nic, open, with_network};

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_machine_is_announced_when_its_creation_is_done() {
    let bench = empty().await;
    with_network(&bench).await;
    bench.put(&network("networkInterfaces/n"), nic(&bench)).await.expect(201);
    let before = bench.latest();
    let put = bench.put(&compute("virtualMachines/m"), machine(&bench)).await.expect(201);
    bench.finish(&put).await;
    let events = bench.events(before);
    assert_eq!(types(&events), ["nic_changed", "machine_created"]);
    assert_eq!(events[0]["machine"], "m");
    let created = &events[1];
    assert_eq!(created["user_data"], "#cloud-config\n");
    assert_eq!(created["admin_user"], "ubuntu");
    assert_eq!(created["admin_keys"], json!(["ssh-ed25519 AAAA"]));
    assert_eq!(created["nics"][0]["private_ip"], "10.1.0.4");
    let before = bench.latest();
    let restart = bench.post(&compute("virtualMachines/m/restart"), json!({})).await.expect(202);
    bench.finish(&restart).await;
    let deleted = bench.delete(&compute("virtualMachines/m")).await.expect(202);
    bench.finish(&deleted).await;
    let events = bench.events(before);
    assert_eq!(types(&events), ["machine_restarted", "nic_changed", "machine_deleted"]);
    assert_eq!(events[1]["machine"], Value::Null);
}

#[tokio::test]
async fn routes_are_announced_once_per_subnet_when_they_are_in_force() {
    let bench = empty().await;
    with_network(&bench).await;
    bench.made(&network("routeTables/t"), json!({ "location": "canadacentral" })).await;
    let before = bench.latest();
    let associate = json!({ "properties": { "addressPrefix": "10.1.0.0/24", "routeTable": { "id": bench.network_id("routeTables/t") } } });
    bench.made(&network("virtualNetworks/v/subnets/s"), associate).await;
    assert_eq!(bench.events(before), Vec::<Value>::new(), "an empty table changes no route");
    let route = json!({ "properties": { "addressPrefix": "10.50.0.0/16", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.1.0.4" } });
    bench.made(&network("routeTables/t/routes/r"), route).await;
    let events = bench.events(before);
    assert_eq!(types(&events), ["routes_changed"]);
    assert_eq!(
        events[0]["routes"],
        json!([{ "prefix": "10.50.0.0/16", "next_hop_type": "VirtualAppliance", "next_hop": "10.1.0.4" }])
    );
    assert_eq!(events[0]["subnet_prefix"], "10.1.0.0/24");
    let before = bench.latest();
    bench
        .made(&network("virtualNetworks/v/subnets/s"), json!({ "properties": { "addressPrefix": "10.1.0.0/24" } }))
        .await;
    assert_eq!(bench.events(before)[0]["routes"], json!([]));
}

#[tokio::test]
async fn forwarding_is_announced_and_so_is_the_end_of_a_nic() {
    let bench = empty().await;
    with_network(&bench).await;
    bench.put(&network("networkInterfaces/n"), nic(&bench)).await.expect(201);
    let before = bench.latest();
    let mut body = nic(&bench);
    body["properties"]["enableIPForwarding"] = json!(true);
    bench.put(&network("networkInterfaces/n"), body.clone()).await.expect(200);
    bench.put(&network("networkInterfaces/n"), body).await.expect(200);
    let deleted = bench.delete(&network("networkInterfaces/n")).await.expect(202);
    bench.finish(&deleted).await;
    let events = bench.events(before);
    assert_eq!(types(&events), ["nic_changed", "nic_deleted"]);
    assert_eq!(events[0]["ip_forwarding"], true);
}

#[tokio::test]
async fn the_stream_stays_open_and_goes_on() {
    let bench = open().await;
    let response = bench.control(Method::GET, "/events?after=0&follow=1").send().await.unwrap();
    let mut stream = response.bytes_stream();
    let first: Value = serde_json::from_slice(&stream.next().await.unwrap().unwrap()).unwrap();
    assert_eq!(
        (&first["seq"], &first["type"], &first["name"]),
        (&json!(1), &json!("network_changed"), &json!("aks-vnet-11486953"))
    );
    bench.put("/resourcegroups/g", json!({ "location": "canadacentral" })).await.expect(201);
    with_network(&bench).await;
    let second: Value = serde_json::from_slice(&stream.next().await.unwrap().unwrap()).unwrap();
    assert_eq!((&second["seq"], &second["name"]), (&json!(2), &json!("v")));
    let text = bench.control(Method::GET, "/events?after=1").send().await.unwrap().text().await.unwrap();
    assert_eq!(text.lines().count(), 1);
}
