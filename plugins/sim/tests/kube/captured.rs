use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Bench, open};

/// Captured pairs that need nothing but what was done before them; the others are about keys that
/// nobody has any more.
const REPLAYED: [&str; 34] = [
    "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "22", "23", "24", "25", "26", "27",
    "28", "29", "30", "31", "32", "33", "34", "35", "36", "37", "38", "39", "40", "41", "48",
];

/// Pairs of request and answer of a kube-apiserver 1.20.2, in their order.
fn recordings() -> Vec<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/captured/kubernetes");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

async fn prepare(bench: &Bench) {
    let binding = json!({
        "metadata": { "name": "bootstrappers" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-bootstrapper" },
        "subjects": [{ "kind": "Group", "name": "system:bootstrappers" }],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(bench.admin("POST", bindings, Some(&binding)).await.0, 201);
    let since = "2026-01-28T00:00:00Z";
    let ready = json!({ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ok", "lastHeartbeatTime": since, "lastTransitionTime": since });
    let status = json!({ "conditions": [ready], "addresses": [{ "type": "InternalIP", "address": "10.50.1.5" }] });
    for node in ["stargate-aks-e2e-7-worker-1", "sa-made"] {
        let metadata = json!({ "name": node, "labels": { "kubernetes.azure.com/stargate": "true" } });
        let node = json!({ "metadata": metadata, "status": status });
        assert_eq!(bench.admin("POST", "/api/v1/nodes", Some(&node)).await.0, 201);
    }
    let node = json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": { "name": "stargate-aks-e2e-7-worker-1", "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "" } },
        "spec": { "addresses": [{ "ip": "10.50.1.5", "type": "InternalIP" }, { "ip": "169.254.23.0", "type": "CiliumInternalIP" }], "health": {}, "ingress": {}, "ipam": { "pools": {} } },
    });
    assert_eq!(bench.admin("POST", "/apis/cilium.io/v2/ciliumnodes", Some(&node)).await.0, 201);
}

/// Every key that the real server answered with is there, with a value of the same type.
fn assert_shape(path: &str, expected: &Value, actual: &Value) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (key, expected) in expected.iter().filter(|(key, _)| *key != "managedFields") {
                let actual = actual.get(key).unwrap_or_else(|| panic!("{path}/{key} is missing: {actual:?}"));
                assert_shape(&format!("{path}/{key}"), expected, actual);
            }
        }
        (Value::Array(expected), Value::Array(actual)) => {
            assert_eq!(expected.len(), actual.len(), "{path}");
            expected.iter().zip(actual).for_each(|(expected, actual)| assert_shape(path, expected, actual));
        }
        _ => assert_eq!(
            std::mem::discriminant(expected),
            std::mem::discriminant(actual),
            "{path}: {expected} and {actual}"
        ),
    }
}

/// A refusal says the same, but for identifiers.
fn assert_refusal(name: &str, expected: &Value, actual: &Value) {
    for key in ["reason", "code"] {
        assert_eq!(expected.get(key), actual.get(key), "{name}: {actual}");
    }
    if !expected["message"].as_str().unwrap().contains("UID in record") {
        assert_eq!(expected["message"], actual["message"], "{name}");
        assert_eq!(expected["details"], actual["details"], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn captured_requests_get_the_captured_answers() {
    let files = recordings();
    let bench = open().await;
    prepare(&bench).await;
    let mut account = String::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if !REPLAYED.contains(&&name[..2]) {
            continue;
        }
        let pair: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let request = &pair["request"];
        let token = match request["as"].as_str().unwrap() {
            "bootstrap" => "d4y594.w3rja73p8bcjqxav",
            "bad" => "bad",
            "sa-token" => account.as_str(),
            _ => bench.token.as_str(),
        };
        let kind = request["headers"]["Content-Type"].as_str().unwrap_or("application/json");
        let body = Some(&request["body"]).filter(|body| !body.is_null());
        let (status, answer) =
            bench.ask(request["method"].as_str().unwrap(), request["path"].as_str().unwrap(), token, kind, body).await;
        assert_eq!(u64::from(status), pair["response"]["status"].as_u64().unwrap(), "{name}: {answer}");
        let expected = &pair["response"]["body"];
        if expected["status"] == "Failure" {
            assert_refusal(&name, expected, &answer);
        } else {
            assert_shape(&name, expected, &answer);
        }
        if name.starts_with("04") {
            account = answer["status"]["token"].as_str().unwrap().to_owned();
        }
    }
}
