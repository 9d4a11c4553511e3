use serde_json::{Value, json};

use super::json::{str_at, strings_at};

/// A kind of object that the server keeps, and how it is reached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) namespaced: bool,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    /// Whether `status` is written through a subresource only.
    pub(crate) has_status: bool,
    /// Whether `metadata.generation` counts changes of the specification.
    pub(crate) has_generation: bool,
    /// The version's part of the definition, for a custom resource.
    pub(crate) custom: Option<Value>,
}

/// A resource that every cluster has.
#[derive(Clone, Copy)]
struct BuiltIn {
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
    short: &'static [&'static str],
    has_status: bool,
    has_generation: bool,
}

const fn cluster(group: &'static str, plural: &'static str, kind: &'static str) -> BuiltIn {
    BuiltIn { group, plural, kind, namespaced: false, short: &[], has_status: false, has_generation: false }
}

const fn local(group: &'static str, plural: &'static str, kind: &'static str) -> BuiltIn {
    BuiltIn { namespaced: true, ..cluster(group, plural, kind) }
}

const fn short(short: &'static [&'static str], built_in: BuiltIn) -> BuiltIn {
    BuiltIn { short, ..built_in }
}

const fn status(built_in: BuiltIn) -> BuiltIn {
    BuiltIn { has_status: true, ..built_in }
}

/// With status and generation, as what has controllers.
const fn controlled(built_in: BuiltIn) -> BuiltIn {
    BuiltIn { has_status: true, has_generation: true, ..built_in }
}

pub(crate) const RBAC: &str = "rbac.authorization.k8s.io";
pub(crate) const CERTIFICATES: &str = "certificates.k8s.io";

const BUILT_IN: [BuiltIn; 28] = [
    short(&["cm"], local("", "configmaps", "ConfigMap")),
    short(&["ep"], local("", "endpoints", "Endpoints")),
    short(&["ev"], local("", "events", "Event")),
    short(&["ns"], status(cluster("", "namespaces", "Namespace"))),
    short(&["no"], status(cluster("", "nodes", "Node"))),
    short(&["po"], controlled(local("", "pods", "Pod"))),
    local("", "secrets", "Secret"),
    short(&["sa"], local("", "serviceaccounts", "ServiceAccount")),
    short(&["svc"], status(local("", "services", "Service"))),
    short(
        &["crd", "crds"],
        controlled(cluster("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition")),
    ),
    local("apps", "controllerrevisions", "ControllerRevision"),
    short(&["ds"], controlled(local("apps", "daemonsets", "DaemonSet"))),
    short(&["deploy"], controlled(local("apps", "deployments", "Deployment"))),
    short(&["rs"], controlled(local("apps", "replicasets", "ReplicaSet"))),
    short(&["sts"], controlled(local("apps", "statefulsets", "StatefulSet"))),
    short(&["cj"], controlled(local("batch", "cronjobs", "CronJob"))),
    controlled(local("batch", "jobs", "Job")),
    short(&["csr"], status(cluster(CERTIFICATES, "certificatesigningrequests", "CertificateSigningRequest"))),
    local("coordination.k8s.io", "leases", "Lease"),
    local("discovery.k8s.io", "endpointslices", "EndpointSlice"),
    short(
        &["netpol"],
        BuiltIn { has_generation: true, ..local("networking.k8s.io", "networkpolicies", "NetworkPolicy") },
    ),
    short(&["pdb"], controlled(local("policy", "poddisruptionbudgets", "PodDisruptionBudget"))),
    cluster(RBAC, "clusterrolebindings", "ClusterRoleBinding"),
    cluster(RBAC, "clusterroles", "ClusterRole"),
    local(RBAC, "rolebindings", "RoleBinding"),
    local(RBAC, "roles", "Role"),
    short(
        &["pc"],
        BuiltIn { has_generation: true, ..cluster("scheduling.k8s.io", "priorityclasses", "PriorityClass") },
    ),
    short(&["sc"], cluster("storage.k8s.io", "storageclasses", "StorageClass")),
];

impl BuiltIn {
    fn resource(&self) -> Resource {
        let all: &[&str] = match self.plural {
            "pods" | "services" | "daemonsets" | "deployments" | "replicasets" | "statefulsets" | "jobs"
            | "cronjobs" => &["all"],
            "customresourcedefinitions" => &["api-extensions"],
            _ => &[],
        };
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Resource {
            group: self.group.to_owned(),
            version: "v1".to_owned(),
            plural: self.plural.to_owned(),
            singular: self.kind.to_ascii_lowercase(),
            kind: self.kind.to_owned(),
            list_kind: format!("{}List", self.kind),
            namespaced: self.namespaced,
            short_names: owned(self.short),
            categories: owned(all),
            has_status: self.has_status,
            has_generation: self.has_generation,
            custom: None,
        }
    }
}

/// Every built-in resource.
pub(crate) fn built_in() -> Vec<Resource> {
    BUILT_IN.iter().map(BuiltIn::resource).collect()
}

/// The built-in resource of this group and name.
pub(crate) fn find_built_in(group: &str, plural: &str) -> Option<Resource> {
    BUILT_IN.iter().find(|each| each.group == group && each.plural == plural).map(BuiltIn::resource)
}

/// A resource that is certain to exist.
pub(crate) fn core(plural: &str) -> Resource {
    let found = BUILT_IN.iter().find(|each| each.plural == plural).map(BuiltIn::resource);
    found.expect("callers name built-in resources")
}

/// The resources that a definition makes, one for each version that is served.
pub(crate) fn of_definition(definition: &Value) -> Vec<Resource> {
    let spec = definition.get("spec").unwrap_or(&Value::Null);
    let versions = spec.get("versions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let served = versions.iter().filter(|version| version.get("served") == Some(&json!(true)));
    served.map(|version| custom(spec, version)).collect()
}

fn custom(spec: &Value, version: &Value) -> Resource {
    let name = |key: &str| str_at(spec, &["names", key]).to_owned();
    let kind = name("kind");
    let or = |text: String, other: String| if text.is_empty() { other } else { text };
    Resource {
        group: str_at(spec, &["group"]).to_owned(),
        version: str_at(version, &["name"]).to_owned(),
        plural: name("plural"),
        singular: or(name("singular"), kind.to_ascii_lowercase()),
        list_kind: or(name("listKind"), format!("{kind}List")),
        kind,
        namespaced: str_at(spec, &["scope"]) == "Namespaced",
        short_names: strings_at(spec, &["names", "shortNames"]),
        categories: strings_at(spec, &["names", "categories"]),
        has_status: version.pointer("/subresources/status").is_some(),
        has_generation: true,
        custom: Some(version.clone()),
    }
}

impl Resource {
    /// `plural.group`, which names the resource and its objects' place in the store.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `group/version`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Place of an object among those of the resource.
    pub(crate) fn place(&self, namespace: &str, name: &str) -> String {
        if self.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }

    /// Names of what hangs below an object.
    pub(crate) fn subresources(&self) -> Vec<&'static str> {
        let mut names = if self.has_status { vec!["status"] } else { Vec::new() };
        match self.qualified().as_str() {
            "pods" => names.extend(["eviction", "binding", "exec", "log"]),
            "serviceaccounts" => names.push("token"),
            "namespaces" => names.push("finalize"),
            "certificatesigningrequests.certificates.k8s.io" => names.push("approval"),
            "deployments.apps" | "replicasets.apps" | "statefulsets.apps" => names.push("scale"),
            _ => {}
        }
        names
    }

    /// The schema of a custom resource.
    pub(crate) fn schema(&self) -> Option<&Value> {
        self.custom.as_ref()?.pointer("/schema/openAPIV3Schema")
    }
}
