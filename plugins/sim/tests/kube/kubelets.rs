use serde_json::json;
use stargate_sim::kube::{KubeletKeys, KubeletState, NodeFacts, kubelet_step, kubelet_stopped};

use crate::harness::{Bench, open};

const WORKER: &str = "stargate-aks-e2e-7-worker-1";
pub(crate) const TOKEN: &str = "d4y594.w3rja73p8bcjqxav";

fn facts() -> NodeFacts {
    let labels = [("kubernetes.azure.com/ebpf-dataplane", "cilium"), ("kubernetes.azure.com/managed", "false")];
    NodeFacts {
        name: WORKER.to_owned(),
        address: "10.50.1.5".to_owned(),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        version: "v1.33.5".to_owned(),
        runtime: Some("containerd://1.7.24".to_owned()),
        ..NodeFacts::default()
    }
}

fn step(bench: &Bench, keys: &mut KubeletKeys, facts: &NodeFacts) -> KubeletState {
    kubelet_step(&mut bench.sim.shared().lock().kube, keys, Some(TOKEN), facts)
}

pub(crate) async fn allow(bench: &Bench) {
    let data = json!({
        "token-id": "d4y594",
        "token-secret": "w3rja73p8bcjqxav",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:stargate",
        "expiration": "2099-01-01T00:00:00Z",
    });
    let secret = json!({ "metadata": { "name": "bootstrap-token-d4y594" }, "type": "bootstrap.kubernetes.io/token", "stringData": data });
    assert_eq!(bench.admin("POST", "/api/v1/namespaces/kube-system/secrets", Some(&secret)).await.0, 201);
    for role in ["system:node-bootstrapper", "system:certificates.k8s.io:certificatesigningrequests:nodeclient"] {
        let binding = json!({
            "metadata": { "name": format!("stargate:{role}") },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "kind": "Group", "name": "system:bootstrappers:stargate" }],
        });
        assert_eq!(
            bench.admin("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", Some(&binding)).await.0,
            201
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_joins_with_a_bootstrap_token_and_its_serving_certificate_waits_for_approval() {
    let bench = open().await;
    let (mut keys, mut machine) = (KubeletKeys::default(), facts());
    assert_eq!(step(&bench, &mut keys, &machine), KubeletState::Refused("Unauthorized".to_owned()));
    allow(&bench).await;
    // Without a CNI configuration the node is there and not ready.
    assert_eq!(step(&bench, &mut keys, &machine), KubeletState::Registered { ready: false, serving: false });
    machine.pod_cidr = Some("10.244.65.0/24".to_owned());
    assert_eq!(step(&bench, &mut keys, &machine), KubeletState::Registered { ready: true, serving: false });
    let (_, requests) = bench.admin("GET", "/apis/certificates.k8s.io/v1/certificatesigningrequests", None).await;
    let serving = requests["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|each| each["spec"]["signerName"] == "kubernetes.io/kubelet-serving")
        .unwrap();
    let mut approved = serving.clone();
    approved["status"] =
        json!({ "conditions": [{ "type": "Approved", "status": "True", "reason": "t", "message": "t" }] });
    let path = format!(
        "/apis/certificates.k8s.io/v1/certificatesigningrequests/{}/approval",
        serving["metadata"]["name"].as_str().unwrap()
    );
    assert_eq!(bench.admin("PUT", &path, Some(&approved)).await.0, 200);
    assert_eq!(step(&bench, &mut keys, &machine), KubeletState::Registered { ready: true, serving: true });
    let (status, cilium) = bench.admin("GET", &format!("/apis/cilium.io/v2/ciliumnodes/{WORKER}"), None).await;
    assert_eq!((status, &cilium["spec"]["addresses"][0]["ip"]), (200, &json!("10.50.1.5")));
    assert!(cilium["spec"]["ipam"].get("podCIDRs").is_none(), "{cilium}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_renews_its_lease() {
    let bench = open().await;
    let (mut keys, machine) = (KubeletKeys::default(), facts());
    allow(&bench).await;
    let registered = KubeletState::Registered { ready: false, serving: false };
    assert_eq!(step(&bench, &mut keys, &machine), registered);
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{WORKER}");
    let long_ago = "2020-01-01T00:00:00.000000Z";
    let renewal = json!({ "spec": { "renewTime": long_ago } });
    let (status, lease) = bench.ask("PATCH", &path, &bench.token, "application/merge-patch+json", Some(&renewal)).await;
    assert_eq!((status, &lease["spec"]["renewTime"]), (200, &json!(long_ago)));
    assert_eq!(step(&bench, &mut keys, &machine), registered);
    let (_, lease) = bench.admin("GET", &path, None).await;
    assert_ne!(lease["spec"]["renewTime"], long_ago);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_gets_an_address_of_its_nodes_range_and_stays_when_the_kubelet_stops() {
    let bench = open().await;
    allow(&bench).await;
    let (mut keys, machine) =
        (KubeletKeys::default(), NodeFacts { pod_cidr: Some("10.244.65.0/24".to_owned()), ..facts() });
    step(&bench, &mut keys, &machine);
    let pod = json!({ "metadata": { "name": "p" }, "spec": { "nodeName": WORKER, "containers": [{ "name": "c", "image": "x:1" }] } });
    assert_eq!(bench.admin("POST", "/api/v1/namespaces/default/pods", Some(&pod)).await.0, 201);
    let path = "/api/v1/namespaces/default/pods/p";
    assert_eq!(bench.admin("GET", path, None).await.1["status"]["podIP"], "10.244.65.2");
    kubelet_stopped(&mut bench.sim.shared().lock().kube, WORKER);
    assert_eq!(bench.admin("DELETE", path, None).await.0, 200);
    assert!(bench.admin("GET", path, None).await.1["metadata"]["deletionTimestamp"].is_string());
    step(&bench, &mut keys, &machine);
    assert_eq!(bench.admin("GET", path, None).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kubelet_writes_does_not_count() {
    let bench = open().await;
    allow(&bench).await;
    let before = bench.sim.shared().peek().traffic.mutating();
    let keys = &mut KubeletKeys::default();
    step(&bench, keys, &facts());
    assert_eq!(bench.sim.shared().peek().traffic.mutating(), before);
    let map = json!({ "metadata": { "name": "c" } });
    assert_eq!(bench.admin("POST", "/api/v1/namespaces/default/configmaps", Some(&map)).await.0, 201);
    assert_eq!(bench.sim.shared().peek().traffic.mutating(), before + 1);
}
