use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What a path segment may not hold as it is.
const SEGMENT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?');

/// A kind of object, as it is found on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    /// `/api/v1`, or `/apis/GROUP/VERSION`.
    pub(crate) base: Cow<'static, str>,
    /// Name of the collection, such as `nodes`.
    pub(crate) plural: Cow<'static, str>,
    /// Whether its objects live in namespaces.
    pub(crate) namespaced: bool,
}

/// Which object of a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: &'a str,
}

impl<'a> At<'a> {
    /// An object of the whole cluster.
    pub(crate) fn cluster(name: &'a str) -> Self {
        Self { namespace: None, name }
    }

    /// An object in a namespace.
    pub(crate) fn namespaced(namespace: &'a str, name: &'a str) -> Self {
        Self { namespace: Some(namespace), name }
    }
}

const fn known(base: &'static str, plural: &'static str, namespaced: bool) -> Kind {
    Kind { base: Cow::Borrowed(base), plural: Cow::Borrowed(plural), namespaced }
}

pub(crate) const NODES: Kind = known("/api/v1", "nodes", false);
pub(crate) const PODS: Kind = known("/api/v1", "pods", true);
pub(crate) const SECRETS: Kind = known("/api/v1", "secrets", true);
pub(crate) const CONFIG_MAPS: Kind = known("/api/v1", "configmaps", true);
pub(crate) const SERVICE_ACCOUNTS: Kind = known("/api/v1", "serviceaccounts", true);
pub(crate) const REQUESTS: Kind = known("/apis/certificates.k8s.io/v1", "certificatesigningrequests", false);
pub(crate) const CILIUM_NODES: Kind = known("/apis/cilium.io/v2", "ciliumnodes", false);
pub(crate) const NODE_NETWORK_CONFIGS: Kind = known("/apis/acn.azure.com/v1alpha", "nodenetworkconfigs", true);

impl Kind {
    /// One of the kinds that stargate defines itself, of the whole cluster.
    pub(crate) const fn of_ours(plural: &'static str) -> Self {
        known("/apis/stargate.io/v1alpha1", plural, false)
    }

    /// Path of the collection: in one namespace, or everywhere.
    pub(crate) fn collection(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) if self.namespaced => {
                format!("{}/namespaces/{}/{}", self.base, segment(namespace), self.plural)
            }
            _ => format!("{}/{}", self.base, self.plural),
        }
    }

    /// Path of one object, or of one of its subresources.
    pub(crate) fn object(&self, at: At<'_>, subresource: Option<&str>) -> String {
        let object = format!("{}/{}", self.collection(at.namespace), segment(at.name));
        match subresource {
            Some(subresource) => format!("{object}/{subresource}"),
            None => object,
        }
    }
}

fn segment(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, SEGMENT)
}
