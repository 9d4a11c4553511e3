use serde_json::{Value, json};

use super::json::{str_at, strings_at};

/// Resource that the server stores, with its names and properties.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resource {
    /// API group; empty for the core group.
    pub(crate) group: String,
    /// API version, such as `v1`.
    pub(crate) version: String,
    /// Name in paths, such as `pods`.
    pub(crate) plural: String,
    /// Name of one object in lower case, such as `pod`.
    pub(crate) singular: String,
    /// Name of the type, such as `Pod`.
    pub(crate) kind: String,
    /// Name of the type of lists, such as `PodList`.
    pub(crate) list_kind: String,
    /// True if the objects belong to namespaces.
    pub(crate) namespaced: bool,
    /// Abbreviations that `kubectl` accepts, such as `po`.
    pub(crate) short_names: Vec<String>,
    /// Groups of resources that `kubectl` accepts, such as `all`.
    pub(crate) categories: Vec<String>,
    /// True if `status` is written only through its subresource.
    pub(crate) has_status: bool,
    /// True if `metadata.generation` counts changes of the specification.
    pub(crate) has_generation: bool,
    /// Version of the definition of a custom resource; `None` for a built-in one.
    pub(crate) custom: Option<Value>,
}

/// Built-in resource, which each cluster has. Its version is always `v1`.
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

/// Creates a cluster-wide resource.
const fn cluster(group: &'static str, plural: &'static str, kind: &'static str) -> BuiltIn {
    BuiltIn { group, plural, kind, namespaced: false, short: &[], has_status: false, has_generation: false }
}

/// Creates a namespaced resource.
const fn local(group: &'static str, plural: &'static str, kind: &'static str) -> BuiltIn {
    BuiltIn { namespaced: true, ..cluster(group, plural, kind) }
}

/// Adds abbreviations to a resource.
const fn short(short: &'static [&'static str], built_in: BuiltIn) -> BuiltIn {
    BuiltIn { short, ..built_in }
}

/// Adds a status subresource to a resource.
const fn status(built_in: BuiltIn) -> BuiltIn {
    BuiltIn { has_status: true, ..built_in }
}

/// Adds status and generation to a resource, as those with controllers have.
const fn controlled(built_in: BuiltIn) -> BuiltIn {
    BuiltIn { has_status: true, has_generation: true, ..built_in }
}

/// API group of roles and bindings.
pub(crate) const RBAC: &str = "rbac.authorization.k8s.io";
/// API group of certificate signing requests.
pub(crate) const CERTIFICATES: &str = "certificates.k8s.io";

/// Built-in resources by group. A subset of those of a real cluster.
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
    /// Returns the resource with its derived names and its categories.
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

/// Returns all built-in resources.
pub(crate) fn built_in() -> Vec<Resource> {
    BUILT_IN.iter().map(BuiltIn::resource).collect()
}

/// Returns the built-in resource of a group and plural name.
pub(crate) fn find_built_in(group: &str, plural: &str) -> Option<Resource> {
    BUILT_IN.iter().find(|each| each.group == group && each.plural == plural).map(BuiltIn::resource)
}

/// Returns a built-in resource by its plural name.
///
/// # Panics
///
/// Panics if there is no such resource.
pub(crate) fn core(plural: &str) -> Resource {
    let found = BUILT_IN.iter().find(|each| each.plural == plural).map(BuiltIn::resource);
    found.expect("callers name built-in resources")
}

/// Returns the resources of a definition, one for each served version.
pub(crate) fn of_definition(definition: &Value) -> Vec<Resource> {
    let spec = definition.get("spec").unwrap_or(&Value::Null);
    let versions = spec.get("versions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let served = versions.iter().filter(|version| version.get("served") == Some(&json!(true)));
    served.map(|version| custom(spec, version)).collect()
}

/// Returns the resource of one version of a definition. Absent names are derived from the kind.
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
    /// Returns `plural.group`, the key of the objects in the store; only `plural` for the core
    /// group.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Returns `group/version`, or only the version for the core group.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Returns the key of an object within its resource: `namespace/name`, or the name of a
    /// cluster-wide object.
    pub(crate) fn place(&self, namespace: &str, name: &str) -> String {
        if self.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }

    /// Returns the names of the subresources.
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

    /// Returns the schema of a custom resource; `None` for a built-in one.
    pub(crate) fn schema(&self) -> Option<&Value> {
        self.custom.as_ref()?.pointer("/schema/openAPIV3Schema")
    }
}
