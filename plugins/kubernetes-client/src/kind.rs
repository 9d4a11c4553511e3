use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Characters that are percent-encoded in a path segment.
const SEGMENT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?');

/// A kind of object with its place in the server's paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectKind {
    /// Path of the API version: `/api/v1`, or `/apis/GROUP/VERSION`.
    pub base: Cow<'static, str>,
    /// Name of the collection, such as `nodes`.
    pub plural: Cow<'static, str>,
    /// True if each object of the kind is in a namespace.
    pub namespaced: bool,
}

/// Name of an object of a known kind, with its namespace.
#[derive(Debug, Clone, Copy)]
pub struct ObjectName<'a> {
    /// Namespace of the object; `None` for a kind without namespaces.
    pub namespace: Option<&'a str>,
    /// Name of the object.
    pub name: &'a str,
}

impl<'a> ObjectName<'a> {
    /// Names an object of a kind without namespaces.
    pub fn cluster(name: &'a str) -> Self {
        Self { namespace: None, name }
    }

    /// Names an object in a namespace.
    pub fn namespaced(namespace: &'a str, name: &'a str) -> Self {
        Self { namespace: Some(namespace), name }
    }
}

const fn kind(base: &'static str, plural: &'static str, namespaced: bool) -> ObjectKind {
    ObjectKind { base: Cow::Borrowed(base), plural: Cow::Borrowed(plural), namespaced }
}

/// Namespaces of the cluster.
pub const NAMESPACES: ObjectKind = kind("/api/v1", "namespaces", false);
/// Leases, locks of runs among them.
pub const LEASES: ObjectKind = kind("/apis/coordination.k8s.io/v1", "leases", true);
/// Nodes of the cluster.
pub const NODES: ObjectKind = kind("/api/v1", "nodes", false);
/// Pods, of all nodes.
pub const PODS: ObjectKind = kind("/api/v1", "pods", true);
/// Secrets, bootstrap tokens among them.
pub const SECRETS: ObjectKind = kind("/api/v1", "secrets", true);
/// Config maps, the registry of pod CIDRs among them.
pub const CONFIG_MAPS: ObjectKind = kind("/api/v1", "configmaps", true);
/// Accounts of programs in the cluster.
pub const SERVICE_ACCOUNTS: ObjectKind = kind("/api/v1", "serviceaccounts", true);
/// Certificate signing requests.
pub const CERTIFICATE_REQUESTS: ObjectKind = kind("/apis/certificates.k8s.io/v1", "certificatesigningrequests", false);
/// Cilium's objects about nodes, one for each node with an agent.
pub const CILIUM_NODES: ObjectKind = kind("/apis/cilium.io/v2", "ciliumnodes", false);
/// Azure's objects about the addresses of nodes, one for each node that AKS manages.
pub const NODE_NETWORK_CONFIGS: ObjectKind = kind("/apis/acn.azure.com/v1alpha", "nodenetworkconfigs", true);
/// Sites that workflows of this program have registered.
pub const SITES: ObjectKind = kind("/apis/stargate.io/v1alpha1", "sites", false);
/// Routers and workers that workflows of this program have registered.
pub const SERVERS: ObjectKind = kind("/apis/stargate.io/v1alpha1", "servers", false);

impl ObjectKind {
    /// Path of the collection: of one namespace, or of all if `namespace` is `None`.
    pub fn collection_path(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) if self.namespaced => {
                format!("{}/namespaces/{}/{}", self.base, segment(namespace), self.plural)
            }
            _ => format!("{}/{}", self.base, self.plural),
        }
    }

    /// Path of one object, or of one of its subresources, such as `status`.
    pub fn object_path(&self, object: ObjectName<'_>, subresource: Option<&str>) -> String {
        let path = format!("{}/{}", self.collection_path(object.namespace), segment(object.name));
        match subresource {
            Some(subresource) => format!("{path}/{subresource}"),
            None => path,
        }
    }
}

fn segment(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, SEGMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_namespace_of_namespaced_kinds_only() {
        let pod = ObjectName::namespaced("web", "a/b");
        assert_eq!(PODS.object_path(pod, Some("exec")), "/api/v1/namespaces/web/pods/a%2Fb/exec");
        assert_eq!(NODES.object_path(ObjectName::namespaced("web", "n"), None), "/api/v1/nodes/n");
        assert_eq!(PODS.collection_path(None), "/api/v1/pods");
    }
}
