use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::authority;
use super::effect::Effect;
use super::identity::by_token;
use super::json::{at, holds, list_at, name_of, remove, rfc3339, set, str_at, uid_of};
use super::request::{ApiRequest, ApiResponse};
use super::resource::core;
use super::state::{Kube, Kubelet, KubeletKeys, KubeletState, NodeFacts, PendingCertificate, User};
use super::status::Refusal;
use super::token::decoded;

/// User agent of a kubelet, which becomes the manager of the fields that it writes.
const AGENT: &str = "kubelet";

/// Interval at which a kubelet renews its lease: a quarter of the lease duration.
const LEASE_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// Path of the certificate signing requests.
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// One pass of a kubelet over its work. It sends each kind of request at most once.
#[derive(Debug)]
pub(crate) struct KubeletPass<'a> {
    /// Token of `--bootstrap-kubeconfig`.
    bootstrap_token: Option<&'a str>,
    /// Machine that the kubelet runs on.
    facts: &'a NodeFacts,
    /// Time of the pass.
    now: Timestamp,
    /// Kinds of requests that the pass has sent.
    sent: Vec<RequestKind>,
}

/// Request that a kubelet sends to the API server.
#[derive(Debug)]
pub(crate) struct KubeletRequest {
    /// Request to the API server.
    pub(crate) api_request: ApiRequest,
    /// Purpose, needed to handle the reply.
    pub(crate) purpose: Purpose,
}

/// Purpose of a request of a kubelet, with the data kept until the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Purpose {
    /// Kind of the request.
    kind: RequestKind,
    /// Private key that a certificate is requested for, in PEM; empty for other requests.
    key: String,
}

/// Kind of a request of a kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestKind {
    /// Signing request for the client certificate.
    ClientCertificate,
    /// Creation of the node.
    Register,
    /// Report of the status of the node.
    Report,
    /// Renewal of the lease of the node.
    Lease,
    /// Signing request for the serving certificate.
    ServingCertificate,
}

impl<'a> KubeletPass<'a> {
    /// Creates a pass that has sent no request.
    pub(crate) fn new(bootstrap_token: Option<&'a str>, facts: &'a NodeFacts, now: Timestamp) -> Self {
        Self { bootstrap_token, facts, now, sent: Vec::new() }
    }

    /// Returns the next request to send; `None` at the end of the pass.
    ///
    /// Stores issued certificates in `keys`.
    ///
    /// # Errors
    ///
    /// The refusal of the API server if the credentials of the kubelet are invalid.
    pub(crate) fn next_request(
        &mut self,
        kube: &Kube,
        keys: &mut KubeletKeys,
    ) -> Result<Option<KubeletRequest>, Refusal> {
        let request = self.find_request(kube, keys)?.filter(|request| !self.sent.contains(&request.purpose.kind));
        self.sent.extend(request.iter().map(|request| request.purpose.kind));
        Ok(request)
    }

    /// Returns the first due request, in the order in which a starting kubelet sends them.
    fn find_request(&self, kube: &Kube, keys: &mut KubeletKeys) -> Result<Option<KubeletRequest>, Refusal> {
        let Some(user) = self.client(kube, keys)? else { return self.request_client_certificate(kube, keys) };
        let due = self.registration(kube, &user).or_else(|| self.report(kube, &user));
        if let Some(request) = due.or_else(|| self.lease(kube, &user)) {
            return Ok(Some(request));
        }
        self.request_serving_certificate(kube, keys, &user)
    }

    /// Records the reply to a request. Returns further changes of the cluster.
    pub(crate) fn answered(&self, keys: &mut KubeletKeys, purpose: Purpose, response: &ApiResponse) -> Vec<Effect> {
        let pending = PendingCertificate { name: name_of(&response.body).to_owned(), key: purpose.key };
        match purpose.kind {
            RequestKind::ClientCertificate => keys.client_request = Some(pending),
            RequestKind::ServingCertificate => keys.server_request = Some(pending),
            // The Cilium agent of a new node has not started.
            RequestKind::Register => return vec![Effect::SetKubelet { node: self.facts.name.clone(), kubelet: None }],
            RequestKind::Report | RequestKind::Lease => {}
        }
        Vec::new()
    }

    /// Returns the change that records the kubelet; empty if the entry is current or the node is
    /// not registered.
    pub(crate) fn record(&self, kube: &Kube) -> Vec<Effect> {
        if !self.is_registered(kube) {
            return Vec::new();
        }
        let held = kube.kubelets.get(&self.facts.name);
        let kubelet = Kubelet {
            running: self.facts.runtime.is_some(),
            pod_cidr: self.facts.pod_cidr.clone(),
            ..held.cloned().unwrap_or_default()
        };
        if held == Some(&kubelet) {
            return Vec::new();
        }
        vec![Effect::SetKubelet { node: self.facts.name.clone(), kubelet: Some(kubelet) }]
    }

    /// Returns the progress of the kubelet after the pass.
    pub(crate) fn state(&self, kube: &Kube, keys: &KubeletKeys) -> KubeletState {
        if keys.client.is_none() {
            let name = keys.client_request.as_ref().map(|pending| pending.name.clone()).unwrap_or_default();
            return KubeletState::WaitsForCertificate(name);
        }
        let ready = kube.object(&core("nodes"), &self.facts.name).is_some_and(|node| holds(node, "Ready"));
        KubeletState::Registered { ready, serving: keys.server.is_some() }
    }

    /// Returns true if the node exists.
    fn is_registered(&self, kube: &Kube) -> bool {
        kube.object(&core("nodes"), &self.facts.name).is_some()
    }

    /// Returns the user of the client certificate; `None` if there is no valid certificate.
    fn client(&self, kube: &Kube, keys: &mut KubeletKeys) -> Result<Option<User>, Refusal> {
        take_issued(kube, &mut keys.client_request, &mut keys.client, self.now);
        let held = keys.client.as_deref().and_then(|pem| Some((authority::subject_of_pem(pem, self.now)?, pem)));
        match held {
            Some((user, pem)) if is_of_cluster(kube, pem) => Ok(Some(user)),
            // A kubelet never discards a certificate of another authority, even if the server
            // refuses it.
            Some(_) => Err(Refusal::unauthorized()),
            None => Ok(None),
        }
    }

    /// Returns the request for a client certificate, made with the bootstrap token.
    ///
    /// Returns `None` while an earlier request is pending.
    fn request_client_certificate(
        &self,
        kube: &Kube,
        keys: &mut KubeletKeys,
    ) -> Result<Option<KubeletRequest>, Refusal> {
        keys.client = None;
        let bootstrap = self.bootstrap_token.and_then(|token| by_token(kube, token, self.now));
        let bootstrap = bootstrap.ok_or_else(Refusal::unauthorized)?;
        if is_pending(kube, keys.client_request.as_ref()) {
            return Ok(None);
        }
        let content = CertificateContent {
            signer: "kubernetes.io/kube-apiserver-client-kubelet",
            subject: &format!("system:node:{}", self.facts.name),
            usages: &["digital signature", "client auth"],
            dns_names: &[],
            addresses: &[],
            prefix: "node-csr-",
        };
        self.certificate_request(&bootstrap, RequestKind::ClientCertificate, &content).map(Some)
    }

    /// Returns the request for a serving certificate; `None` if there is a valid one or a pending
    /// request.
    fn request_serving_certificate(
        &self,
        kube: &Kube,
        keys: &mut KubeletKeys,
        user: &User,
    ) -> Result<Option<KubeletRequest>, Refusal> {
        take_issued(kube, &mut keys.server_request, &mut keys.server, self.now);
        if keys.server.as_deref().is_some_and(|pem| authority::subject_of_pem(pem, self.now).is_some()) {
            return Ok(None);
        }
        keys.server = None;
        if is_pending(kube, keys.server_request.as_ref()) {
            return Ok(None);
        }
        let content = CertificateContent {
            signer: "kubernetes.io/kubelet-serving",
            subject: &user.name,
            usages: &["digital signature", "server auth"],
            dns_names: &[&self.facts.name],
            addresses: &[&self.facts.address],
            prefix: "csr-",
        };
        self.certificate_request(user, RequestKind::ServingCertificate, &content).map(Some)
    }

    /// Creates a key, and the request for a certificate with it.
    fn certificate_request(
        &self,
        user: &User,
        kind: RequestKind,
        content: &CertificateContent<'_>,
    ) -> Result<KubeletRequest, Refusal> {
        let (key, request) =
            authority::new_request(content.subject, "system:nodes", content.dns_names, content.addresses)
                .map_err(|error| Refusal::new(500, "InternalError", &error.to_string(), None))?;
        let body = json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": { "generateName": content.prefix },
            "spec": { "request": STANDARD.encode(request), "signerName": content.signer, "usages": content.usages },
        });
        let request = self.request(user, kind, "POST", REQUESTS, &body);
        Ok(KubeletRequest { purpose: Purpose { kind, key }, ..request })
    }

    /// Creates a request of the kubelet as `user`.
    fn request(&self, user: &User, kind: RequestKind, method: &str, path: &str, body: &Value) -> KubeletRequest {
        let api_request = ApiRequest::inside(method, path, body, user.clone(), AGENT, self.now);
        KubeletRequest { api_request, purpose: Purpose { kind, key: String::new() } }
    }

    /// Returns the request that creates the node; `None` if the node exists.
    fn registration(&self, kube: &Kube, user: &User) -> Option<KubeletRequest> {
        if self.is_registered(kube) {
            return None;
        }
        let node = new_node(self.facts, self.now);
        Some(self.request(user, RequestKind::Register, "POST", "/api/v1/nodes", &node))
    }

    /// Returns the request that reports the status of the node; `None` if the server has the same
    /// status.
    fn report(&self, kube: &Kube, user: &User) -> Option<KubeletRequest> {
        if self.sent.contains(&RequestKind::Report) {
            return None;
        }
        let mut desired = status(self.facts, self.now);
        let node = kube.object(&core("nodes"), &self.facts.name).cloned().unwrap_or_default();
        let mut held = json!({});
        for key in ["addresses", "allocatable", "capacity", "conditions", "daemonEndpoints", "nodeInfo"] {
            set(&mut held, &[key], at(&node, &["status", key]).cloned().unwrap_or_default());
        }
        keep_transitions(&mut desired, &held);
        if without_heartbeats(&held) == without_heartbeats(&desired) {
            return None;
        }
        let path = format!("/api/v1/nodes/{}/status", self.facts.name);
        Some(self.request(user, RequestKind::Report, "PATCH", &path, &json!({ "status": desired })))
    }

    /// Returns the request that renews the lease; `None` if it was renewed within
    /// [`LEASE_INTERVAL`].
    fn lease(&self, kube: &Kube, user: &User) -> Option<KubeletRequest> {
        let name = &self.facts.name;
        let held = kube.named("leases.coordination.k8s.io", &format!("kube-node-lease/{name}"));
        let renewed = held.and_then(|lease| str_at(lease, &["spec", "renewTime"]).parse::<Timestamp>().ok());
        if renewed.is_some_and(|renewed| self.now.duration_since(renewed) < LEASE_INTERVAL) {
            return None;
        }
        let uid = kube.object(&core("nodes"), name).map(|node| uid_of(node).to_owned()).unwrap_or_default();
        let mut lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "namespace": "kube-node-lease",
                "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": uid }],
            },
            "spec": { "holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": self.now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string() },
        });
        if let Some(version) = held.and_then(|lease| lease.pointer("/metadata/resourceVersion")) {
            lease["metadata"]["resourceVersion"] = version.clone();
        }
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
        Some(self.request(user, RequestKind::Lease, "PUT", &path, &lease))
    }
}

/// Content of a certificate signing request of a kubelet.
struct CertificateContent<'a> {
    /// Name of the signer.
    signer: &'a str,
    /// Common name of the subject.
    subject: &'a str,
    /// Usages in the words of Kubernetes.
    usages: &'a [&'a str],
    dns_names: &'a [&'a str],
    addresses: &'a [&'a str],
    /// Prefix of the name that the server generates.
    prefix: &'a str,
}

/// Stores an issued certificate with its key if the pending request was signed.
///
/// A valid certificate is kept.
fn take_issued(
    kube: &Kube,
    pending: &mut Option<PendingCertificate>,
    certificate: &mut Option<String>,
    now: Timestamp,
) {
    let is_held = certificate.as_deref().is_some_and(|pem| authority::subject_of_pem(pem, now).is_some());
    let Some(held) = pending.as_ref().filter(|_| !is_held) else { return };
    let request = kube.named("certificatesigningrequests.certificates.k8s.io", &held.name);
    let issued = request.and_then(|request| decoded(str_at(request, &["status", "certificate"])));
    if let Some(pem) = issued.filter(|pem| !pem.is_empty()) {
        *certificate = Some(format!("{pem}{}", held.key));
        *pending = None;
    }
}

/// Returns true if a request exists that can still be signed.
fn is_pending(kube: &Kube, pending: Option<&PendingCertificate>) -> bool {
    let request = pending.and_then(|held| kube.named("certificatesigningrequests.certificates.k8s.io", &held.name));
    request.is_some_and(|request| !holds(request, "Denied") && !holds(request, "Failed"))
}

/// Returns true if the authority of the cluster has signed a certificate.
fn is_of_cluster(kube: &Kube, pem: &str) -> bool {
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    let authority = kube.authority.as_ref().and_then(|authority| der(&authority.certificate));
    let (Some(authority), Some(own)) = (authority, der(pem)) else { return false };
    let parsed = (x509_parser::parse_x509_certificate(&authority), x509_parser::parse_x509_certificate(&own));
    let (Ok((_, authority)), Ok((_, own))) = parsed else { return false };
    own.verify_signature(Some(authority.public_key())).is_ok()
}

/// Returns the node that a kubelet registers. Labels of the machine take precedence.
fn new_node(facts: &NodeFacts, now: Timestamp) -> Value {
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
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": facts.name,
            "labels": labels,
            "annotations": { "volumes.kubernetes.io/controller-managed-attach-detach": "true" },
        },
        "spec": spec,
        "status": status(facts, now),
    })
}

/// Parses a taint `key=value:effect` or `key:effect`.
fn read_taint(taint: &str) -> Option<Value> {
    let (pair, effect) = taint.rsplit_once(':')?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let mut read = json!({ "key": key, "effect": effect });
    if !value.is_empty() {
        read["value"] = json!(value);
    }
    Some(read)
}

/// Returns a condition whose times are `now`.
fn condition(kind: &str, status: bool, reason: &str, message: &str, now: Timestamp) -> Value {
    json!({
        "type": kind,
        "status": if status { "True" } else { "False" },
        "lastHeartbeatTime": rfc3339(now),
        "lastTransitionTime": rfc3339(now),
        "reason": reason,
        "message": message,
    })
}

/// Returns the condition `Ready`, which requires a container runtime and a CNI configuration.
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

/// Returns the status that a kubelet reports for its node.
///
/// The capacity is constant, that of a machine with 2 CPUs and 8 GB.
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

/// Keeps the transition time of conditions whose status has not changed.
fn keep_transitions(desired: &mut Value, held: &Value) {
    for condition in desired.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
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

/// Returns a status without the times of its reports.
fn without_heartbeats(status: &Value) -> Value {
    let mut status = status.clone();
    for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        remove(condition, &["lastHeartbeatTime"]);
    }
    status
}
