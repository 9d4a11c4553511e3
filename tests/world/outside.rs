//! What somebody else does to the world: to Azure, to the cluster, to the tailnet.

use std::time::Duration;

use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};
use stargate_sim::Sim;

use crate::inputs::NODE_GROUP;

/// The path of a network resource, with the version that it is asked in.
pub(crate) fn network(sim: &Sim, group: &str, resource: &str) -> String {
    let subscription = sim.subscription();
    format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/{resource}?api-version=2024-01-01"
    )
}

/// What Azure says of a resource.
pub(crate) async fn read_azure(sim: &Sim, path: &str) -> Value {
    let url = format!("{}{path}", sim.http_url());
    Client::new()
        .get(url)
        .bearer_auth(sim.token())
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap()
        .json()
        .await
        .unwrap()
}

/// A third party changes something in the subscription, and waits its turn where another operation is in progress.
pub(crate) async fn change_azure(sim: &Sim, method: &str, path: &str, body: Value) {
    let drift = json!({ "method": method, "path": path, "body": body });
    let url = format!("{}/_world/drift", sim.http_url());
    let until = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let answer = Client::new().post(&url).json(&drift).send().await.unwrap();
        if answer.status() != StatusCode::TOO_MANY_REQUESTS || tokio::time::Instant::now() > until {
            answer.error_for_status().unwrap();
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A third party turns a NIC's IP forwarding off.
pub(crate) async fn turn_forwarding_off(sim: &Sim, group: &str, nic: &str) {
    let path = network(sim, group, &format!("networkInterfaces/{nic}"));
    let mut body = read_azure(sim, &path).await;
    body["properties"]["enableIPForwarding"] = false.into();
    change_azure(sim, "PUT", &path, body).await;
}

/// A third party deletes the first route of ours of a table; gives its prefix.
pub(crate) async fn delete_route(sim: &Sim, group: &str, table: &str) -> String {
    let whole = read_azure(sim, &network(sim, group, &format!("routeTables/{table}"))).await;
    let route = &whole["properties"]["routes"][0];
    let name = route["name"].as_str().unwrap();
    let path = network(sim, group, &format!("routeTables/{table}/routes/{name}"));
    change_azure(sim, "DELETE", &path, Value::Null).await;
    route["properties"]["addressPrefix"].as_str().unwrap().to_owned()
}

/// A route of ours that an earlier deployment has left in the table of the cluster's nodes.
pub(crate) async fn leave_stale_route(sim: &Sim, prefix: &str) {
    let name = format!("stargate-{}", prefix.replace(['.', '/'], "-"));
    let path = network(sim, NODE_GROUP, &format!("routeTables/stargate-workers-rt/routes/{name}"));
    let properties =
        json!({ "addressPrefix": prefix, "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.237.0.4" });
    change_azure(sim, "PUT", &path, json!({ "properties": properties })).await;
}

/// AKS takes the last of its nodes away and brings another one; gives the prefix that is gone.
pub(crate) async fn replace_aks_node(sim: &Sim) -> String {
    let configs = list(sim, "/apis/acn.azure.com/v1alpha/nodenetworkconfigs").await;
    let gone = configs.last().unwrap();
    let name = gone["metadata"]["name"].as_str().unwrap();
    let url = format!("{}/_world/aks-nodes", sim.http_url());
    let client = Client::new();
    client.delete(format!("{url}/{name}")).send().await.unwrap().error_for_status().unwrap();
    let node = json!({
        "name": "aks-nodepool1-41954725-vmss000007", "address": "10.224.0.9", "pod_cidr": "10.244.7.0/24",
    });
    add_aks_nodes(sim, &node).await;
    gone["status"]["networkContainers"][0]["primaryIP"].as_str().unwrap().to_owned()
}

/// AKS grows by nodes, each with `name`, `address` and `pod_cidr`.
pub(crate) async fn add_aks_nodes(sim: &Sim, nodes: &Value) {
    let url = format!("{}/_world/aks-nodes", sim.http_url());
    Client::new().post(url).json(nodes).send().await.unwrap().error_for_status().unwrap();
}

/// The objects below a path of the Kubernetes API.
pub(crate) async fn list(sim: &Sim, path: &str) -> Vec<Value> {
    let answer = ask_cluster(sim, Method::GET, path, "application/json", &Value::Null).await;
    answer["items"].as_array().unwrap().clone()
}

/// The administrator posts an object; gives what came of it.
pub(crate) async fn create(sim: &Sim, path: &str, object: &Value) -> Value {
    ask_cluster(sim, Method::POST, path, "application/json", object).await
}

/// Somebody merges `changes` into an object of the cluster.
pub(crate) async fn patch(sim: &Sim, path: &str, changes: &Value) {
    ask_cluster(sim, Method::PATCH, path, "application/merge-patch+json", changes).await;
}

/// The agent's own idea of a node's pod addresses is gone.
pub(crate) async fn blank_cilium_node(sim: &Sim, node: &str) {
    let blank = json!({ "spec": { "ipam": { "podCIDRs": [] } } });
    patch(sim, &format!("/apis/cilium.io/v2/ciliumnodes/{node}"), &blank).await;
}

/// Somebody withdraws the approval of a router's routes.
pub(crate) fn withdraw_approval(sim: &Sim, hostname: &str) {
    let mut world = sim.shared().lock();
    // The router's is the device that joined last under its name.
    let device = world.tailnet.devices.values_mut().rfind(|device| device.hostname == hostname);
    device.unwrap().enabled.clear();
}

/// Somebody turns a machine's forwarding off, until its next boot.
pub(crate) fn stop_forwarding(sim: &Sim, machine: &str) {
    let mut world = sim.shared().lock();
    let machine = world.hosts.machines.get_mut(machine).unwrap();
    machine.sysctls.insert("net.ipv4.ip_forward".into(), "0".into());
}

/// Asks as the cluster's administrator.
async fn ask_cluster(sim: &Sim, method: Method, path: &str, kind: &str, body: &Value) -> Value {
    ask(sim, &client(sim), method, path, kind, body).await
}

fn client(sim: &Sim) -> Client {
    let pem = std::fs::read(sim.ca_file()).unwrap();
    Client::builder().tls_certs_only([Certificate::from_pem(&pem).unwrap()]).build().unwrap()
}

async fn ask(sim: &Sim, client: &Client, method: Method, path: &str, kind: &str, body: &Value) -> Value {
    let url = format!("{}{path}", sim.kube_url().unwrap());
    let mut request = client.request(method, url).bearer_auth(admin_token(sim)).header("content-type", kind);
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

/// The token in the administrator's kubeconfig.
pub(crate) fn admin_token(sim: &Sim) -> String {
    let config = std::fs::read_to_string(sim.kubeconfig()).unwrap();
    let line = config.lines().find_map(|line| line.trim().strip_prefix("token:"));
    line.unwrap().trim().trim_matches('"').to_owned()
}
