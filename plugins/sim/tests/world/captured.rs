use std::collections::BTreeMap;
use std::path::Path;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::harness::{NODES, WorldBench, got, open_in};
use stargate_sim::Scenario;

/// Requests that az 2.91 and the Azure SDKs for Python sent for the commands of a deployment, one
/// per line; captured with a stub.
const FILE: &str = "tests/captured/azure-clients.jsonl";

/// Scale set that the captured stub had from the start. The one of the scenario replaces it.
const SCALE_SET: &str = "virtualMachineScaleSets/vmss1";

/// Every captured request is understood: no path without an answer, no method that is not allowed,
/// nothing unimplemented.
///
/// Operation URLs are this world's own, so polls follow those. The captured stub let anything
/// through; what the real service refuses, such as a machine without a network profile, is refused
/// here too.
#[tokio::test]
async fn every_captured_request_is_understood() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    let bench = open_in(tempfile::tempdir().unwrap(), |options| options.scenario = Scenario::Log).await;
    prepare(&bench).await;
    let client = Client::new();
    let mut operations: BTreeMap<String, String> = BTreeMap::new();
    let mut latest: Option<String> = None;
    for line in text.lines() {
        let line = line.replace("00000000-0000-0000-0000-000000000001", &bench.sim.subscription());
        let line = if line.contains(SCALE_SET) { line.replace("MC_stargate-aks-e2e-7", NODES) } else { line };
        let line = line.replace(SCALE_SET, "virtualMachineScaleSets/aks-nodepool1-41954725-vmss");
        let request: Value = serde_json::from_str(&line).unwrap();
        let captured = request["url"].as_str().unwrap().to_owned();
        let operation = operation_of(&captured);
        let url = match operation {
            Some(id) => match operations.get(id).or(latest.as_ref()) {
                Some(url) => {
                    let url = url.clone();
                    operations.insert(id.to_owned(), url.clone());
                    url
                }
                None => continue,
            },
            None => format!("{}{captured}", bench.sim.http_url()),
        };
        let answer = send(&bench, &client, &request, &url).await;
        let routed = !matches!(answer.status, 405 | 501)
            && !matches!(
                answer.code(),
                "MissingSubscription" | "InvalidRequest" | "InvalidResourceType" | "InvalidResourceNamespace"
            );
        assert!(routed && answer.status < 500, "{} {captured}: {} {}", request["method"], answer.status, answer.body);
        if operation.is_none() {
            check(&request, &captured, &answer);
            latest = answer.header("azure-asyncoperation").or(answer.header("location")).map(str::to_owned);
            if latest.is_some() && request["method"] != "GET" {
                settle(&bench, &answer).await;
            }
        }
    }
}

/// Statuses are those of the capture, but where its stub was less strict than the service.
fn check(request: &Value, url: &str, answer: &crate::harness::Got) {
    let given = u16::try_from(request["statusGiven"].as_u64().unwrap()).unwrap();
    let stricter = matches!(answer.code(), "InvalidRequestContent" | "InvalidParameter" | "OperationNotAllowed")
        || url.contains("/rgsdk/");
    let same_kind = answer.status == given || matches!((given, answer.status), (201, 200 | 202) | (202, 200 | 204));
    assert!(
        same_kind || stricter,
        "{} {url}: {} where the capture has {given}: {}",
        request["method"],
        answer.status,
        answer.body
    );
}

fn operation_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("/operations/").or_else(|| url.split_once("/operationResults/"))?;
    rest.split('?').next()
}

async fn settle(bench: &WorldBench, started: &crate::harness::Got) {
    match started.header("azure-asyncoperation") {
        Some(_) => {
            bench.finish(started).await;
        }
        None => {
            if let Some(location) = started.header("location") {
                bench.finish_location(location).await;
            }
        }
    }
}

async fn send(bench: &WorldBench, client: &Client, request: &Value, url: &str) -> crate::harness::Got {
    let method: Method = request["method"].as_str().unwrap().parse().unwrap();
    let mut call = client.request(method, url);
    for (name, value) in request["headers"].as_object().unwrap() {
        if !matches!(
            name.to_ascii_lowercase().as_str(),
            "content-length" | "host" | "authorization" | "accept-encoding" | "content-type"
        ) {
            call = call.header(name, value.as_str().unwrap());
        }
    }
    if !url.contains("/oauth2/") {
        call = call.bearer_auth(bench.sim.token());
    }
    let call = match &request["body"] {
        Value::Null => call,
        Value::String(form) if form.starts_with("<form") => call.form(&[
            ("grant_type", "client_credentials"),
            ("client_id", "c"),
            ("client_secret", "stargate-sim-secret"),
            ("scope", "https://management.azure.com/.default"),
        ]),
        Value::String(text) => call.body(text.clone()),
        body => call.json(body),
    };
    got(call.send().await.unwrap()).await
}

/// Creates the NIC in the group `x` that the captured stub had from the start.
async fn prepare(bench: &WorldBench) {
    let network = |rest: &str| format!("/resourceGroups/x/providers/Microsoft.Network/{rest}");
    bench.put("/resourcegroups/x", json!({ "location": "canadacentral" })).await.expect(201);
    let subnets = json!([{ "name": "s", "properties": { "addressPrefix": "10.1.0.0/24" } }]);
    let body = json!({ "location": "canadacentral", "properties": { "addressSpace": { "addressPrefixes": ["10.1.0.0/16"] }, "subnets": subnets } });
    bench.made(&network("virtualNetworks/v"), body).await;
    let subnet = format!("{}{}", bench.subscription(), network("virtualNetworks/v/subnets/s"));
    let nic = json!({ "location": "canadacentral", "properties": { "ipConfigurations": [{ "name": "c", "properties": { "subnet": { "id": subnet } } }] } });
    bench.put(&network("networkInterfaces/n"), nic).await.expect(201);
}
