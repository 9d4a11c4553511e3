use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::json;
use stargate_sdk::{ActionContext, ActionError, Permission, Secret, SecretSource};

use crate::{
    api::Api,
    field::text,
    kind::{At, SERVICE_ACCOUNTS},
    parameters::Parameters,
    permission::AUTHORITY,
    timeout,
};

/// The API server's own least.
const SHORTEST_SECONDS: u64 = 600;

/// `service-account-token:namespace=kube-system&name=x&expiry=1h`: a token of a service account, minted at use.
///
/// Nothing is stored in the cluster, so nothing is left behind when it is minted again.
pub(crate) struct ServiceAccountTokenSource(pub(crate) Arc<Api>);

impl ServiceAccountTokenSource {
    async fn mint(&self, cx: &ActionContext, rest: &str) -> Result<Secret, ActionError> {
        let parameters = Parameters::parse(rest, &["namespace", "name", "expiry"])?;
        let (namespace, name) = (parameters.required("namespace")?, parameters.required("name")?);
        let seconds = timeout::parse("expiry", &parameters.or("expiry", "1h"))?.as_secs();
        if seconds < SHORTEST_SECONDS {
            return Err(ActionError::permanent("expiry: a token lives ten minutes at least"));
        }
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds}});
        let at = At::namespaced(&namespace, &name);
        let answer = self.0.post(cx, &SERVICE_ACCOUNTS, at, "token", body).await.map_err(|e| e.error)?;
        let token = text(&answer, "/status/token");
        token.map(Secret::new).ok_or_else(|| ActionError::permanent("the API server answered without a token"))
    }
}

impl SecretSource for ServiceAccountTokenSource {
    fn scheme(&self) -> &'static str {
        "service-account-token"
    }

    fn permissions(&self, rest: &str) -> Vec<Permission> {
        let namespace =
            rest.split('&').find_map(|pair| pair.strip_prefix("namespace=")).filter(|said| !said.is_empty());
        let place = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        vec![Permission::of(AUTHORITY, format!("create serviceaccounts --subresource=token{place}"))]
    }

    fn resolve<'a>(&'a self, cx: &'a ActionContext, rest: &'a str) -> BoxFuture<'a, Result<Secret, ActionError>> {
        Box::pin(self.mint(cx, rest))
    }
}
