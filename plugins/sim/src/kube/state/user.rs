/// Group of every user that the server has authenticated.
const AUTHENTICATED: &str = "system:authenticated";

/// Authenticated user of the API, or the anonymous one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Name that roles are bound to, such as `system:node:worker-1`.
    pub(crate) name: String,
    /// Groups that roles are bound to, such as `system:nodes`.
    pub(crate) groups: Vec<String>,
    /// Unique identifier of a service account; empty for other users.
    pub(crate) uid: String,
}

impl User {
    /// Creates an authenticated user that is a member of `groups`.
    pub(crate) fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().chain([&AUTHENTICATED]).map(|group| (*group).to_owned()).collect();
        Self { name: name.to_owned(), groups, uid: String::new() }
    }

    /// Creates the user of requests without credentials.
    pub(crate) fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
            uid: String::new(),
        }
    }

    /// Creates the administrator whose credentials AKS returns.
    pub(crate) fn admin() -> Self {
        Self::new("masterclient", &["system:masters"])
    }

    /// Returns true if the user is a member of `group`.
    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|each| each == group)
    }

    /// Returns the name of the node if the user is its kubelet.
    pub(crate) fn node(&self) -> Option<&str> {
        self.name.strip_prefix("system:node:").filter(|_| self.is_in("system:nodes"))
    }

    /// Returns true if the user is a component of the cluster, such as a kubelet or the Cilium
    /// agent.
    pub(crate) fn is_background(&self) -> bool {
        let is_agent = self.is_in("system:serviceaccounts:kube-system") && self.name.ends_with(":cilium");
        self.node().is_some() || self.is_in("system:bootstrappers") || self.name.starts_with("system:kube-") || is_agent
    }
}
