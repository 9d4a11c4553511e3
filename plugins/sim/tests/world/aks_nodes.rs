use serde_json::{Value, json};

use crate::harness::{NODES, WorldBench, open};

const GONE: &str = "aks-nodepool1-41954725-vmss000001";
const NEW: &str = "aks-nodepool1-41954725-vmss000007";

/// The names of a resource's objects in the cluster.
fn names(bench: &WorldBench, resource: &str) -> Vec<String> {
    let state = serde_json::to_value(&bench.sim.shared().peek().kube).unwrap();
    let objects = state["objects"][resource].as_object().cloned().unwrap_or_default();
    objects.values().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn pods(bench: &WorldBench) -> Vec<Value> {
    let state = serde_json::to_value(&bench.sim.shared().peek().kube).unwrap();
    state["objects"]["pods"].as_object().unwrap().values().cloned().collect()
}

async fn delete(bench: &WorldBench, name: &str) -> u16 {
    bench.control(reqwest::Method::DELETE, &format!("/aks-nodes/{name}")).send().await.unwrap().status().as_u16()
}

async fn instances(bench: &WorldBench) -> Vec<(String, String)> {
    let set = format!(
        "/resourceGroups/{NODES}/providers/Microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-41954725-vmss"
    );
    let machines = bench.get(&format!("{set}/virtualMachines")).await.expect(200).body;
    let mut found = Vec::new();
    for machine in machines["value"].as_array().unwrap() {
        let id = machine["id"].as_str().unwrap();
        let nics = bench.get(&format!("{id}/networkInterfaces")).await.expect(200).body;
        let address = nics["value"][0]["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"].clone();
        let name = machine["properties"]["osProfile"]["computerName"].as_str().unwrap().to_ascii_lowercase();
        found.push((name, address.as_str().unwrap().to_owned()));
    }
    found
}

#[tokio::test]
async fn everything_follows_when_aks_replaces_a_node() {
    let bench = open().await;
    let before = bench.latest();
    let deployed = |bench: &WorldBench| {
        let of_dns = |pod: &&Value| pod["metadata"]["name"].as_str().unwrap().starts_with("coredns-");
        pods(bench).iter().filter(of_dns).filter(|pod| pod["status"]["phase"] == "Running").count()
    };
    assert_eq!(deployed(&bench), 2);
    assert_eq!(delete(&bench, GONE).await, 204);
    for resource in ["nodes", "nodenetworkconfigs.acn.azure.com", "ciliumnodes.cilium.io", "leases.coordination.k8s.io"]
    {
        assert!(!names(&bench, resource).contains(&GONE.to_owned()), "{resource}");
    }
    assert!(pods(&bench).iter().all(|pod| pod["spec"]["nodeName"] != GONE));
    assert_eq!(deployed(&bench), 2, "its deployment's pods come again elsewhere");
    assert_eq!(instances(&bench).await.len(), 1);
    let node = json!({ "name": NEW, "address": "10.224.0.9", "pod_cidr": "10.244.7.0/24" });
    bench.tell("/aks-nodes", node).await.expect(201);
    for resource in ["nodes", "nodenetworkconfigs.acn.azure.com", "ciliumnodes.cilium.io"] {
        assert!(names(&bench, resource).contains(&NEW.to_owned()), "{resource}");
    }
    assert!(instances(&bench).await.contains(&(NEW.to_owned(), "10.224.0.9".to_owned())));
    let daemons = pods(&bench).iter().filter(|pod| pod["spec"]["nodeName"] == NEW).count();
    assert_eq!(daemons, 3, "the agents of every node");
    let events = bench.events(before);
    let told: Vec<(&str, &str)> =
        events.iter().map(|event| (event["type"].as_str().unwrap(), event["name"].as_str().unwrap())).collect();
    assert_eq!(told, [("aks_node_deleted", GONE), ("aks_node_created", NEW)]);
    let created = &events[1];
    assert_eq!((&created["private_ip"], &created["pod_cidr"]), (&json!("10.224.0.9"), &json!("10.244.7.0/24")));
    assert_eq!((&created["subnet"], &created["subnet_prefix"]), (&json!("aks-subnet"), &json!("10.224.0.0/16")));
    assert!(created["id"].as_str().unwrap().ends_with("/virtualMachines/7"), "{created}");
}

#[tokio::test]
async fn scale_set_and_pool_count_their_nodes() {
    let bench = open().await;
    let count = async |bench: &WorldBench| {
        let set = format!(
            "/resourceGroups/{NODES}/providers/Microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-41954725-vmss"
        );
        let pool = "/resourceGroups/stargate-aks-e2e-7/providers/Microsoft.ContainerService/managedClusters/stargate-aks-e2e-7/agentPools/nodepool1";
        let capacity = bench.get(&set).await.expect(200).body["sku"]["capacity"].clone();
        (capacity, bench.get(pool).await.expect(200).body["properties"]["count"].clone())
    };
    assert_eq!(count(&bench).await, (json!(2), json!(2)));
    assert_eq!(delete(&bench, GONE).await, 204);
    assert_eq!(count(&bench).await, (json!(1), json!(1)));
    assert_eq!(delete(&bench, GONE).await, 404);
}

#[tokio::test]
async fn a_name_or_an_address_is_not_given_twice() {
    let bench = open().await;
    let before = bench.latest();
    for node in [
        json!({ "name": GONE, "address": "10.224.0.9", "pod_cidr": "10.244.7.0/24" }),
        json!({ "name": NEW, "address": "10.224.0.4", "pod_cidr": "10.244.7.0/24" }),
        json!({ "name": NEW, "address": "10.224.0.9", "pod_cidr": "no prefix" }),
        json!({ "name": NEW, "address": "nowhere", "pod_cidr": "10.244.7.0/24" }),
    ] {
        bench.tell("/aks-nodes", node).await.expect(409);
    }
    assert_eq!(instances(&bench).await.len(), 2);
    assert_eq!(bench.events(before), Vec::<Value>::new());
}
