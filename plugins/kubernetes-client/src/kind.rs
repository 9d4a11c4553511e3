use std::{borrow::Cow, fmt};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use stargate_sdk::ActionError;

/// Characters that are percent-encoded in a path segment.
const SEGMENT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?');

/// Maximum length of a name, in bytes: that of a DNS subdomain.
const MAX_NAME_BYTES: usize = 253;

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

/// Name of an object of a known kind, with its namespace. It is one segment of a path: it cannot
/// name a collection or another object.
#[derive(Debug, Clone, Copy)]
pub struct ObjectName<'a> {
    /// Namespace of the object; `None` for a kind without namespaces.
    pub(crate) namespace: Option<&'a str>,
    /// Name of the object.
    pub(crate) name: &'a str,
}

impl<'a> ObjectName<'a> {
    /// Names an object of a kind without namespaces.
    ///
    /// # Errors
    /// `Permanent`, if no object can have this name.
    pub fn cluster(name: &'a str) -> Result<Self, ActionError> {
        Self::new(None, name)
    }

    /// Names an object in a namespace.
    ///
    /// # Errors
    /// `Permanent`, if no object or no namespace can have this name.
    pub fn namespaced(namespace: &'a str, name: &'a str) -> Result<Self, ActionError> {
        Self::new(Some(namespace), name)
    }

    /// Names an object, in a namespace or not.
    ///
    /// # Errors
    /// As for [`Self::namespaced`].
    pub fn new(namespace: Option<&'a str>, name: &'a str) -> Result<Self, ActionError> {
        if let Some(namespace) = namespace {
            check_segment("namespace", namespace)?;
        }
        check_segment("object", name)?;
        Ok(Self { namespace, name })
    }
}

/// Path of one object on the server, or of one of its subresources. A call that changes or deletes
/// something takes such a path, and so never concerns a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPath(String);

impl From<ObjectPath> for String {
    fn from(path: ObjectPath) -> Self {
        path.0
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks a name that becomes a segment of a path: it is not empty, `.` or `..`, and contains no
/// separator. `what` names its kind.
///
/// # Errors
/// `Permanent`, with the reason.
pub(crate) fn check_segment(what: &str, name: &str) -> Result<(), ActionError> {
    let is_foreign = |c: char| !c.is_ascii_graphic() || "/\\%?#".contains(c);
    let reason = match name {
        "" => "it is empty".to_owned(),
        "." | ".." => "it is a place in a path".to_owned(),
        _ if name.len() > MAX_NAME_BYTES => format!("it has more than {MAX_NAME_BYTES} bytes"),
        _ => match name.chars().find(|c| is_foreign(*c)) {
            Some(c) => format!("it contains {c:?}"),
            None => return Ok(()),
        },
    };
    let shown: String = name.chars().take(MAX_NAME_BYTES).collect();
    Err(ActionError::permanent(format!("{shown:?} is not the name of a Kubernetes {what}: {reason}")))
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
/// Kind of services of core/v1.
pub const SERVICES: ObjectKind = kind("/api/v1", "services", true);
/// Jobs: pods that run once.
pub const JOBS: ObjectKind = kind("/apis/batch/v1", "jobs", true);
/// Policies about which pods may reach which.
pub const NETWORK_POLICIES: ObjectKind = kind("/apis/networking.k8s.io/v1", "networkpolicies", true);
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
/// Policies of Cilium about which pods may reach which.
pub const CILIUM_POLICIES: ObjectKind = kind("/apis/cilium.io/v2", "ciliumnetworkpolicies", true);
/// Policies of Cilium for pods of all namespaces, and for nodes.
pub const CILIUM_CLUSTERWIDE_POLICIES: ObjectKind =
    kind("/apis/cilium.io/v2", "ciliumclusterwidenetworkpolicies", false);
/// Azure's objects about the addresses of nodes, one for each node that AKS manages.
pub const NODE_NETWORK_CONFIGS: ObjectKind = kind("/apis/acn.azure.com/v1alpha", "nodenetworkconfigs", true);
/// Sites that workflows of this program have registered.
pub const SITES: ObjectKind = kind("/apis/stargate.io/v1alpha1", "sites", false);
/// Routers and workers that workflows of this program have registered.
pub const SERVERS: ObjectKind = kind("/apis/stargate.io/v1alpha1", "servers", false);

impl ObjectKind {
    /// Path of the collection: of one namespace, or of all if `namespace` is `None`.
    ///
    /// # Errors
    /// `Permanent`, if no namespace can have this name.
    pub fn collection_path(&self, namespace: Option<&str>) -> Result<String, ActionError> {
        if let Some(namespace) = namespace {
            check_segment("namespace", namespace)?;
        }
        Ok(self.collection(namespace))
    }

    fn collection(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) if self.namespaced => {
                format!("{}/namespaces/{}/{}", self.base, segment(namespace), self.plural)
            }
            _ => format!("{}/{}", self.base, self.plural),
        }
    }

    /// Path of one object, or of one of its subresources, such as `status`.
    pub fn object_path(&self, object: ObjectName<'_>, subresource: Option<&str>) -> ObjectPath {
        let path = format!("{}/{}", self.collection(object.namespace), segment(object.name));
        ObjectPath(match subresource {
            Some(subresource) => format!("{path}/{subresource}"),
            None => path,
        })
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
        let pod = ObjectName::namespaced("web", "a:b").expect("a name");
        assert_eq!(PODS.object_path(pod, Some("exec")).to_string(), "/api/v1/namespaces/web/pods/a:b/exec");
        assert_eq!(NODES.object_path(pod, None).to_string(), "/api/v1/nodes/a:b");
        assert_eq!(PODS.collection_path(None).expect("all namespaces"), "/api/v1/pods");
    }

    #[test]
    fn a_name_is_one_segment_of_a_path() {
        for name in ["", ".", "..", "a/b", "a?b=c", "a#b", "a%2fb", "a\\b", "a b", "a\n", "é", &"a".repeat(254)] {
            assert!(ObjectName::cluster(name).is_err(), "{name:?}");
            assert!(ObjectName::namespaced(name, "a").is_err(), "{name:?}");
            assert!(PODS.collection_path(Some(name)).is_err(), "{name:?}");
        }
        for name in ["a", "system:node:w-1", "node-csr-_x.Y", &"a".repeat(253)] {
            assert!(ObjectName::cluster(name).is_ok(), "{name}");
        }
    }
}
