use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_kubernetes_client::{
    CERTIFICATE_REQUESTS, KubeClient, ObjectName,
    json::{name, uid},
    permission,
};
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Nature, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::csr::{csr_purpose, is_of_node};

/// Action `kubernetes.csr.delete`: deletes the certificate requests of a node.
///
/// A certificate that was issued stays valid until it expires, because Kubernetes revokes none.
/// Pending requests are deleted so that no later step approves one for a machine that has left.
pub(crate) struct CsrDelete(pub(crate) Arc<KubeClient>);

/// The node whose certificate requests are deleted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CsrDeleteInput {
    /// Name of the node.
    node: String,
}

/// The deleted requests.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CsrDeleteOutput {
    /// Names of the requests that this attempt deleted.
    pub deleted: Vec<String>,
}

impl CsrDelete {
    async fn requests(&self, cx: &ActionContext, node: &str) -> Result<Vec<Value>, ActionError> {
        let mut requests = self.0.list(cx, &CERTIFICATE_REQUESTS, None, None).await?.unwrap_or_default();
        requests.retain(|csr| csr_purpose(csr).is_some() && is_of_node(csr, node));
        Ok(requests)
    }
}

impl Action for CsrDelete {
    type Input = CsrDeleteInput;
    type Output = CsrDeleteOutput;
    const NAME: &'static str = "kubernetes.csr.delete";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Deletes the certificate requests of a kubelet, so that none is approved later.";

    async fn run(&self, cx: &ActionContext, input: &CsrDeleteInput) -> Result<CsrDeleteOutput, ActionError> {
        let mut deleted = Vec::new();
        for csr in self.requests(cx, &input.node).await? {
            let name = name(&csr);
            if self.0.delete(cx, &CERTIFICATE_REQUESTS, ObjectName::cluster(name)?, uid(&csr), json!({})).await? {
                cx.changed(format!("- certificate request {name}"));
                deleted.push(name.to_owned());
            }
        }
        Ok(CsrDeleteOutput { deleted })
    }

    async fn preview(&self, cx: &ActionContext, input: &CsrDeleteInput) -> Result<Preview, ActionError> {
        let requests = self.requests(cx, &input.node).await?;
        if requests.is_empty() {
            return Preview::unchanged(&CsrDeleteOutput { deleted: Vec::new() });
        }
        let gone = |csr: &Value| Difference::new(format!("certificate request {}", name(csr)), "exists", Value::Null);
        Ok(Preview::changes(requests.iter().map(gone).collect()))
    }
}

impl RequiredPermissions for CsrDelete {
    const PERMISSIONS: &'static [Permission] = &[
        permission("list certificatesigningrequests.certificates.k8s.io"),
        permission("delete certificatesigningrequests.certificates.k8s.io"),
    ];
}
