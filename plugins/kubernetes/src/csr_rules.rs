use std::{collections::BTreeSet, net::IpAddr};

use serde_json::Value;

use crate::{
    csr_request::Asked,
    field::{condition, text, texts},
};

const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING: &str = "kubernetes.io/kubelet-serving";
const NODES_GROUP: &str = "system:nodes";

/// Which of its two certificates a kubelet asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// With which it speaks to the API server.
    Client,
    /// With which it is spoken to.
    Serving,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Pending,
    /// Approved, and not signed yet.
    Approved,
    Issued,
    /// Denied, or given up by the signer.
    Refused,
}

/// Whose certificates may be approved.
#[derive(Debug)]
pub(crate) struct NodeIdentity<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: IpAddr,
}

/// What the request is for; `None` for signers that are no business of a node.
pub(crate) fn purpose(csr: &Value) -> Option<Purpose> {
    match text(csr, "/spec/signerName") {
        Some(CLIENT) => Some(Purpose::Client),
        Some(SERVING) => Some(Purpose::Serving),
        _ => None,
    }
}

/// How far the request has come.
pub(crate) fn stage(csr: &Value) -> Stage {
    let has = |name| condition(csr, name).is_some_and(|condition| condition["status"] == "True");
    let is_issued = text(csr, "/status/certificate").is_some_and(|certificate| !certificate.is_empty());
    match (has("Denied") || has("Failed"), is_issued, has("Approved")) {
        (true, ..) => Stage::Refused,
        (false, true, _) => Stage::Issued,
        (false, false, true) => Stage::Approved,
        (false, false, false) => Stage::Pending,
    }
}

/// Whether the node made the request, or somebody did in its name.
pub(crate) fn is_of_node(csr: &Value, node: &str) -> bool {
    let user = user_of(node);
    text(csr, "/spec/username") == Some(&user) || Asked::read(csr).is_ok_and(|asked| asked.common_names.contains(&user))
}

fn user_of(node: &str) -> String {
    format!("system:node:{node}")
}

impl NodeIdentity<'_> {
    fn user(&self) -> String {
        user_of(self.name)
    }

    /// Whether the request is the node's, or pretends to be: made by it, or asking for its name or its address.
    pub(crate) fn is_concerned(&self, csr: &Value) -> bool {
        if text(csr, "/spec/username") == Some(&self.user()) {
            return true;
        }
        Asked::read(csr).is_ok_and(|asked| {
            asked.common_names.contains(&self.user())
                || asked.dns_names.contains(self.name)
                || asked.addresses.contains(&self.address)
        })
    }

    /// Whether the request may be approved; otherwise why not.
    pub(crate) fn check(&self, csr: &Value, purpose: Purpose) -> Result<(), String> {
        self.check_requestor(csr, purpose)?;
        let asked = Asked::read(csr)?;
        self.check_subject(&asked)?;
        self.check_names(&asked, purpose)?;
        check_usages(csr, purpose)
    }

    fn check_requestor(&self, csr: &Value, purpose: Purpose) -> Result<(), String> {
        let user = text(csr, "/spec/username").unwrap_or_default();
        let is_in = |group: &str| texts(csr, "/spec/groups").any(|g| g == group);
        let is_node = user == self.user() && is_in(NODES_GROUP);
        let bootstraps = user.starts_with("system:bootstrap:") && is_in("system:bootstrappers");
        if is_node || (purpose == Purpose::Client && bootstraps) {
            return Ok(());
        }
        Err(format!("{user:?} made it, not the node"))
    }

    fn check_subject(&self, asked: &Asked) -> Result<(), String> {
        if asked.common_names != [self.user()] {
            return Err(format!("its common name is {:?}, not {:?}", asked.common_names, self.user()));
        }
        if asked.organizations != [NODES_GROUP] {
            return Err(format!("its organization is {:?}, not {NODES_GROUP:?}", asked.organizations));
        }
        if asked.other_subject {
            return Err("its subject says more than a node's does".into());
        }
        match asked.others.as_slice() {
            [] => Ok(()),
            others => Err(format!("it asks for {}", others.join(", "))),
        }
    }

    fn check_names(&self, asked: &Asked, purpose: Purpose) -> Result<(), String> {
        if let Some(name) = asked.dns_names.iter().find(|name| purpose == Purpose::Client || *name != self.name) {
            return Err(format!("it asks for the name {name:?}"));
        }
        if let Some(ip) = asked.addresses.iter().find(|ip| purpose == Purpose::Client || **ip != self.address) {
            return Err(format!("it asks for the address {ip}"));
        }
        if purpose == Purpose::Serving && asked.dns_names.is_empty() && asked.addresses.is_empty() {
            return Err("it asks for no name and no address".into());
        }
        Ok(())
    }
}

fn check_usages(csr: &Value, purpose: Purpose) -> Result<(), String> {
    let role = match purpose {
        Purpose::Client => "client auth",
        Purpose::Serving => "server auth",
    };
    let usages: BTreeSet<&str> = texts(csr, "/spec/usages").collect();
    let elliptic = BTreeSet::from(["digital signature", role]);
    // RSA keys are used for key encipherment too.
    let rsa = BTreeSet::from(["digital signature", "key encipherment", role]);
    if usages == elliptic || usages == rsa { Ok(()) } else { Err(format!("it asks for the usages {usages:?}")) }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};
    use serde_json::json;

    use super::*;

    struct Request {
        signer: &'static str,
        user: &'static str,
        groups: Vec<&'static str>,
        usages: Vec<&'static str>,
        common_name: &'static str,
        organization: &'static str,
        names: Vec<SanType>,
    }

    fn serving() -> Request {
        Request {
            signer: SERVING,
            user: "system:node:worker-1",
            groups: vec![NODES_GROUP, "system:authenticated"],
            usages: vec!["digital signature", "server auth"],
            common_name: "system:node:worker-1",
            organization: NODES_GROUP,
            names: vec![dns("worker-1"), ip("10.50.1.5")],
        }
    }

    fn client() -> Request {
        Request {
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

    impl Request {
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
            assert!(identity.is_concerned(&csr), "a request like this is looked at");
            identity.check(&csr, purpose(&csr).expect("a kubelet's signer"))
        }
    }

    #[test]
    fn what_a_kubelet_asks_for_is_approved() {
        serving().check().expect("serving");
        client().check().expect("first client certificate");
        let renewal = Request { user: "system:node:worker-1", groups: vec![NODES_GROUP], ..client() };
        renewal.check().expect("renewal");
        let rsa = vec!["key encipherment", "digital signature", "server auth"];
        Request { usages: rsa, ..serving() }.check().expect("RSA key");
    }

    #[test]
    fn whatever_else_is_refused_with_its_reason() {
        let refused = |request: Request, why: &str| {
            let error = request.check().expect_err(why);
            assert!(error.contains(why), "{error}");
        };
        refused(Request { names: vec![dns("worker-1"), dns("kubernetes.default")], ..serving() }, "kubernetes.default");
        refused(Request { names: vec![ip("10.50.1.5"), ip("10.50.1.6")], ..serving() }, "10.50.1.6");
        refused(
            Request { names: vec![dns("worker-1"), SanType::URI("spiffe://x".try_into().expect("URI"))], ..serving() },
            "spiffe",
        );
        refused(Request { names: Vec::new(), ..serving() }, "no name and no address");
        refused(Request { user: "system:node:worker-2", ..serving() }, "worker-2");
        refused(Request { user: "system:bootstrap:abcdef", ..serving() }, "made it");
        refused(Request { groups: vec![], ..client() }, "made it");
        refused(Request { common_name: "system:node:worker-2", ..serving() }, "common name");
        refused(Request { organization: "system:masters", ..client() }, "organization");
        refused(Request { usages: vec!["digital signature", "server auth", "client auth"], ..serving() }, "usages");
        refused(Request { names: vec![dns("worker-1")], ..client() }, "the name");
    }

    #[test]
    fn requests_of_others_are_not_looked_at() {
        let other = Request {
            user: "system:node:worker-2",
            common_name: "system:node:worker-2",
            names: vec![dns("worker-2"), ip("10.50.1.6")],
            ..serving()
        };
        let identity = NodeIdentity { name: "worker-1", address: "10.50.1.5".parse().expect("address") };
        assert!(!identity.is_concerned(&other.csr()));
    }

    #[test]
    fn two_blocks_or_a_preamble_are_no_request() {
        let csr = serving().csr();
        let pem = STANDARD.decode(csr["spec"]["request"].as_str().expect("text")).expect("base64");
        for pem in [[pem.clone(), pem.clone()].concat(), [b"x\n".to_vec(), pem].concat()] {
            let csr = json!({"spec": {"request": STANDARD.encode(pem)}});
            assert!(Asked::read(&csr).is_err());
        }
    }

    #[test]
    fn a_stage_is_read_from_conditions_and_certificate() {
        let csr = |conditions: &[&str], certificate: &str| {
            let conditions: Vec<_> = conditions.iter().map(|c| json!({"type": c, "status": "True"})).collect();
            json!({"status": {"conditions": conditions, "certificate": certificate}})
        };
        assert_eq!(stage(&csr(&[], "")), Stage::Pending);
        assert_eq!(stage(&csr(&["Approved"], "")), Stage::Approved);
        assert_eq!(stage(&csr(&["Approved"], "x")), Stage::Issued);
        assert_eq!(stage(&csr(&["Approved", "Failed"], "")), Stage::Refused);
    }
}
