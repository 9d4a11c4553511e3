//! Changes that other parties make in Azure, in the cluster and in the tailnet.

use std::time::Duration;

use reqwest::{Certificate, Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use stargate_sim::Sim;

use crate::inputs::NODE_GROUP;

/// Returns the path of a network resource, with the API version.
pub(crate) fn network(sim: &Sim, group: &str, resource: &str) -> String {
    let subscription = sim.subscription();
    format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/{resource}?api-version=2024-01-01"
    )
}

/// Creates a request to the simulator's control API, with its token.
pub(crate) fn control(sim: &Sim, method: Method, path: &str) -> RequestBuilder {
    Client::new().request(method, format!("{}/_world/{path}", sim.http_url())).bearer_auth(sim.control_token())
}

/// Makes a change that the control API describes, after an operation in progress has finished.
pub(crate) async fn drift(sim: &Sim, drift: &Value) {
    loop {
        let answer = control(sim, Method::POST, "drift").json(drift).send().await.unwrap();
        if answer.status() != StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.status().is_success(), "{drift}: {:?}", answer.text().await);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a condition holds: Azure applies a change after its response. Returns false if it
/// does not within a minute.
pub(crate) async fn becomes(holds: impl Fn() -> bool) -> bool {
    let held = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), held).await.is_ok()
}

/// Reads a resource from Azure.
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

/// Reads a resource from Azure; `None` if it does not exist.
pub(crate) async fn find_azure(sim: &Sim, path: &str) -> Option<Value> {
    let url = format!("{}{path}", sim.http_url());
    let answer = Client::new().get(url).bearer_auth(sim.token()).send().await.unwrap();
    if answer.status() == StatusCode::NOT_FOUND {
        return None;
    }
    Some(answer.error_for_status().unwrap().json().await.unwrap())
}

/// Waits until Azure has finished the deletion of a resource.
pub(crate) async fn wait_until_deleted(sim: &Sim, path: &str) {
    while find_azure(sim, path).await.is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Deletes a virtual machine, if it exists, and waits until its programs have ended.
pub(crate) async fn delete_machine(sim: &Sim, group: &str, name: &str) {
    let subscription = sim.subscription();
    let path = format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}?api-version=2024-07-01"
    );
    if find_azure(sim, &path).await.is_some() {
        change_azure(sim, "DELETE", &path, Value::Null).await;
        if let Some(hosts) = sim.hosts() {
            hosts.booted(name).await;
        }
    }
}

/// Changes a resource in the subscription, after an operation in progress has finished.
pub(crate) async fn change_azure(sim: &Sim, method: &str, path: &str, body: Value) {
    drift(sim, &json!({ "method": method, "path": path, "body": body })).await;
}

/// Turns the IP forwarding of a NIC off.
pub(crate) async fn turn_forwarding_off(sim: &Sim, group: &str, nic: &str) {
    let path = network(sim, group, &format!("networkInterfaces/{nic}"));
    let mut body = read_azure(sim, &path).await;
    body["properties"]["enableIPForwarding"] = false.into();
    change_azure(sim, "PUT", &path, body).await;
}

/// Deletes the first route of a table and returns its prefix.
pub(crate) async fn delete_route(sim: &Sim, group: &str, table: &str) -> String {
    let whole = read_azure(sim, &network(sim, group, &format!("routeTables/{table}"))).await;
    let route = &whole["properties"]["routes"][0];
    let name = route["name"].as_str().unwrap();
    let path = network(sim, group, &format!("routeTables/{table}/routes/{name}"));
    change_azure(sim, "DELETE", &path, Value::Null).await;
    route["properties"]["addressPrefix"].as_str().unwrap().to_owned()
}

/// Adds a managed route of an earlier deployment to the route table of the cluster's nodes.
pub(crate) async fn leave_stale_route(sim: &Sim, prefix: &str) {
    let name = format!("stargate-{}", prefix.replace(['.', '/'], "-"));
    let path = network(sim, NODE_GROUP, &format!("routeTables/stargate-workers-rt/routes/{name}"));
    let properties =
        json!({ "addressPrefix": prefix, "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.237.0.4" });
    change_azure(sim, "PUT", &path, json!({ "properties": properties })).await;
}

/// Replaces the last node of AKS by another one and returns the pod CIDR of the removed node.
pub(crate) async fn replace_aks_node(sim: &Sim) -> String {
    let configs = list(sim, "/apis/acn.azure.com/v1alpha/nodenetworkconfigs").await;
    let removed = configs.last().unwrap();
    let name = removed["metadata"]["name"].as_str().unwrap();
    let deletion = control(sim, Method::DELETE, &format!("aks-nodes/{name}"));
    deletion.send().await.unwrap().error_for_status().unwrap();
    let node = json!({
        "name": "aks-nodepool1-41954725-vmss000007", "address": "10.224.0.9", "pod_cidr": "10.244.7.0/24",
    });
    add_aks_nodes(sim, &node).await;
    removed["status"]["networkContainers"][0]["primaryIP"].as_str().unwrap().to_owned()
}

/// Adds nodes to AKS, each with `name`, `address` and `pod_cidr`.
pub(crate) async fn add_aks_nodes(sim: &Sim, nodes: &Value) {
    control(sim, Method::POST, "aks-nodes").json(nodes).send().await.unwrap().error_for_status().unwrap();
}

/// Lists the objects below a path of the Kubernetes API.
pub(crate) async fn list(sim: &Sim, path: &str) -> Vec<Value> {
    let answer = admin_request(sim, Method::GET, path, "application/json", &Value::Null).await;
    answer["items"].as_array().unwrap().clone()
}

/// Creates an object in the cluster and returns the response.
pub(crate) async fn create(sim: &Sim, path: &str, object: &Value) -> Value {
    admin_request(sim, Method::POST, path, "application/json", object).await
}

/// Merges `changes` into an object of the cluster.
pub(crate) async fn patch(sim: &Sim, path: &str, changes: &Value) {
    admin_request(sim, Method::PATCH, path, "application/merge-patch+json", changes).await;
}

/// Deletes an object of the cluster, if it exists.
pub(crate) async fn delete(sim: &Sim, path: &str) {
    let url = format!("{}{path}", sim.kube_url().unwrap());
    let answer = client(sim).delete(url).bearer_auth(admin_token(sim)).send().await.unwrap();
    assert!(answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND, "{path}: {}", answer.status());
}

/// Removes the pod CIDRs from a node's `CiliumNode`.
pub(crate) async fn blank_cilium_node(sim: &Sim, node: &str) {
    let blank = json!({ "spec": { "ipam": { "podCIDRs": [] } } });
    patch(sim, &format!("/apis/cilium.io/v2/ciliumnodes/{node}"), &blank).await;
}

/// Withdraws the approval of a router's routes in the tailnet.
pub(crate) fn withdraw_approval(sim: &Sim, hostname: &str) {
    let mut world = sim.shared().lock();
    // The router is the device that joined last under this name.
    let device = world.tailnet.devices.values_mut().rfind(|device| device.hostname == hostname);
    device.unwrap().enabled.clear();
}

/// Turns the forwarding of a machine off until its next boot.
pub(crate) fn stop_forwarding(sim: &Sim, machine: &str) {
    let mut world = sim.shared().lock();
    let machine = world.hosts.machines.get_mut(machine).unwrap();
    machine.sysctls.insert("net.ipv4.ip_forward".into(), "0".into());
}

/// Sends a request as the administrator of the cluster.
async fn admin_request(sim: &Sim, method: Method, path: &str, kind: &str, body: &Value) -> Value {
    kube_request(sim, &client(sim), method, path, kind, body).await
}

fn client(sim: &Sim) -> Client {
    let pem = std::fs::read(sim.ca_file()).unwrap();
    Client::builder().tls_certs_only([Certificate::from_pem(&pem).unwrap()]).build().unwrap()
}

async fn kube_request(sim: &Sim, client: &Client, method: Method, path: &str, kind: &str, body: &Value) -> Value {
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

/// Returns the token in the administrator's kubeconfig.
pub(crate) fn admin_token(sim: &Sim) -> String {
    let config = std::fs::read_to_string(sim.kubeconfig()).unwrap();
    let line = config.lines().find_map(|line| line.trim().strip_prefix("token:"));
    line.unwrap().trim().trim_matches('"').to_owned()
}
