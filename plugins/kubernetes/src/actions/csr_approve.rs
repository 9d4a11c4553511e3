use std::{net::IpAddr, sync::Arc, time::Duration};

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_client::{Backoff, WaitState, Waiter};
use stargate_kubernetes_client::{
    CERTIFICATE_REQUESTS, KubeClient, KubeRequest, NODES, ObjectName,
    json::{name, text},
    permission,
};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Recovery, RequiredPermissions};

use crate::csr::{CsrPurpose, CsrState, NodeIdentity, approve, csr_purpose, csr_state};

/// A controller signs an approved request within a second.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
/// Time after which a request is known to be of the running kubelet. A kubelet without certificates
/// creates its request within two seconds of its start; until then, requests may be of an earlier
/// kubelet.
const CSR_SETTLE_TIME: Duration = Duration::from_secs(10);
const NO_REQUEST_HINT: &str = "`journalctl -u kubelet` on the machine shows why the kubelet creates no request";

/// Action `kubernetes.csr.approve`: waits for the certificate requests of a kubelet and approves
/// those that are the node's own.
pub(crate) struct CsrApprove(pub(crate) Arc<KubeClient>);

/// The node whose certificates are approved.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CsrApproveInput {
    /// Name of the node.
    node: String,
    /// Address of the node, the only one that its certificate may contain.
    ip: IpAddr,
}

/// The approved requests.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CsrApproveOutput {
    /// Names of the requests that this step approved; none if the kubelet had its certificates
    /// already.
    pub approved: Vec<String>,
}

/// The newest request of a node for each purpose.
#[derive(Default)]
struct NewestCsrs<'a> {
    client: Option<&'a Value>,
    serving: Option<&'a Value>,
}

impl CsrApprove {
    /// The requests about the node that were not refused, oldest first.
    async fn requests(&self, cx: &ActionContext, identity: &NodeIdentity<'_>) -> Result<Vec<Value>, ActionError> {
        let mut requests = self.0.list(cx, &CERTIFICATE_REQUESTS, None, None).await?.unwrap_or_default();
        requests.retain(|csr| {
            csr_purpose(csr).is_some() && csr_state(csr) != CsrState::Refused && identity.is_concerned(csr)
        });
        requests.sort_by(|a, b| created(a).cmp(created(b)));
        Ok(requests)
    }

    /// Approves the pending requests after all of them have passed the checks. One that does not
    /// pass is not changed and fails the step.
    async fn approve_pending(
        &self,
        cx: &ActionContext,
        identity: &NodeIdentity<'_>,
        requests: &[Value],
    ) -> Result<Vec<String>, ActionError> {
        let pending: Vec<_> = requests.iter().filter(|csr| csr_state(csr) == CsrState::Pending).collect();
        for csr in &pending {
            let purpose = csr_purpose(csr).expect("requests of other signers were left out");
            identity.check(csr, purpose).map_err(|reason| refused_error(csr, identity, &reason))?;
        }
        let mut approved = Vec::new();
        for csr in pending {
            if approve(&self.0, cx, csr).await? {
                cx.changed(format!("approved certificate request {}", name(csr)));
                approved.push(name(csr).to_owned());
            }
        }
        Ok(approved)
    }

    /// Reason for which the node is not ready; `None` if it has both certificates.
    async fn not_ready_reason(
        &self,
        cx: &ActionContext,
        input: &CsrApproveInput,
        requests: &[Value],
        has_approved: bool,
    ) -> Result<Option<&'static str>, ActionError> {
        let newest = newest(requests);
        if let Some(csr) = requests.iter().find(|csr| csr_state(csr) != CsrState::Issued) {
            return Ok(Some(match csr_purpose(csr) {
                Some(CsrPurpose::Serving) => "its serving certificate is not signed yet",
                _ => "its client certificate is not signed yet",
            }));
        }
        if self.0.get(cx, &NODES, ObjectName::cluster(&input.node)?).await?.is_none() {
            let has_client = newest.client.is_some();
            return Ok(Some(if has_client { "has not registered yet" } else { "has not created a request yet" }));
        }
        if self.serves(cx, &input.node).await? {
            return Ok(None);
        }
        let is_fresh = newest
            .serving
            .is_some_and(|serving| newest.client.is_none_or(|client| created(client) <= created(serving)));
        let is_settled = has_approved || cx.elapsed() > CSR_SETTLE_TIME;
        Ok(if is_fresh && is_settled { None } else { Some("has not requested its serving certificate yet") })
    }

    /// True if the kubelet answers with a certificate, asked through the API server.
    ///
    /// False proves nothing: the API server may have no connection to the node yet.
    async fn serves(&self, cx: &ActionContext, node: &str) -> Result<bool, ActionError> {
        let path = NODES.object_path(ObjectName::cluster(node)?, Some("proxy/healthz"));
        match self.0.send(cx, KubeRequest::read(path)).await {
            Ok(_) => Ok(true),
            // A kubelet that refuses the API server's account has answered with its certificate.
            Err(error) => Ok(error.code == Some(StatusCode::UNAUTHORIZED) && error.status.reason.is_empty()),
        }
    }
}

impl Action for CsrApprove {
    type Input = CsrApproveInput;
    type Output = CsrApproveOutput;
    const NAME: &'static str = "kubernetes.csr.approve";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str =
        "Waits for a kubelet's certificate requests and approves them if they are the node's own.";

    async fn run(&self, cx: &ActionContext, input: &CsrApproveInput) -> Result<CsrApproveOutput, ActionError> {
        let identity = NodeIdentity { name: &input.node, address: input.ip };
        let read = || async {
            let requests = self.requests(cx, &identity).await?;
            let mut approved = approved_before(cx);
            approved.extend(self.approve_pending(cx, &identity, &requests).await?);
            save_approved(cx, &approved).await?;
            Ok(match self.not_ready_reason(cx, input, &requests, !approved.is_empty()).await? {
                None => WaitState::Ready(CsrApproveOutput { approved }),
                Some(reason) => WaitState::pending(format!("kubelet of node {:?}: {reason}", input.node)),
            })
        };
        Waiter::new(cx, BACKOFF).with_hint(NO_REQUEST_HINT).poll(read).await
    }
}

impl RequiredPermissions for CsrApprove {
    const PERMISSIONS: &'static [Permission] = &[
        permission("list certificatesigningrequests.certificates.k8s.io"),
        permission("update certificatesigningrequests.certificates.k8s.io --subresource=approval"),
        permission("approve signers.certificates.k8s.io/kubernetes.io/kube-apiserver-client-kubelet"),
        permission("approve signers.certificates.k8s.io/kubernetes.io/kubelet-serving"),
        permission("get nodes"),
        permission("get nodes --subresource=proxy"),
    ];
}

/// Stores the names of the approved requests, if there are new ones, for the output of a later
/// attempt.
async fn save_approved(cx: &ActionContext, approved: &[String]) -> Result<(), ActionError> {
    if approved_before(cx) == approved {
        return Ok(());
    }
    cx.save_checkpoint(json!({"approved": approved})).await
}

/// Names of the requests that this and earlier attempts of the step have approved.
fn approved_before(cx: &ActionContext) -> Vec<String> {
    let checkpoint = cx.checkpoint().unwrap_or(Value::Null);
    serde_json::from_value(checkpoint["approved"].clone()).unwrap_or_default()
}

fn refused_error(csr: &Value, identity: &NodeIdentity<'_>, reason: &str) -> ActionError {
    let (csr, node) = (name(csr), identity.name);
    ActionError::permanent(format!("certificate request {csr:?} is not approved for node {node:?}: {reason}"))
        .with_hint(format!("find its creator; then run `kubectl certificate deny {csr}`, or approve it by hand"))
}

/// Creation time in RFC 3339, in seconds and UTC: the texts sort as the times do.
fn created(csr: &Value) -> &str {
    text(csr, "/metadata/creationTimestamp").unwrap_or_default()
}

fn newest(requests: &[Value]) -> NewestCsrs<'_> {
    let mut newest = NewestCsrs::default();
    for csr in requests {
        match csr_purpose(csr) {
            Some(CsrPurpose::Client) => newest.client = Some(csr),
            Some(CsrPurpose::Serving) => newest.serving = Some(csr),
            None => {}
        }
    }
    newest
}
