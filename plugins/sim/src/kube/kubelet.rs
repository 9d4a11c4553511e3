use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::authority;
use super::call::{Call, Reply};
use super::controllers;
use super::dispatch;
use super::identity::{User, by_token};
use super::json::{at, list_at, moment, set, str_at};
use super::resource::core;
use super::state::Kube;
use super::status::Refusal;
use super::token::decoded;

/// What a kubelet calls itself.
const AGENT: &str = "kubelet";

/// How often a kubelet renews its lease.
const LEASE_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// What the cluster's side of the world knows of a kubelet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kubelet {
    /// Whether it runs: a node whose kubelet does not run starts and ends no pods.
    pub running: bool,
    /// The range that pods get addresses from: that of the CNI configuration on the machine.
    pub pod_cidr: Option<String>,
    /// The address that was given out last.
    pub(crate) last_address: Option<std::net::Ipv4Addr>,
    /// Whether the Cilium agent has started since the kubelet has.
    pub(crate) agent: bool,
}

/// What a kubelet reports of its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Name to register under: `--hostname-override`, or the host name.
    pub name: String,
    /// The machine's address: `--node-ip`, or that of the default interface.
    pub address: String,
    /// `--node-labels`.
    pub labels: BTreeMap<String, String>,
    /// `--register-with-taints`, each `key=value:effect` or `key:effect`.
    pub taints: Vec<String>,
    /// `--provider-id`, if given.
    pub provider_id: Option<String>,
    /// Version of the kubelet, as `v1.33.5`.
    pub version: String,
    /// As `containerd://1.7.24`; none while no runtime answers.
    pub runtime: Option<String>,
    /// The host-local range of the CNI configuration; none while there is no configuration.
    pub pod_cidr: Option<String>,
    /// As `6.8.0-1052-azure`.
    pub kernel: String,
    /// As `Ubuntu 24.04.1 LTS`.
    pub os_image: String,
    /// Of `/etc/machine-id`.
    pub machine_id: String,
    /// Changes with every boot.
    pub boot_id: String,
}

/// What a kubelet keeps under `/var/lib/kubelet/pki`, and of the requests that it waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KubeletKeys {
    /// `kubelet-client-current.pem`: certificate, then key.
    pub client: Option<String>,
    /// `kubelet-server-current.pem`: certificate, then key.
    pub server: Option<String>,
    client_request: Option<Waiting>,
    server_request: Option<Waiting>,
}

/// A certificate signing request, and the key that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    name: String,
    key: String,
}

/// How far a kubelet has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KubeletState {
    /// The API server refuses it; the text is what its journal would say.
    Refused(String),
    /// Its request for a client certificate, of this name, is not issued yet.
    WaitsForCertificate(String),
    /// It has registered.
    Registered {
        /// Whether its node is ready.
        ready: bool,
        /// Whether its serving certificate is issued.
        serving: bool,
    },
}

/// Does the next thing that a running kubelet does: asks for its certificate with the bootstrap token, registers, asks for a
/// serving certificate (`serverTLSBootstrap`), reports. Safe to call as often as one likes; nothing is written that is so already.
///
/// `bootstrap_token` is that of `--bootstrap-kubeconfig`, needed only while there is no client certificate.
pub fn kubelet_step(
    kube: &mut Kube,
    keys: &mut KubeletKeys,
    bootstrap_token: Option<&str>,
    facts: &NodeFacts,
) -> KubeletState {
    let now = Timestamp::now();
    match advance(kube, keys, bootstrap_token, facts, now) {
        Ok(state) => state,
        Err(refusal) => KubeletState::Refused(refusal.message().to_owned()),
    }
}

/// The kubelet of a node has stopped: its node is no longer ready, and its pods are left as they are.
pub fn kubelet_stopped(kube: &mut Kube, node: &str) {
    let now = Timestamp::now();
    let Some(kubelet) = kube.kubelets.get_mut(node).filter(|kubelet| kubelet.running) else { return };
    kubelet.running = false;
    kubelet.agent = false;
    controllers::lost(kube, node, now);
    controllers::settle(kube, now);
}

fn advance(
    kube: &mut Kube,
    keys: &mut KubeletKeys,
    token: Option<&str>,
    facts: &NodeFacts,
    now: Timestamp,
) -> Result<KubeletState, Refusal> {
    let Some(user) = client(kube, keys, token, facts, now)? else {
        let name = keys.client_request.as_ref().map(|waiting| waiting.name.clone()).unwrap_or_default();
        return Ok(KubeletState::WaitsForCertificate(name));
    };
    register(kube, &user, facts, now)?;
    let ready = report(kube, &user, facts, now)?;
    renew_lease(kube, &user, facts, now)?;
    let serving = serve(kube, keys, &user, facts, now)?;
    let kubelet = kube.kubelets.entry(facts.name.clone()).or_default();
    let before = kubelet.clone();
    kubelet.running = facts.runtime.is_some();
    kubelet.pod_cidr.clone_from(&facts.pod_cidr);
    if *kubelet != before {
        controllers::settle(kube, now);
    }
    Ok(KubeletState::Registered { ready, serving })
}

/// The identity of the client certificate; asks for one if there is none that is good.
fn client(
    kube: &mut Kube,
    keys: &mut KubeletKeys,
    token: Option<&str>,
    facts: &NodeFacts,
    now: Timestamp,
) -> Result<Option<User>, Refusal> {
    let held = keys.client.as_deref().and_then(|pem| Some((authority::subject_of_pem(pem, now)?, pem)));
    if let Some((user, pem)) = held {
        // A certificate of somebody else is one that the kubelet goes on using, whatever the server says.
        return if is_of_cluster(kube, pem) { Ok(Some(user)) } else { Err(Refusal::unauthorized()) };
    }
    let bootstrap = token.and_then(|token| by_token(kube, token, now)).ok_or_else(Refusal::unauthorized)?;
    let subject = format!("system:node:{}", facts.name);
    let usages = json!(["digital signature", "client auth"]);
    let names: (&[&str], &[&str]) = (&[], &[]);
    let request = Wanted {
        signer: "kubernetes.io/kube-apiserver-client-kubelet",
        subject: &subject,
        usages,
        names,
        prefix: "node-csr-",
    };
    keys.client = obtain(kube, &mut keys.client_request, &bootstrap, &request, now)?;
    Ok(keys.client.as_deref().and_then(|pem| authority::subject_of_pem(pem, now)))
}

/// Whether the cluster's authority has signed a certificate.
fn is_of_cluster(kube: &Kube, pem: &str) -> bool {
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    let authority = kube.authority.as_ref().and_then(|authority| der(&authority.certificate));
    let (Some(authority), Some(own)) = (authority, der(pem)) else { return false };
    let parsed = (x509_parser::parse_x509_certificate(&authority), x509_parser::parse_x509_certificate(&own));
    let (Ok((_, authority)), Ok((_, own))) = parsed else { return false };
    own.verify_signature(Some(authority.public_key())).is_ok()
}

/// Asks for a serving certificate and takes it when it is issued.
fn serve(
    kube: &mut Kube,
    keys: &mut KubeletKeys,
    user: &User,
    facts: &NodeFacts,
    now: Timestamp,
) -> Result<bool, Refusal> {
    if keys.server.as_deref().is_some_and(|pem| authority::subject_of_pem(pem, now).is_some()) {
        return Ok(true);
    }
    let names: (&[&str], &[&str]) = (&[&facts.name], &[&facts.address]);
    let usages = json!(["digital signature", "server auth"]);
    let request =
        Wanted { signer: "kubernetes.io/kubelet-serving", subject: &user.name, usages, names, prefix: "csr-" };
    keys.server = obtain(kube, &mut keys.server_request, user, &request, now)?;
    Ok(keys.server.is_some())
}

/// A certificate that is wanted.
struct Wanted<'a> {
    signer: &'a str,
    subject: &'a str,
    usages: Value,
    names: (&'a [&'a str], &'a [&'a str]),
    prefix: &'a str,
}

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// Gives the certificate and its key if the request was signed; makes a request if there is none that can still be.
fn obtain(
    kube: &mut Kube,
    waiting: &mut Option<Waiting>,
    user: &User,
    wanted: &Wanted<'_>,
    now: Timestamp,
) -> Result<Option<String>, Refusal> {
    if let Some(held) = waiting.clone() {
        let found = kube.named("certificatesigningrequests.certificates.k8s.io", &held.name);
        let is_over = |request: &Value| super::json::holds(request, "Denied") || super::json::holds(request, "Failed");
        match found {
            Some(request) if !is_over(request) => {
                let certificate = decoded(str_at(request, &["status", "certificate"])).filter(|pem| !pem.is_empty());
                if certificate.is_some() {
                    *waiting = None;
                }
                return Ok(certificate.map(|pem| format!("{pem}{}", held.key)));
            }
            _ => *waiting = None,
        }
    }
    let (key, request) = authority::new_request(wanted.subject, "system:nodes", wanted.names.0, wanted.names.1)
        .map_err(|error| Refusal::new(500, "InternalError", &error.to_string(), None))?;
    let body = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": { "generateName": wanted.prefix },
        "spec": { "request": STANDARD.encode(request), "signerName": wanted.signer, "usages": wanted.usages },
    });
    let made = ask(kube, user, "POST", REQUESTS, &body, now)?;
    let name = super::json::name_of(&made.body).to_owned();
    *waiting = Some(Waiting { name, key });
    // It may have been approved and signed at once.
    let certificate = waiting.as_ref().and_then(|held| {
        let request = kube.named("certificatesigningrequests.certificates.k8s.io", &held.name)?;
        decoded(str_at(request, &["status", "certificate"]))
            .filter(|pem| !pem.is_empty())
            .map(|pem| format!("{pem}{}", held.key))
    });
    if certificate.is_some() {
        *waiting = None;
    }
    Ok(certificate)
}

fn ask(kube: &mut Kube, user: &User, method: &str, path: &str, body: &Value, now: Timestamp) -> Result<Reply, Refusal> {
    dispatch::handle(kube, &Call::inside(method, path, body, user.clone(), AGENT, now))
}

/// Makes the node unless it is there.
fn register(kube: &mut Kube, user: &User, facts: &NodeFacts, now: Timestamp) -> Result<(), Refusal> {
    if kube.object(&core("nodes"), &facts.name).is_some() {
        return Ok(());
    }
    let mut labels: BTreeMap<String, String> = facts.labels.clone();
    for (key, value) in [
        ("beta.kubernetes.io/arch", "amd64"),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", facts.name.as_str()),
        ("kubernetes.io/os", "linux"),
    ] {
        labels.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let mut spec = json!({});
    if let Some(id) = &facts.provider_id {
        spec["providerID"] = json!(id);
    }
    if !facts.taints.is_empty() {
        spec["taints"] = facts.taints.iter().filter_map(|taint| read_taint(taint)).collect();
    }
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": facts.name,
            "labels": labels,
            "annotations": { "volumes.kubernetes.io/controller-managed-attach-detach": "true" },
        },
        "spec": spec,
        "status": status(facts, now),
    });
    ask(kube, user, "POST", "/api/v1/nodes", &node, now).map(drop)?;
    // Its agent starts anew.
    kube.kubelets.remove(&facts.name);
    Ok(())
}

fn read_taint(taint: &str) -> Option<Value> {
    let (pair, effect) = taint.rsplit_once(':')?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let mut read = json!({ "key": key, "effect": effect });
    if !value.is_empty() {
        read["value"] = json!(value);
    }
    Some(read)
}

fn condition(kind: &str, status: bool, reason: &str, message: &str, now: Timestamp) -> Value {
    json!({
        "type": kind,
        "status": if status { "True" } else { "False" },
        "lastHeartbeatTime": moment(now),
        "lastTransitionTime": moment(now),
        "reason": reason,
        "message": message,
    })
}

fn ready_condition(facts: &NodeFacts, now: Timestamp) -> Value {
    let broken = |why: &str| condition("Ready", false, "KubeletNotReady", why, now);
    match (&facts.runtime, &facts.pod_cidr) {
        (None, _) => broken("container runtime is down"),
        (_, None) => broken(
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: \
             cni plugin not initialized",
        ),
        _ => condition("Ready", true, "KubeletReady", "kubelet is posting ready status", now),
    }
}

/// What a kubelet says of its node.
pub(super) fn status(facts: &NodeFacts, now: Timestamp) -> Value {
    let amounts = json!({ "cpu": "2", "ephemeral-storage": "30298176Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0", "memory": "8129616Ki", "pods": "110" });
    json!({
        "addresses": [{ "type": "InternalIP", "address": facts.address }, { "type": "Hostname", "address": facts.name }],
        "allocatable": amounts,
        "capacity": amounts,
        "conditions": [
            condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available", now),
            condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure", now),
            condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available", now),
            ready_condition(facts, now),
        ],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
        "nodeInfo": {
            "machineID": facts.machine_id,
            "systemUUID": facts.machine_id,
            "bootID": facts.boot_id,
            "kernelVersion": facts.kernel,
            "osImage": facts.os_image,
            "containerRuntimeVersion": facts.runtime.clone().unwrap_or_default(),
            "kubeletVersion": facts.version,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    })
}

/// Reports the node's state where it differs from what the server has, and whether the node is ready.
fn report(kube: &mut Kube, user: &User, facts: &NodeFacts, now: Timestamp) -> Result<bool, Refusal> {
    let mut wanted = status(facts, now);
    let node = kube.object(&core("nodes"), &facts.name).cloned().unwrap_or_default();
    let mut held = json!({});
    for key in ["addresses", "allocatable", "capacity", "conditions", "daemonEndpoints", "nodeInfo"] {
        set(&mut held, &[key], at(&node, &["status", key]).cloned().unwrap_or_default());
    }
    keep_transitions(&mut wanted, &held);
    if without_heartbeats(&held) != without_heartbeats(&wanted) {
        let path = format!("/api/v1/nodes/{}/status", facts.name);
        ask(kube, user, "PATCH", &path, &json!({ "status": wanted }), now)?;
    }
    Ok(kube.object(&core("nodes"), &facts.name).is_some_and(|node| super::json::holds(node, "Ready")))
}

/// A condition that stays as it is keeps the time of its last change.
fn keep_transitions(wanted: &mut Value, held: &Value) {
    for condition in wanted.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let same = |each: &&Value| {
            str_at(each, &["type"]) == str_at(condition, &["type"])
                && str_at(each, &["status"]) == str_at(condition, &["status"])
        };
        if let Some(before) = list_at(held, &["conditions"]).iter().find(same) {
            let since = before.get("lastTransitionTime").cloned().unwrap_or_default();
            set(condition, &["lastTransitionTime"], since);
        }
    }
}

fn without_heartbeats(status: &Value) -> Value {
    let mut status = status.clone();
    for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        super::json::remove(condition, &["lastHeartbeatTime"]);
    }
    status
}

fn renew_lease(kube: &mut Kube, user: &User, facts: &NodeFacts, now: Timestamp) -> Result<(), Refusal> {
    let held = kube.named("leases.coordination.k8s.io", &format!("kube-node-lease/{}", facts.name)).cloned();
    let renewed = held.as_ref().and_then(|lease| str_at(lease, &["spec", "renewTime"]).parse::<Timestamp>().ok());
    if renewed.is_some_and(|renewed| now.duration_since(renewed) < LEASE_INTERVAL) {
        return Ok(());
    }
    let uid =
        kube.object(&core("nodes"), &facts.name).map(|node| super::json::uid_of(node).to_owned()).unwrap_or_default();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": facts.name,
            "namespace": "kube-node-lease",
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": facts.name, "uid": uid }],
        },
        "spec": { "holderIdentity": facts.name, "leaseDurationSeconds": 40, "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string() },
    });
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let path = format!("{path}/{}", facts.name);
    ask(kube, user, "PUT", &path, &lease, now).map(drop)
}
