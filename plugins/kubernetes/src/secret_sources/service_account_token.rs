use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;
use stargate_client::ReferenceParameters;
use stargate_kubernetes_client::{AUTHORITY, KubeClient, ObjectName, SERVICE_ACCOUNTS, json::text};
use stargate_sdk::{ActionContext, ActionError, Permission, Secret, SecretSource};

use crate::duration::parse_duration;

/// Shortest lifetime that the API server accepts, in seconds (`TokenRequestSpec`).
const MIN_LIFETIME_SECONDS: u64 = 600;
const DEFAULT_LIFETIME: &str = "1h";

/// Secret source `service-account-token:namespace=kube-system&name=x&expiry=1h`: issues a token of
/// a service account at use.
///
/// The cluster stores nothing, so that a token that was lost needs no clean-up.
pub(crate) struct ServiceAccountTokenSource(pub(crate) Arc<KubeClient>);

impl ServiceAccountTokenSource {
    async fn issue(&self, cx: &ActionContext, rest: &str) -> Result<Secret, ActionError> {
        let parameters = ReferenceParameters::parse(rest, &["namespace", "name", "expiry"])?;
        let account = ObjectName::namespaced(parameters.required("namespace")?, parameters.required("name")?)?;
        let lifetime = parse_duration("expiry", parameters.get("expiry").unwrap_or(DEFAULT_LIFETIME))?;
        if lifetime.as_secs() < MIN_LIFETIME_SECONDS {
            return Err(ActionError::permanent("expiry: the shortest lifetime of a token is 10m"));
        }
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": lifetime.as_secs()}});
        let response = self.0.post(cx, &SERVICE_ACCOUNTS, account, "token", body).await.map_err(|e| e.error)?;
        let token = text(&response, "/status/token");
        token.map(Secret::new).ok_or_else(|| ActionError::permanent("the response of the API server has no token"))
    }
}

impl SecretSource for ServiceAccountTokenSource {
    fn scheme(&self) -> &'static str {
        "service-account-token"
    }

    fn permissions(&self, rest: &str) -> Vec<Permission> {
        let namespace = rest.split('&').find_map(|pair| pair.strip_prefix("namespace="));
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        let option = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        vec![Permission::of(AUTHORITY, format!("create serviceaccounts --subresource=token{option}"))]
    }

    fn resolve<'a>(&'a self, cx: &'a ActionContext, rest: &'a str) -> BoxFuture<'a, Result<Secret, ActionError>> {
        Box::pin(self.issue(cx, rest))
    }
}
