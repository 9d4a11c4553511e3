use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use serde_json::{Value, json};
use stargate_sdk::FailureKind;

use crate::cluster::{Cluster, until};

const APPROVE: &str = "kubernetes.csr.approve";
const RENEW: &str = "kubernetes.csr.renew";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests/";

fn request(names: &[&str]) -> Value {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("names");
    params.subject_alt_names.push(SanType::IpAddress("10.50.1.5".parse().expect("address")));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, "system:node:w1");
    let key = KeyPair::generate().expect("key");
    let pem = params.serialize_request(&key).expect("request").pem().expect("PEM");
    json!({"metadata": {"creationTimestamp": "2026-11-24T04:04:29Z"}, "spec": {"request": STANDARD.encode(pem),
        "signerName": "kubernetes.io/kubelet-serving", "username": "system:node:w1",
        "groups": ["system:nodes"], "usages": ["digital signature", "server auth"]}})
}

#[tokio::test]
async fn a_serving_request_is_approved_and_its_certificate_is_awaited() {
    let cluster = Cluster::start().await;
    cluster.fake.state().put("/api/v1/nodes/w1", json!({}));
    cluster.fake.state().put(&format!("{REQUESTS}csr-1"), request(&["w1"]));
    let fake = cluster.fake.clone();
    let signer = tokio::spawn(async move {
        until(|| fake.state().count("PUT") == 1).await;
        let mut world = fake.state();
        let mut csr = world.objects[&format!("{REQUESTS}csr-1")].clone();
        assert_eq!(csr["status"]["conditions"][0]["type"], "Approved");
        csr["status"]["certificate"] = json!("x");
        world.put(&format!("{REQUESTS}csr-1"), csr);
    });
    let (output, _) = cluster.actions.step(APPROVE, json!({"node": "w1", "ip": "10.50.1.5"})).await.expect("approved");
    signer.await.expect("the signer saw the approval");
    assert_eq!(output["approved"], json!(["csr-1"]));
    assert_eq!(cluster.fake.state().count("PUT"), 1);
}

#[tokio::test]
async fn a_forged_request_is_named_and_nothing_is_approved() {
    let cluster = Cluster::start().await;
    cluster.fake.state().put("/api/v1/nodes/w1", json!({}));
    cluster.fake.state().put(&format!("{REQUESTS}csr-1"), request(&["w1"]));
    cluster.fake.state().put(&format!("{REQUESTS}csr-2"), request(&["w1", "kubernetes.default"]));
    let (kind, error) = cluster.fails(APPROVE, json!({"node": "w1", "ip": "10.50.1.5"})).await;
    assert_eq!(kind, FailureKind::Permanent);
    assert!(error.contains("csr-2") && error.contains("kubernetes.default"), "{error}");
    assert!(cluster.fake.state().writes.is_empty(), "a forgery prevents all approvals");
}

#[tokio::test]
async fn a_renewal_is_approved_and_a_forgery_is_only_named() {
    let cluster = Cluster::start().await;
    let desired = || json!({"nodes": [{"name": "w0", "ip": "10.50.1.4"}, {"name": "w1", "ip": "10.50.1.5"}]});
    let (output, changes) = cluster.actions.step(RENEW, desired()).await.expect("nothing is pending");
    assert_eq!((output["refused"].clone(), changes), (json!([]), vec![]));
    cluster.fake.state().put(&format!("{REQUESTS}csr-1"), request(&["w1"]));
    cluster.fake.state().put(&format!("{REQUESTS}csr-2"), request(&["w1", "kubernetes.default"]));
    let mut elsewhere = request(&["other"]);
    elsewhere["spec"]["signerName"] = json!("kubernetes.io/kube-apiserver-client");
    cluster.fake.state().put(&format!("{REQUESTS}csr-3"), elsewhere);
    let (output, changes) = cluster.actions.step(RENEW, desired()).await.expect("approved");
    assert_eq!(changes, ["+ approval of certificate request csr-1: Approved"]);
    let refused = output["refused"][0].as_str().expect("a text");
    assert!(refused.contains("csr-2") && refused.contains("kubernetes.default"), "{refused}");
    let world = cluster.fake.state();
    assert_eq!(world.writes.len(), 1, "{:?}", world.writes);
    assert_eq!(world.objects[&format!("{REQUESTS}csr-1")]["status"]["conditions"][0]["type"], "Approved");
}

#[tokio::test]
async fn a_kubelet_that_serves_needs_no_request() {
    let cluster = Cluster::start().await;
    cluster.fake.state().put("/api/v1/nodes/w1", json!({}));
    cluster.fake.state().objects.insert("/api/v1/nodes/w1/proxy/healthz".into(), json!("ok"));
    let (output, _) = cluster.actions.step(APPROVE, json!({"node": "w1", "ip": "10.50.1.5"})).await.expect("unchanged");
    assert_eq!(output["approved"], json!([]));
}

#[tokio::test]
async fn only_the_requests_of_the_removed_node_are_deleted() {
    let cluster = Cluster::start().await;
    let (mut others, mut first) = (request(&["w2"]), request(&["w1"]));
    others["spec"]["username"] = json!("system:node:w2");
    others["spec"]["request"] = json!("");
    first["spec"]["username"] = json!("system:bootstrap:abcdef");
    cluster.fake.state().put(&format!("{REQUESTS}csr-0"), first);
    cluster.fake.state().put(&format!("{REQUESTS}csr-1"), request(&["w1"]));
    cluster.fake.state().put(&format!("{REQUESTS}csr-2"), others);
    let delete = "kubernetes.csr.delete";
    let (output, changes) = cluster.actions.step(delete, json!({"node": "w1"})).await.expect("deleted");
    assert_eq!((output["deleted"].clone(), changes.len()), (json!(["csr-0", "csr-1"]), 2));
    let (output, _) = cluster.actions.step(delete, json!({"node": "w1"})).await.expect("unchanged");
    assert_eq!(output["deleted"], json!([]));
    assert!(cluster.fake.state().objects.contains_key(&format!("{REQUESTS}csr-2")));
}
