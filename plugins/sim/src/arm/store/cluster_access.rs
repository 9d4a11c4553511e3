/// Address and credentials of a Kubernetes API.
#[derive(Debug, Clone)]
pub(crate) struct ClusterAccess {
    /// URL of the API server.
    pub(crate) server: String,
    /// The authority's certificate in PEM, base64.
    pub(crate) authority: String,
    /// Bearer token of the administrator.
    pub(crate) token: String,
}

impl ClusterAccess {
    /// Returns a kubeconfig with one context, named as AKS names it.
    pub(crate) fn kubeconfig(&self, cluster: &str, user: &str) -> String {
        let Self { server, authority, token } = self;
        let authority = match authority.as_str() {
            "" => String::new(),
            certificate => format!("    certificate-authority-data: {certificate}\n"),
        };
        format!(
            "apiVersion: v1\nclusters:\n- cluster:\n{authority}    server: {server}\n  name: {cluster}\ncontexts:\n- context:\n    \
             cluster: {cluster}\n    user: {user}\n  name: {cluster}\ncurrent-context: {cluster}\nkind: Config\npreferences: {{}}\n\
             users:\n- name: {user}\n  user:\n    token: {token}\n"
        )
    }
}
