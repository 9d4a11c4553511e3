use serde_json::{Value, json};

/// Rule of a default role: verbs on resources, or `get` on paths that are not resources.
struct RoleRule {
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    /// Paths; empty for a rule on resources.
    paths: &'static [&'static str],
}

/// Role with its name and rules.
type DefaultRole = (&'static str, &'static [RoleRule]);

/// Creates a rule on resources.
const fn rule(
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
) -> RoleRule {
    RoleRule { groups, resources, verbs, paths: &[] }
}

/// Creates a rule on paths.
const fn paths(paths: &'static [&'static str], verbs: &'static [&'static str]) -> RoleRule {
    RoleRule { groups: &[], resources: &[], verbs, paths }
}

/// Verbs of a rule that permits reading.
const READ: &[&str] = &["get", "list", "watch"];
/// Verbs of a rule that permits reading and writing.
const WRITE: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Group of certificate signing requests.
const CSR: &[&str] = &[super::resource::CERTIFICATES];
/// Group of leases.
const COORDINATION: &[&str] = &["coordination.k8s.io"];
/// Core resources that a user of a namespace may write.
const CORE: &[&str] =
    &["configmaps", "endpoints", "events", "pods", "pods/eviction", "secrets", "serviceaccounts", "services"];
/// Workloads that a user of a namespace may write.
const WORKLOADS: &[&str] = &["daemonsets", "deployments", "deployments/scale", "replicasets", "statefulsets"];

/// Default roles, limited to those for joining nodes and ordinary use.
const ROLES: [DefaultRole; 11] = [
    ("cluster-admin", &[rule(&["*"], &["*"], &["*"]), paths(&["*"], &["*"])]),
    (
        "admin",
        &[
            rule(&[""], CORE, WRITE),
            rule(&["apps"], WORKLOADS, WRITE),
            rule(COORDINATION, &["leases"], WRITE),
            rule(&[super::resource::RBAC], &["roles", "rolebindings"], WRITE),
        ],
    ),
    ("edit", &[rule(&[""], CORE, WRITE), rule(&["apps"], WORKLOADS, WRITE), rule(COORDINATION, &["leases"], WRITE)]),
    (
        "view",
        &[
            rule(&[""], &["configmaps", "endpoints", "events", "pods", "serviceaccounts", "services"], READ),
            rule(&["apps"], WORKLOADS, READ),
        ],
    ),
    (
        "system:basic-user",
        &[
            rule(&["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"], &["create"]),
            rule(&["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]),
        ],
    ),
    (
        "system:discovery",
        &[paths(
            &[
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ],
            &["get"],
        )],
    ),
    ("system:public-info-viewer", &[paths(&["/healthz", "/livez", "/readyz", "/version", "/version/"], &["get"])]),
    (
        "system:node",
        &[
            rule(&[""], &["nodes"], &["create", "get", "list", "watch", "update", "patch"]),
            rule(&[""], &["nodes/status"], &["patch", "update"]),
            rule(&[""], &["pods"], &["get", "list", "watch", "create", "delete"]),
            rule(&[""], &["pods/status"], &["patch", "update"]),
            rule(&[""], &["configmaps", "secrets"], READ),
            rule(&[""], &["services"], READ),
            rule(&[""], &["events"], &["create", "patch", "update"]),
            rule(&[""], &["serviceaccounts/token"], &["create"]),
            rule(CSR, &["certificatesigningrequests"], &["create", "get", "list", "watch"]),
            rule(COORDINATION, &["leases"], &["create", "delete", "get", "patch", "update"]),
            rule(&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
            rule(&["authorization.k8s.io"], &["subjectaccessreviews"], &["create"]),
        ],
    ),
    ("system:node-bootstrapper", &[rule(CSR, &["certificatesigningrequests"], &["create", "get", "list", "watch"])]),
    (
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &[rule(CSR, &["certificatesigningrequests/nodeclient"], &["create"])],
    ),
    (
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &[rule(CSR, &["certificatesigningrequests/selfnodeclient"], &["create"])],
    ),
];

/// Default bindings as name, role and group.
pub(super) const BINDINGS: [(&str, &str, &str); 6] = [
    ("cluster-admin", "cluster-admin", "system:masters"),
    ("system:basic-user", "system:basic-user", "system:authenticated"),
    ("system:discovery", "system:discovery", "system:authenticated"),
    ("system:public-info-viewer", "system:public-info-viewer", "system:unauthenticated"),
    ("system:public-info-viewer-authenticated", "system:public-info-viewer", "system:authenticated"),
    (
        "system:node-client-rotation",
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        "system:nodes",
    ),
];

impl RoleRule {
    /// Returns the rule as a role contains it.
    fn json(&self) -> Value {
        let Self { groups, resources, verbs, paths } = self;
        if paths.is_empty() {
            json!({ "apiGroups": groups, "resources": resources, "verbs": verbs })
        } else {
            json!({ "nonResourceURLs": paths, "verbs": verbs })
        }
    }
}

/// Returns the name and the rules of each default role.
pub(super) fn roles() -> impl Iterator<Item = (&'static str, Value)> {
    ROLES.iter().map(|(name, rules)| (*name, rules.iter().map(RoleRule::json).collect()))
}
