use serde_json::json;
use stargate_sim::Scenario;

use crate::hang_guard::hang_guard;
use crate::harness::{compute, empty, machine, network, nic, open_in, with_network};

#[tokio::test]
async fn a_world_goes_on_where_it_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("world.json");
    let again = file.clone();
    let bench = open_in(dir, |options| {
        options.state_file = Some(file);
        options.scenario = Scenario::Empty;
        options.speed = 1.0;
    })
    .await;
    bench.put("/resourcegroups/g", json!({ "location": "canadacentral" })).await.expect(201);
    let put = bench.put(&network("routeTables/t"), json!({ "location": "canadacentral" })).await.expect(201);
    let url = put.header("azure-asyncoperation").unwrap().to_owned();
    let (old, events) = (bench.sim.http_url(), bench.latest());
    let (sim, dir) = (bench.sim, bench.dir);
    let token = sim.token().to_owned();
    sim.shutdown().await.unwrap();
    let bench = open_in(dir, |options| options.state_file = Some(again)).await;
    let url = url.replace(&old, &bench.sim.http_url());
    let request = bench.client.get(&url).bearer_auth(token);
    assert_eq!(request.send().await.unwrap().status(), 200, "operation URLs and tokens outlive the process");
    let read = bench.get(&network("routeTables/t")).await.expect(200);
    assert!(matches!(read.state(), "Updating" | "Succeeded"));
    assert_eq!(bench.latest(), events);
    assert_eq!(bench.world("/counters").await["surfaces"]["arm"]["methods"]["PUT"], 2);
}

#[tokio::test]
async fn the_state_file_follows_the_world_while_it_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("world.json");
    let kept = file.clone();
    let bench = open_in(dir, |options| options.state_file = Some(kept)).await;
    bench.put("/resourcegroups/written", json!({ "location": "canadacentral" })).await.expect(201);
    let seen = async {
        while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("written")) {
            tokio::task::yield_now().await;
        }
    };
    hang_guard(seen).await.unwrap();
}

#[tokio::test]
async fn the_same_seed_gives_the_same_identifiers() {
    let mut guids = Vec::new();
    for _ in 0..2 {
        let bench = empty().await;
        with_network(&bench).await;
        bench.put(&network("networkInterfaces/n"), nic(&bench)).await.expect(201);
        let machine = bench.made(&compute("virtualMachines/m"), machine(&bench)).await;
        guids.push(machine["properties"]["vmId"].clone());
    }
    assert_eq!(guids[0], guids[1]);
}
