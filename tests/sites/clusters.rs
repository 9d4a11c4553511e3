//! Two clusters in one virtual network, in one resource group.

use serde_json::{Value, json};
use stargate_sim::Sim;

use crate::{
    deployment::{failures, output, prefixes},
    inputs::{self, CLUSTER, NODE_GROUP, WorldFacts},
    outside,
    world::Harness,
};

const NETWORK: &str = "virtualNetworks/aks-vnet-11486953";
/// Resources of the other cluster's deployment.
const OTHERS: [&str; 5] = [
    "routeTables/stargate-workers-rt",
    "routeTables/stargate-router-rt",
    "networkSecurityGroups/other-router-nsg",
    "virtualNetworks/aks-vnet-11486953/subnets/other-nodes",
    "virtualNetworks/aks-vnet-11486953/subnets/stargate-aks-router-subnet",
];

fn id(sim: &Sim, resource: &str) -> Value {
    let path = outside::network(sim, NODE_GROUP, resource);
    json!({ "id": path.split('?').next().unwrap() })
}

async fn put(sim: &Sim, resource: &str, body: Value) {
    outside::change_azure(sim, "PUT", &outside::network(sim, NODE_GROUP, resource), body).await;
}

/// Creates what the deployment of another cluster has in the network, under the names of the first
/// cluster. Its datacenter has the prefixes that are the default.
async fn deploy_other_cluster(sim: &Sim) {
    let route = |name: &str, prefix: &str, hop: &str| {
        let properties = json!({ "addressPrefix": prefix, "nextHopType": "VirtualAppliance", "nextHopIpAddress": hop });
        json!({ "name": name, "properties": properties })
    };
    let nodes = [
        route("stargate-other-10.50.1.0-24", "10.50.1.0/24", "10.229.7.4"),
        route("stargate-other-10.244.64.0-18", "10.244.64.0/18", "10.229.7.4"),
        route("stargate-10.77.0.0-16", "10.77.0.0/16", "10.229.7.4"),
    ];
    let router = [route("stargate-other-10.244.0.0-24", "10.244.0.0/24", "10.230.0.4")];
    let table = |routes: &[Value]| json!({ "location": "canadacentral", "properties": { "routes": routes } });
    put(sim, OTHERS[0], table(&nodes)).await;
    put(sim, OTHERS[1], table(&router)).await;
    put(sim, OTHERS[2], json!({ "location": "canadacentral", "properties": {} })).await;
    let subnet = |prefix: &str, table: &str| {
        json!({ "properties": { "addressPrefix": prefix, "routeTable": id(sim, table),
            "networkSecurityGroup": id(sim, OTHERS[2]) } })
    };
    put(sim, OTHERS[3], subnet("10.230.0.0/24", OTHERS[0])).await;
    put(sim, OTHERS[4], subnet("10.229.7.0/24", OTHERS[1])).await;
}

/// Returns the other cluster's resources, without what Azure counts.
async fn others(sim: &Sim) -> Vec<Value> {
    let mut all = vec![];
    for resource in OTHERS {
        let mut body = outside::read_azure(sim, &outside::network(sim, NODE_GROUP, resource)).await;
        body.as_object_mut().unwrap().remove("etag");
        all.push(body);
    }
    all
}

#[tokio::test]
async fn two_clusters_in_a_network_do_not_touch_each_other() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    deploy_other_cluster(&harness.sim).await;
    let before = others(&harness.sim).await;
    let mut inputs = inputs::of("provision-aks-router", &WorldFacts::of(&harness.sim).await);
    // The second prefix contains the cluster's own network, whose routes are narrower.
    inputs.insert("datacenter_prefixes".into(), json!(["10.60.0.0/16", "10.0.0.0/8"]));
    let code = harness.run_with_inputs(&["run", "workflow"], "provision-aks-router", &inputs).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    for workflow in ["provision-dc", "sync-pod-routes"] {
        harness.run_to_success(workflow).await;
    }
    assert_eq!(others(&harness.sim).await, before);

    let (node_table, router_table) =
        (format!("stargate-{CLUSTER}-workers-rt"), format!("stargate-{CLUSTER}-router-rt"));
    let routes = prefixes(&harness.sim, NODE_GROUP, &node_table).await;
    assert_eq!(
        routes,
        ["10.60.0.0/16", "10.0.0.0/8", "10.50.1.0/24", "10.244.64.0/18"],
        "a prefix of a datacenter that is no site stays"
    );
    assert_eq!(prefixes(&harness.sim, NODE_GROUP, &router_table).await, ["10.244.0.0/24", "10.244.1.0/24"]);
    for (subnet, table) in [("aks-subnet", node_table), (&*format!("stargate-{CLUSTER}-router-subnet"), router_table)] {
        let subnet = outside::network(&harness.sim, NODE_GROUP, &format!("{NETWORK}/subnets/{subnet}"));
        let subnet = outside::read_azure(&harness.sim, &subnet).await;
        let id = subnet["properties"]["routeTable"]["id"].as_str().unwrap();
        assert!(id.ends_with(&format!("/{table}")), "{id}");
    }

    let writes = harness.sim.shared().peek().traffic.mutating();
    let code = harness.run_with_inputs(&["run", "workflow"], "provision-aks-router", &inputs).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    harness.run_to_success("sync-pod-routes").await;
    assert_eq!(
        harness.sim.shared().peek().traffic.mutating(),
        writes,
        "a second run writes nothing: {}",
        output(&harness)
    );
}

/// A cluster that was deployed first keeps its names when another one comes.
#[tokio::test]
async fn the_first_cluster_keeps_its_names_next_to_a_second_one() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    for workflow in ["provision-aks-router", "provision-dc"] {
        harness.run_to_success(workflow).await;
    }
    let sim = &harness.sim;
    let table = json!({ "location": "canadacentral", "properties": { "routes": [] } });
    put(sim, "routeTables/stargate-other-workers-rt", table.clone()).await;
    put(sim, "routeTables/stargate-other-router-rt", table).await;
    for (subnet, prefix, table) in [
        ("other-nodes", "10.230.0.0/24", "stargate-other-workers-rt"),
        ("stargate-other-router-subnet", "10.231.0.0/24", "stargate-other-router-rt"),
    ] {
        let table = id(sim, &format!("routeTables/{table}"));
        let body = json!({ "properties": { "addressPrefix": prefix, "routeTable": table } });
        put(sim, &format!("{NETWORK}/subnets/{subnet}"), body).await;
    }
    let writes = sim.shared().peek().traffic.mutating();
    for workflow in ["provision-aks-router", "provision-dc", "sync-pod-routes"] {
        harness.run_to_success(workflow).await;
        assert_eq!(harness.sim.shared().peek().traffic.mutating(), writes, "{workflow} writes nothing");
    }
}

/// The cluster of another network in the resource group has the names of the first cluster.
#[tokio::test]
async fn clusters_of_two_networks_in_a_resource_group_do_not_share_tables() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    let sim = &harness.sim;
    let route = json!({ "name": "stargate-other-10.244.0.0-24", "properties": { "addressPrefix": "10.244.0.0/24",
        "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.230.0.4" } });
    put(sim, OTHERS[1], json!({ "location": "canadacentral", "properties": { "routes": [route] } })).await;
    let network = json!({ "location": "canadacentral", "properties": { "addressSpace": { "addressPrefixes": ["10.230.0.0/16"] },
        "subnets": [{ "name": "stargate-aks-router-subnet", "properties": {
            "addressPrefix": "10.230.0.0/24", "routeTable": id(sim, OTHERS[1]) } }] } });
    put(sim, "virtualNetworks/other", network).await;
    for workflow in ["provision-aks-router", "provision-dc", "sync-pod-routes"] {
        harness.run_to_success(workflow).await;
    }
    let own = format!("stargate-{CLUSTER}-router-rt");
    assert_eq!(prefixes(&harness.sim, NODE_GROUP, "stargate-router-rt").await, ["10.244.0.0/24"]);
    assert_eq!(prefixes(&harness.sim, NODE_GROUP, &own).await, ["10.244.0.0/24", "10.244.1.0/24"]);
    let writes = harness.sim.shared().peek().traffic.mutating();
    harness.run_to_success("provision-aks-router").await;
    assert_eq!(harness.sim.shared().peek().traffic.mutating(), writes);
}

/// Two clusters whose nodes share a subnet share its route table.
#[tokio::test]
async fn a_narrower_route_of_another_cluster_is_named_and_stays() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    for workflow in ["provision-aks-router", "provision-dc"] {
        harness.run_to_success(workflow).await;
    }
    let (table, name) = ("routeTables/stargate-workers-rt", "stargate-other-10.244.64.0-20");
    let properties = json!({ "addressPrefix": "10.244.64.0/20", "nextHopType": "VirtualAppliance",
        "nextHopIpAddress": "10.237.0.200" });
    put(&harness.sim, &format!("{table}/routes/{name}"), json!({ "properties": properties })).await;
    let (code, words) = crate::deployment::sync(&mut harness, &[]).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    let failures = failures(&harness);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].0, "nodes_path");
    let expected = format!(
        "route {name} of cluster other of route table stargate-workers-rt sends 10.244.64.0/20 to 10.237.0.200: it is \
         narrower than 10.244.64.0/18"
    );
    assert!(failures[0].1.contains(&expected), "{failures:?}");
    assert!(words.contains("give the site of one of them other prefixes"), "{words}");
    let routes = prefixes(&harness.sim, NODE_GROUP, "stargate-workers-rt").await;
    assert!(routes.contains(&"10.244.64.0/20".to_owned()), "{routes:?}");
}
