use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    api::Api,
    csr_rules::{is_of_node, purpose},
    field::{name, uid},
    kind::{At, REQUESTS},
    permission::may,
};

/// `kubernetes.csr.delete`.
pub(crate) struct CsrDelete(pub(crate) Arc<Api>);

/// Whose certificate requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteInput {
    /// The node's name.
    node: String,
}

/// What was deleted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DeleteOutput {
    /// Names of the requests that this step deleted.
    pub deleted: Vec<String>,
}

impl CsrDelete {
    async fn requests(&self, cx: &ActionContext, node: &str) -> Result<Vec<Value>, ActionError> {
        let mut requests = self.0.list(cx, &REQUESTS, None, None).await?.unwrap_or_default();
        requests.retain(|csr| purpose(csr).is_some() && is_of_node(csr, node));
        Ok(requests)
    }
}

impl Action for CsrDelete {
    type Input = DeleteInput;
    type Output = DeleteOutput;
    const NAME: &'static str = "kubernetes.csr.delete";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Deletes the certificate requests of a kubelet, so that none is approved later.";

    async fn run(&self, cx: &ActionContext, input: &DeleteInput) -> Result<DeleteOutput, ActionError> {
        let mut deleted = Vec::new();
        for csr in self.requests(cx, &input.node).await? {
            let name = name(&csr);
            if self.0.delete(cx, &REQUESTS, At::cluster(name), uid(&csr), json!({})).await? {
                cx.changed(format!("- certificate request {name}"));
                deleted.push(name.to_owned());
            }
        }
        Ok(DeleteOutput { deleted })
    }

    async fn preview(&self, cx: &ActionContext, input: &DeleteInput) -> Result<Preview, ActionError> {
        let requests = self.requests(cx, &input.node).await?;
        if requests.is_empty() {
            return Preview::unchanged(&DeleteOutput { deleted: Vec::new() });
        }
        let gone = |csr: &Value| Difference::new(format!("certificate request {}", name(csr)), "there", Value::Null);
        Ok(Preview::Changes { differences: requests.iter().map(gone).collect() })
    }
}

impl RequiredPermissions for CsrDelete {
    const PERMISSIONS: &'static [Permission] = &[
        may("list certificatesigningrequests.certificates.k8s.io"),
        may("delete certificatesigningrequests.certificates.k8s.io"),
    ];
}
