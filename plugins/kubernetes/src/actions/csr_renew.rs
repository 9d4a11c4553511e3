use std::{net::IpAddr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_kubernetes_client::{CERTIFICATE_REQUESTS, KubeClient, json::name, permission};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::csr::{CsrPurpose, CsrState, NodeIdentity, approve, csr_purpose, csr_state};

/// Action `kubernetes.csr.renew`: approves the pending requests of nodes for serving certificates.
///
/// Without an approval, a kubelet with an expired serving certificate still runs its pods, but
/// logs, exec and metrics of its node fail. A request that does not pass the checks is reported and
/// never denied: its owner may be another program.
pub(crate) struct CsrRenew(pub(crate) Arc<KubeClient>);

/// The nodes whose serving certificates are renewed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CsrRenewInput {
    /// The nodes. Requests of other nodes are ignored.
    nodes: Vec<RenewedNode>,
}

/// A node whose kubelet can renew its certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewedNode {
    /// Name of the node.
    name: String,
    /// Address of the node, the only one that its certificate may contain.
    ip: IpAddr,
}

/// The requests that were not approved.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CsrRenewOutput {
    /// Requests about one of the nodes that did not pass the checks, each with the reason. An
    /// operator has to inspect them.
    pub refused: Vec<String>,
}

/// The pending requests for serving certificates that are about one of the nodes.
#[derive(Default)]
pub(crate) struct PendingCsrs {
    accepted: Vec<Value>,
    /// The others, each as text with the reason.
    refused: Vec<String>,
}

impl PendingCsrs {
    fn add(&mut self, csr: Value, identity: &NodeIdentity<'_>) {
        match identity.check(&csr, CsrPurpose::Serving) {
            Ok(()) => self.accepted.push(csr),
            Err(reason) => {
                let (csr, node) = (name(&csr), identity.name);
                self.refused.push(format!("certificate request {csr:?} is not node {node:?}'s own: {reason}"));
            }
        }
    }
}

impl Resource for CsrRenew {
    type Desired = CsrRenewInput;
    type Actual = PendingCsrs;
    type Output = CsrRenewOutput;
    const NAME: &'static str = "kubernetes.csr.renew";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Approves the serving certificates that kubelets of these nodes request, after the same checks as the first ones.";

    async fn read(&self, cx: &ActionContext, desired: &CsrRenewInput) -> Result<Option<PendingCsrs>, ActionError> {
        let mut requests = self.0.list(cx, &CERTIFICATE_REQUESTS, None, None).await?.unwrap_or_default();
        requests.retain(|csr| csr_purpose(csr) == Some(CsrPurpose::Serving) && csr_state(csr) == CsrState::Pending);
        let mut pending = PendingCsrs::default();
        for csr in requests {
            let mut identities = desired.nodes.iter().map(|node| NodeIdentity { name: &node.name, address: node.ip });
            if let Some(identity) = identities.find(|identity| identity.is_concerned(&csr)) {
                pending.add(csr, &identity);
            }
        }
        Ok(Some(pending))
    }

    fn diff(&self, _: &CsrRenewInput, actual: Option<&PendingCsrs>) -> Result<Vec<Difference>, ActionError> {
        let approval = |csr| Difference::missing(format!("approval of certificate request {}", name(csr)), "Approved");
        Ok(accepted(actual).iter().map(approval).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        _: &CsrRenewInput,
        actual: Option<&PendingCsrs>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        for csr in accepted(actual) {
            // A request that has changed since is found when the requests are read back.
            approve(&self.0, cx, csr).await?;
        }
        Ok(())
    }

    fn output(
        &self,
        cx: &ActionContext,
        _: &CsrRenewInput,
        actual: &PendingCsrs,
    ) -> Result<CsrRenewOutput, ActionError> {
        actual.refused.iter().for_each(|refused| cx.log(format!("warning: {refused}")));
        Ok(CsrRenewOutput { refused: actual.refused.clone() })
    }
}

fn accepted(actual: Option<&PendingCsrs>) -> &[Value] {
    actual.map(|pending| pending.accepted.as_slice()).unwrap_or_default()
}

impl RequiredPermissions for CsrRenew {
    const PERMISSIONS: &'static [Permission] = &[
        permission("list certificatesigningrequests.certificates.k8s.io"),
        permission("update certificatesigningrequests.certificates.k8s.io --subresource=approval"),
        permission("approve signers.certificates.k8s.io/kubernetes.io/kubelet-serving"),
    ];
}
