use std::{collections::BTreeSet, net::IpAddr};

use serde_json::Value;
use stargate_kubernetes_client::json::{condition, text, texts};

use super::CsrContent;

/// Signer of the certificates with which kubelets call the API server. The cluster approves such
/// requests itself if a role permits it.
const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signer of the certificates with which kubelets answer the API server. No controller of
/// Kubernetes approves such requests.
const SERVING: &str = "kubernetes.io/kubelet-serving";
/// Group of all nodes; the organization of their certificates.
const NODES_GROUP: &str = "system:nodes";

/// Purpose of a kubelet's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CsrPurpose {
    /// Client certificate, for calls to the API server.
    Client,
    /// Serving certificate, for calls of the API server to the kubelet.
    Serving,
}

/// State of a certificate request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CsrState {
    /// Neither approved nor refused.
    Pending,
    /// Approved and not signed yet.
    Approved,
    /// Signed: the request contains the certificate.
    Issued,
    /// Denied, or failed in the signer.
    Refused,
}

/// Node whose certificate requests may be approved.
#[derive(Debug)]
pub(crate) struct NodeIdentity<'a> {
    /// Name of the node.
    pub(crate) name: &'a str,
    /// The only address that its serving certificate may contain.
    pub(crate) address: IpAddr,
}

/// Purpose of a request, from its signer; `None` for signers that kubelets do not use.
pub(crate) fn csr_purpose(csr: &Value) -> Option<CsrPurpose> {
    match text(csr, "/spec/signerName") {
        Some(CLIENT) => Some(CsrPurpose::Client),
        Some(SERVING) => Some(CsrPurpose::Serving),
        _ => None,
    }
}

/// State of a request, from its conditions and its certificate.
pub(crate) fn csr_state(csr: &Value) -> CsrState {
    let has = |name| condition(csr, name).is_some_and(|condition| condition["status"] == "True");
    let is_issued = text(csr, "/status/certificate").is_some_and(|certificate| !certificate.is_empty());
    match (has("Denied") || has("Failed"), is_issued, has("Approved")) {
        (true, ..) => CsrState::Refused,
        (false, true, _) => CsrState::Issued,
        (false, false, true) => CsrState::Approved,
        (false, false, false) => CsrState::Pending,
    }
}

/// True if the node created the request, or if another account did and the request has the node's
/// name.
pub(crate) fn is_of_node(csr: &Value, node: &str) -> bool {
    let user = user_of(node);
    text(csr, "/spec/username") == Some(&user)
        || CsrContent::parse(csr).is_ok_and(|content| content.common_names.contains(&user))
}

/// Account of a node, which is the common name of its certificates ("Using Node Authorization",
/// Kubernetes documentation).
fn user_of(node: &str) -> String {
    format!("system:node:{node}")
}

impl NodeIdentity<'_> {
    fn user(&self) -> String {
        user_of(self.name)
    }

    /// True if the request is about the node: created by it, or with its name or its address.
    pub(crate) fn is_concerned(&self, csr: &Value) -> bool {
        if text(csr, "/spec/username") == Some(&self.user()) {
            return true;
        }
        CsrContent::parse(csr).is_ok_and(|content| {
            content.common_names.contains(&self.user())
                || content.dns_names.contains(self.name)
                || content.addresses.contains(&self.address)
        })
    }

    /// Checks that the request is the node's own and asks for no more than a kubelet needs.
    ///
    /// # Errors
    /// The reason, for users. The request must not be approved then.
    ///
    /// The signers check less: what passes here gives its owner the identity of this one node at
    /// its one address, and nothing more.
    pub(crate) fn check(&self, csr: &Value, purpose: CsrPurpose) -> Result<(), String> {
        self.check_requestor(csr, purpose)?;
        let content = CsrContent::parse(csr)?;
        self.check_subject(&content)?;
        self.check_names(&content, purpose)?;
        check_usages(csr, purpose)
    }

    /// A bootstrap token may request the first client certificate of any node. A serving
    /// certificate is requested by the node itself.
    fn check_requestor(&self, csr: &Value, purpose: CsrPurpose) -> Result<(), String> {
        let user = text(csr, "/spec/username").unwrap_or_default();
        let is_in = |group: &str| texts(csr, "/spec/groups").any(|g| g == group);
        let is_node = user == self.user() && is_in(NODES_GROUP);
        let bootstraps = user.starts_with("system:bootstrap:") && is_in("system:bootstrappers");
        if is_node || (purpose == CsrPurpose::Client && bootstraps) {
            return Ok(());
        }
        Err(format!("it was created by {user:?}, not by the node"))
    }

    /// An additional organization would be an additional group, such as `system:masters`.
    fn check_subject(&self, content: &CsrContent) -> Result<(), String> {
        if content.common_names != [self.user()] {
            return Err(format!("its common name is {:?}, not {:?}", content.common_names, self.user()));
        }
        if content.organizations != [NODES_GROUP] {
            return Err(format!("its organization is {:?}, not {NODES_GROUP:?}", content.organizations));
        }
        if content.other_subject {
            return Err("its subject has attributes that a node's has not".into());
        }
        match content.others.as_slice() {
            [] => Ok(()),
            others => Err(format!("it asks for {}", others.join(", "))),
        }
    }

    /// A client certificate has neither names nor addresses. A serving certificate has at least one
    /// of them.
    fn check_names(&self, content: &CsrContent, purpose: CsrPurpose) -> Result<(), String> {
        if let Some(name) = content.dns_names.iter().find(|name| purpose == CsrPurpose::Client || *name != self.name) {
            return Err(format!("it asks for the name {name:?}"));
        }
        if let Some(ip) = content.addresses.iter().find(|ip| purpose == CsrPurpose::Client || **ip != self.address) {
            return Err(format!("it asks for the address {ip}"));
        }
        if purpose == CsrPurpose::Serving && content.dns_names.is_empty() && content.addresses.is_empty() {
            return Err("it asks for no name and no address".into());
        }
        Ok(())
    }
}

/// The usages are compared as a set, because kubelets write them in different orders.
fn check_usages(csr: &Value, purpose: CsrPurpose) -> Result<(), String> {
    let role = match purpose {
        CsrPurpose::Client => "client auth",
        CsrPurpose::Serving => "server auth",
    };
    let usages: BTreeSet<&str> = texts(csr, "/spec/usages").collect();
    let ecdsa = BTreeSet::from(["digital signature", role]);
    // RSA keys also encipher keys.
    let rsa = BTreeSet::from(["digital signature", "key encipherment", role]);
    if usages == ecdsa || usages == rsa { Ok(()) } else { Err(format!("it asks for the usages {usages:?}")) }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};
    use serde_json::json;

    use super::*;

    struct TestCsr {
        signer: &'static str,
        user: &'static str,
        groups: Vec<&'static str>,
        usages: Vec<&'static str>,
        common_name: &'static str,
        organization: &'static str,
        names: Vec<SanType>,
    }

    fn serving() -> TestCsr {
        TestCsr {
            signer: SERVING,
            user: "system:node:worker-1",
            groups: vec![NODES_GROUP, "system:authenticated"],
            usages: vec!["digital signature", "server auth"],
            common_name: "system:node:worker-1",
            organization: NODES_GROUP,
            names: vec![dns("worker-1"), ip("10.50.1.5")],
        }
    }

    fn client() -> TestCsr {
        TestCsr {
            signer: CLIENT,
            user: "system:bootstrap:abcdef",
            groups: vec!["system:bootstrappers", "system:bootstrappers:stargate"],
            usages: vec!["digital signature", "client auth"],
            names: Vec::new(),
            ..serving()
        }
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().expect("DNS name"))
    }

    fn ip(address: &str) -> SanType {
        SanType::IpAddress(address.parse().expect("address"))
    }

    impl TestCsr {
        fn csr(self) -> Value {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::OrganizationName, self.organization);
            params.distinguished_name.push(DnType::CommonName, self.common_name);
            params.subject_alt_names = self.names;
            let key = KeyPair::generate().expect("key");
            let pem = params.serialize_request(&key).expect("request").pem().expect("PEM");
            json!({"spec": {"request": STANDARD.encode(pem), "signerName": self.signer, "username": self.user,
                "groups": self.groups, "usages": self.usages}})
        }

        fn check(self) -> Result<(), String> {
            let csr = self.csr();
            let identity = NodeIdentity { name: "worker-1", address: "10.50.1.5".parse().expect("address") };
            assert!(identity.is_concerned(&csr), "a request like this is about the node");
            identity.check(&csr, csr_purpose(&csr).expect("a kubelet's signer"))
        }
    }

    #[test]
    fn requests_of_a_kubelet_are_approved() {
        serving().check().expect("serving");
        client().check().expect("first client certificate");
        let renewal = TestCsr { user: "system:node:worker-1", groups: vec![NODES_GROUP], ..client() };
        renewal.check().expect("renewal");
        let rsa = vec!["key encipherment", "digital signature", "server auth"];
        TestCsr { usages: rsa, ..serving() }.check().expect("RSA key");
    }

    #[test]
    fn other_requests_are_refused_with_the_reason() {
        let refused = |request: TestCsr, why: &str| {
            let error = request.check().expect_err(why);
            assert!(error.contains(why), "{error}");
        };
        refused(TestCsr { names: vec![dns("worker-1"), dns("kubernetes.default")], ..serving() }, "kubernetes.default");
        refused(TestCsr { names: vec![ip("10.50.1.5"), ip("10.50.1.6")], ..serving() }, "10.50.1.6");
        refused(
            TestCsr { names: vec![dns("worker-1"), SanType::URI("spiffe://x".try_into().expect("URI"))], ..serving() },
            "spiffe",
        );
        refused(TestCsr { names: Vec::new(), ..serving() }, "no name and no address");
        refused(TestCsr { user: "system:node:worker-2", ..serving() }, "worker-2");
        refused(TestCsr { user: "system:bootstrap:abcdef", ..serving() }, "created by");
        refused(TestCsr { groups: vec![], ..client() }, "created by");
        refused(TestCsr { common_name: "system:node:worker-2", ..serving() }, "common name");
        refused(TestCsr { organization: "system:masters", ..client() }, "organization");
        refused(TestCsr { usages: vec!["digital signature", "server auth", "client auth"], ..serving() }, "usages");
        refused(TestCsr { names: vec![dns("worker-1")], ..client() }, "the name");
    }

    #[test]
    fn requests_of_other_nodes_are_ignored() {
        let other = TestCsr {
            user: "system:node:worker-2",
            common_name: "system:node:worker-2",
            names: vec![dns("worker-2"), ip("10.50.1.6")],
            ..serving()
        };
        let identity = NodeIdentity { name: "worker-1", address: "10.50.1.5".parse().expect("address") };
        assert!(!identity.is_concerned(&other.csr()));
    }

    #[test]
    fn two_pem_blocks_or_a_preamble_are_refused() {
        let csr = serving().csr();
        let pem = STANDARD.decode(csr["spec"]["request"].as_str().expect("text")).expect("base64");
        for pem in [[pem.clone(), pem.clone()].concat(), [b"x\n".to_vec(), pem].concat()] {
            let csr = json!({"spec": {"request": STANDARD.encode(pem)}});
            assert!(CsrContent::parse(&csr).is_err());
        }
    }

    #[test]
    fn the_state_is_read_from_conditions_and_certificate() {
        let csr = |conditions: &[&str], certificate: &str| {
            let conditions: Vec<_> = conditions.iter().map(|c| json!({"type": c, "status": "True"})).collect();
            json!({"status": {"conditions": conditions, "certificate": certificate}})
        };
        assert_eq!(csr_state(&csr(&[], "")), CsrState::Pending);
        assert_eq!(csr_state(&csr(&["Approved"], "")), CsrState::Approved);
        assert_eq!(csr_state(&csr(&["Approved"], "x")), CsrState::Issued);
        assert_eq!(csr_state(&csr(&["Approved", "Failed"], "")), CsrState::Refused);
    }
}
