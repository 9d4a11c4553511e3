//! Each request of each workflow that ships has a permission that `stargate doctor` has listed
//! before.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "the tests use a part of it each")]
mod outside;
mod world;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stargate_sim::{LoggedRequest, Surface};
use world::Harness;

const WORKFLOWS: [&str; 5] =
    ["provision-aks-router", "provision-dc", "repave-worker", "sync-pod-routes", "remove-worker"];

/// Runs `doctor` for a workflow, with further arguments, and returns its findings.
async fn doctor(harness: &mut Harness, workflow: &str, code: i32, more: &[&str]) -> Vec<Value> {
    let ended = harness.run(&[&["doctor", workflow, "-o", "json"], more].concat()).await;
    assert_eq!(ended, Some(code), "{workflow}: {}", harness.last_output());
    let (_, output) = &harness.outputs[harness.outputs.len() - 2];
    serde_json::from_slice(output).unwrap()
}

/// Returns the permissions that a check has compared with the granted ones.
fn needed(findings: &[Value], id: &str) -> BTreeSet<String> {
    let finding = findings.iter().find(|finding| finding["id"] == id);
    let needed = finding.and_then(|finding| finding["required"].as_array()).into_iter().flatten();
    needed.map(|each| each.as_str().unwrap().to_owned()).collect()
}

/// Returns the requests of the program after the request `seq`.
fn requests_since(harness: &Harness, seq: u64) -> Vec<LoggedRequest> {
    let world = harness.sim.shared().peek();
    let is_program = |it: &&LoggedRequest| it.agent.as_deref().is_some_and(|agent| agent.starts_with("stargate/"));
    world.traffic.log.iter().filter(|it| it.seq > seq).filter(is_program).cloned().collect()
}

/// Returns the operation of a request to Azure, as role definitions list it.
fn operation(request: &LoggedRequest) -> String {
    let segments: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let verb = match request.method.as_str() {
        "GET" => "read",
        "DELETE" => "delete",
        _ => "write",
    };
    let Some(at) = segments.iter().rposition(|segment| *segment == "providers") else {
        let of = ["Microsoft.Resources/subscriptions", "Microsoft.Resources/subscriptions/resourceGroups"];
        return format!("{}/{verb}", of[usize::from(segments.len() > 2)]);
    };
    let types: Vec<&str> = segments[at + 2..].iter().step_by(2).copied().collect();
    format!("{}/{}/{verb}", segments[at + 1], types.join("/"))
}

/// Returns the permissions that cover a request to the cluster, in the form of
/// `kubectl auth can-i`: with and without name and namespace.
fn covering_permissions(request: &LoggedRequest) -> Vec<String> {
    let segments: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (group, rest) = match segments.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return vec![],
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        _ => (None, rest),
    };
    // Each authenticated user can discover the API.
    let Some(resource) = rest.first() else { return vec![] };
    let name = rest.get(1).copied();
    let verb = match (request.method.as_str(), name) {
        ("GET", Some(_)) => "get",
        ("GET", None) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        _ => "delete",
    };
    let point = if group.is_empty() { "" } else { "." };
    let below = rest.get(2).map(|below| format!(" --subresource={below}")).unwrap_or_default();
    let mut permissions = vec![];
    for name in [None, name] {
        for namespace in [None, namespace] {
            let name = name.map(|name| format!("/{name}")).unwrap_or_default();
            let place = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
            permissions.push(format!("{verb} {resource}{point}{group}{name}{below}{place}"));
        }
    }
    permissions
}

/// Returns the requests without a listed permission.
fn unlisted(requests: &[LoggedRequest], azure: &BTreeSet<String>, kubernetes: &BTreeSet<String>) -> BTreeSet<String> {
    let is_in = |set: &BTreeSet<String>, it: &str| set.iter().any(|listed| listed.eq_ignore_ascii_case(it));
    let mut unlisted = BTreeSet::new();
    for request in requests {
        let names = match request.surface {
            Surface::Arm => vec![operation(request)],
            Surface::Kubernetes => covering_permissions(request),
            _ => continue,
        };
        let listed = if request.surface == Surface::Arm { azure } else { kubernetes };
        if !names.is_empty() && !names.iter().any(|name| is_in(listed, name)) {
            unlisted.insert(format!("{} ({} {})", names[0], request.method, request.path));
        }
    }
    unlisted
}

#[tokio::test]
async fn each_request_of_a_shipped_workflow_has_a_listed_permission() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    let mut found = vec![];
    for workflow in WORKFLOWS {
        let findings = doctor(&mut harness, workflow, 0, &[]).await;
        let (azure, kubernetes) = (needed(&findings, "azure.permissions"), needed(&findings, "kubernetes.permissions"));
        assert!(!azure.is_empty() && !kubernetes.is_empty(), "{workflow}: {findings:?}");
        let before = harness.sim.shared().peek().traffic.latest;
        harness.run_to_success(workflow).await;
        let requests = requests_since(&harness, before);
        let none = BTreeSet::new();
        assert!(unlisted(&requests, &none, &none).len() > 8, "{workflow}: a missing permission would be found");
        found.extend(unlisted(&requests, &azure, &kubernetes).into_iter().map(|what| format!("{workflow}: {what}")));
    }
    assert!(found.is_empty(), "used and not listed:\n{}", found.join("\n"));
}

#[tokio::test]
async fn doctor_reports_all_missing_permissions_of_an_account() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    let account = "/api/v1/namespaces/kube-system/serviceaccounts/stargate-sync/token";
    let token = outside::create(&harness.sim, account, &json!({ "spec": {} })).await["status"]["token"].clone();
    let own = std::fs::read_to_string(harness.sim.kubeconfig()).unwrap();
    let kubeconfig = harness.path("sync.kubeconfig");
    std::fs::write(&kubeconfig, own.replace(&outside::admin_token(&harness.sim), token.as_str().unwrap())).unwrap();
    let as_account = ["--kubeconfig", kubeconfig.to_str().unwrap()];

    let sync = doctor(&mut harness, "sync-pod-routes", 0, &as_account).await;
    assert!(sync.iter().all(|finding| finding["status"] == "ok"), "the role is enough for its workflow: {sync:?}");

    let repave = doctor(&mut harness, "repave-worker", 3, &as_account).await;
    let finding = repave.iter().find(|finding| finding["id"] == "kubernetes.permissions").unwrap();
    assert_eq!(finding["status"], "failed");
    let (message, hint) = (finding["message"].as_str().unwrap(), finding["hint"].as_str().unwrap());
    assert!(message.starts_with("system:serviceaccount:kube-system:stargate-sync lacks"), "{message}");
    for missing in
        ["patch nodes", "create pods --subresource=eviction", "create secrets -n kube-system", "create pods -n default"]
    {
        assert!(message.contains(missing), "{missing}: {message}");
    }
    assert!(!message.contains("patch ciliumnodes.cilium.io") && !message.contains("list sites"), "{message}");
    assert!(hint.contains("kubectl create clusterrole ") && hint.contains("clusterrolebinding"), "{hint}");
}
