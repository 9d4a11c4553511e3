//! What actions are said to need is what their runs ask for: every request of every workflow that ships, in the simulated
//! world, is one that `stargate doctor` has named before.
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
use world::Stage;

const WORKFLOWS: [&str; 5] =
    ["provision-aks-router", "provision-dc", "repave-worker", "sync-pod-routes", "remove-worker"];

/// What `doctor` finds of a workflow, as whoever these arguments say.
async fn doctor(stage: &mut Stage, workflow: &str, code: i32, more: &[&str]) -> Vec<Value> {
    let ended = stage.run(&[&["doctor", workflow, "-o", "json"], more].concat()).await;
    assert_eq!(ended, Some(code), "{workflow}: {}", stage.last_words());
    let (_, said) = &stage.said[stage.said.len() - 2];
    serde_json::from_slice(said).unwrap()
}

/// What a check has compared with what is granted.
fn needed(findings: &[Value], id: &str) -> BTreeSet<String> {
    let finding = findings.iter().find(|finding| finding["id"] == id);
    let needed = finding.and_then(|finding| finding["required"].as_array()).into_iter().flatten();
    needed.map(|each| each.as_str().unwrap().to_owned()).collect()
}

/// Requests of the program since `seq`.
fn asked(stage: &Stage, seq: u64) -> Vec<LoggedRequest> {
    let world = stage.sim.shared().peek();
    let ours = |it: &&LoggedRequest| it.agent.as_deref().is_some_and(|agent| agent.starts_with("stargate/"));
    world.traffic.log.iter().filter(|it| it.seq > seq).filter(ours).cloned().collect()
}

/// An operation as roles list it.
fn operation(request: &LoggedRequest) -> String {
    let segments: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let done = match request.method.as_str() {
        "GET" => "read",
        "DELETE" => "delete",
        _ => "write",
    };
    let Some(at) = segments.iter().rposition(|segment| *segment == "providers") else {
        let of = ["Microsoft.Resources/subscriptions", "Microsoft.Resources/subscriptions/resourceGroups"];
        return format!("{}/{done}", of[usize::from(segments.len() > 2)]);
    };
    let types: Vec<&str> = segments[at + 2..].iter().step_by(2).copied().collect();
    format!("{}/{}/{done}", segments[at + 1], types.join("/"))
}

/// A request to the cluster as `kubectl auth can-i` names it, with and without where it went.
fn questions(request: &LoggedRequest) -> Vec<String> {
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
    // What a server has to offer, everybody may see who is let in.
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
    let mut questions = vec![];
    for name in [None, name] {
        for namespace in [None, namespace] {
            let name = name.map(|name| format!("/{name}")).unwrap_or_default();
            let place = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
            questions.push(format!("{verb} {resource}{point}{group}{name}{below}{place}"));
        }
    }
    questions
}

/// Requests that nobody was told of.
fn untold(requests: &[LoggedRequest], azure: &BTreeSet<String>, kubernetes: &BTreeSet<String>) -> BTreeSet<String> {
    let is_in = |set: &BTreeSet<String>, it: &str| set.iter().any(|told| told.eq_ignore_ascii_case(it));
    let mut untold = BTreeSet::new();
    for request in requests {
        let names = match request.surface {
            Surface::Arm => vec![operation(request)],
            Surface::Kubernetes => questions(request),
            _ => continue,
        };
        let told = if request.surface == Surface::Arm { azure } else { kubernetes };
        if !names.is_empty() && !names.iter().any(|name| is_in(told, name)) {
            untold.insert(format!("{} ({} {})", names[0], request.method, request.path));
        }
    }
    untold
}

#[tokio::test]
async fn every_request_of_what_ships_is_one_that_was_told_before() {
    let mut stage = Stage::new(&[]).await;
    stage.log = "warn";
    let mut found = vec![];
    for workflow in WORKFLOWS {
        let findings = doctor(&mut stage, workflow, 0, &[]).await;
        let (azure, kubernetes) = (needed(&findings, "azure.permissions"), needed(&findings, "kubernetes.permissions"));
        assert!(!azure.is_empty() && !kubernetes.is_empty(), "{workflow}: {findings:?}");
        let before = stage.sim.shared().peek().traffic.latest;
        stage.done(workflow).await;
        let requests = asked(&stage, before);
        let none = BTreeSet::new();
        assert!(untold(&requests, &none, &none).len() > 8, "{workflow}: what is not told would be found");
        found.extend(untold(&requests, &azure, &kubernetes).into_iter().map(|what| format!("{workflow}: {what}")));
    }
    assert!(found.is_empty(), "asked for, and not told:\n{}", found.join("\n"));
}

#[tokio::test]
async fn an_account_that_may_do_little_is_told_all_that_it_lacks() {
    let mut stage = Stage::new(&[]).await;
    stage.log = "warn";
    stage.done("provision-aks-router").await;
    let account = "/api/v1/namespaces/kube-system/serviceaccounts/stargate-sync/token";
    let token = outside::create(&stage.sim, account, &json!({ "spec": {} })).await["status"]["token"].clone();
    let own = std::fs::read_to_string(stage.sim.kubeconfig()).unwrap();
    let kubeconfig = stage.path("sync.kubeconfig");
    std::fs::write(&kubeconfig, own.replace(&outside::admin_token(&stage.sim), token.as_str().unwrap())).unwrap();
    let as_them = ["--kubeconfig", kubeconfig.to_str().unwrap()];

    let sync = doctor(&mut stage, "sync-pod-routes", 0, &as_them).await;
    assert!(sync.iter().all(|finding| finding["status"] == "ok"), "the role is enough for what it is for: {sync:?}");

    let repave = doctor(&mut stage, "repave-worker", 3, &as_them).await;
    let finding = repave.iter().find(|finding| finding["id"] == "kubernetes.permissions").unwrap();
    assert_eq!(finding["status"], "failed");
    let (said, hint) = (finding["message"].as_str().unwrap(), finding["hint"].as_str().unwrap());
    assert!(said.starts_with("system:serviceaccount:kube-system:stargate-sync may not"), "{said}");
    for lacking in
        ["patch nodes", "create pods --subresource=eviction", "create secrets -n kube-system", "get pods -n default"]
    {
        assert!(said.contains(lacking), "{lacking}: {said}");
    }
    assert!(!said.contains("patch ciliumnodes.cilium.io") && !said.contains("list sites"), "{said}");
    assert!(hint.contains("kubectl create clusterrole ") && hint.contains("clusterrolebinding"), "{hint}");
}
