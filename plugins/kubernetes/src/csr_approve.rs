use std::{net::IpAddr, sync::Arc, time::Duration};

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{Action, ActionContext, ActionError, FailureKind, Permission, Recovery, RequiredPermissions};

use crate::{
    api::Api,
    call::Call,
    csr_approval::approve,
    csr_rules::{NodeIdentity, Purpose, Stage, purpose, stage},
    field::{name, text},
    kind::{At, NODES, REQUESTS},
    permission::may,
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A kubelet that lacks a certificate asks for it within two seconds of its start; requests seen until then may be an
/// earlier life's.
const SETTLED: Duration = Duration::from_secs(10);

/// `kubernetes.csr.approve`.
pub(crate) struct CsrApprove(pub(crate) Arc<Api>);

/// Whose certificates to approve.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApproveInput {
    /// The node's name.
    node: String,
    /// The node's address.
    ip: IpAddr,
}

/// What was approved.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ApproveOutput {
    /// Names of the requests that this step approved; none when the kubelet had its certificates already.
    pub approved: Vec<String>,
}

/// The node's requests, the newest of each purpose.
#[derive(Default)]
struct Newest<'a> {
    client: Option<&'a Value>,
    serving: Option<&'a Value>,
}

impl CsrApprove {
    async fn requests(&self, cx: &ActionContext, identity: &NodeIdentity<'_>) -> Result<Vec<Value>, ActionError> {
        let mut requests = self.0.list(cx, &REQUESTS, None, None).await?.unwrap_or_default();
        requests.retain(|csr| purpose(csr).is_some() && stage(csr) != Stage::Refused && identity.is_concerned(csr));
        requests.sort_by(|a, b| created(a).cmp(created(b)));
        Ok(requests)
    }

    /// Approves what waits, after a look at each. One that may not be approved is left alone and fails the step.
    async fn approve_pending(
        &self,
        cx: &ActionContext,
        identity: &NodeIdentity<'_>,
        requests: &[Value],
    ) -> Result<Vec<String>, ActionError> {
        let pending: Vec<_> = requests.iter().filter(|csr| stage(csr) == Stage::Pending).collect();
        for csr in &pending {
            let purpose = purpose(csr).expect("requests of other signers were left out");
            identity.check(csr, purpose).map_err(|why| refused(csr, identity, &why))?;
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

    /// What the node still lacks; `None` when it has both certificates.
    async fn lacks(
        &self,
        cx: &ActionContext,
        input: &ApproveInput,
        requests: &[Value],
        has_approved: bool,
    ) -> Result<Option<&'static str>, ActionError> {
        let newest = newest(requests);
        if let Some(csr) = requests.iter().find(|csr| stage(csr) != Stage::Issued) {
            return Ok(Some(match purpose(csr) {
                Some(Purpose::Serving) => "its serving certificate is not signed yet",
                _ => "its client certificate is not signed yet",
            }));
        }
        if self.0.get(cx, &NODES, At::cluster(&input.node)).await?.is_none() {
            return Ok(Some(if newest.client.is_some() { "has not registered yet" } else { "has not asked yet" }));
        }
        if self.serves(cx, &input.node).await? {
            return Ok(None);
        }
        let is_fresh = newest
            .serving
            .is_some_and(|serving| newest.client.is_none_or(|client| created(client) <= created(serving)));
        let is_settled = has_approved || cx.elapsed() > SETTLED;
        Ok(if is_fresh && is_settled { None } else { Some("has not asked for its serving certificate yet") })
    }

    /// Whether the kubelet answers with a certificate, asked by way of the API server.
    ///
    /// No is no proof that it has none: the API server may have no way to it yet.
    async fn serves(&self, cx: &ActionContext, node: &str) -> Result<bool, ActionError> {
        let call = Call::read(NODES.object(At::cluster(node), Some("proxy/healthz")));
        match self.0.call(cx, call).await {
            Ok(_) => Ok(true),
            // `ok` is no JSON; a kubelet that refuses the API server's account has answered all the same.
            Err(error) if error.code.is_none() => Ok(error.error.message.contains("is no JSON")),
            Err(error) => Ok(error.code == Some(StatusCode::UNAUTHORIZED) && error.status.reason.is_empty()),
        }
    }
}

impl Action for CsrApprove {
    type Input = ApproveInput;
    type Output = ApproveOutput;
    const NAME: &'static str = "kubernetes.csr.approve";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str =
        "Waits for a kubelet's certificate requests and approves them if they are the node's own.";

    async fn run(&self, cx: &ActionContext, input: &ApproveInput) -> Result<ApproveOutput, ActionError> {
        let identity = NodeIdentity { name: &input.node, address: input.ip };
        let (mut approved, mut pause) = (approved_before(cx), FIRST_PAUSE);
        loop {
            let obstacle = match self.requests(cx, &identity).await {
                Ok(requests) => {
                    approved.extend(self.approve_pending(cx, &identity, &requests).await?);
                    cx.save_checkpoint_if_changed(&approved).await?;
                    match self.lacks(cx, input, &requests, !approved.is_empty()).await? {
                        None => return Ok(ApproveOutput { approved }),
                        Some(lacks) => lacks.to_owned(),
                    }
                }
                Err(error) if error.kind == FailureKind::Transient => error.message,
                Err(error) => return Err(error),
            };
            let obstacle = format!("kubelet of node {:?}: {obstacle}", input.node);
            cx.progress(&obstacle);
            cx.sleep(pause).await.map_err(|e| gave_up(e, &obstacle))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl RequiredPermissions for CsrApprove {
    const PERMISSIONS: &'static [Permission] = &[
        may("list certificatesigningrequests.certificates.k8s.io"),
        may("update certificatesigningrequests.certificates.k8s.io --subresource=approval"),
        may("approve signers.certificates.k8s.io/kubernetes.io/kube-apiserver-client-kubelet"),
        may("approve signers.certificates.k8s.io/kubernetes.io/kubelet-serving"),
        may("get nodes"),
        may("get nodes --subresource=proxy"),
    ];
}

/// Remembers approvals beyond a crash, for the output.
trait Approvals {
    async fn save_checkpoint_if_changed(&self, approved: &[String]) -> Result<(), ActionError>;
}

impl Approvals for ActionContext {
    async fn save_checkpoint_if_changed(&self, approved: &[String]) -> Result<(), ActionError> {
        if approved_before(self) == approved {
            return Ok(());
        }
        self.save_checkpoint(json!({"approved": approved})).await
    }
}

fn approved_before(cx: &ActionContext) -> Vec<String> {
    let checkpoint = cx.checkpoint().unwrap_or(Value::Null);
    serde_json::from_value(checkpoint["approved"].clone()).unwrap_or_default()
}

fn gave_up(error: ActionError, obstacle: &str) -> ActionError {
    error.context(obstacle).with_hint("`journalctl -u kubelet` on the machine tells why it does not ask")
}

fn refused(csr: &Value, identity: &NodeIdentity<'_>, why: &str) -> ActionError {
    let csr = name(csr);
    ActionError::permanent(format!("certificate request {csr:?} is not approved for node {:?}: {why}", identity.name))
        .with_hint(format!("find out who made it; then `kubectl certificate deny {csr}`, or approve it by hand"))
}

/// Times of creation are to the second, and their text sorts as they do.
fn created(csr: &Value) -> &str {
    text(csr, "/metadata/creationTimestamp").unwrap_or_default()
}

fn newest(requests: &[Value]) -> Newest<'_> {
    let mut newest = Newest::default();
    for csr in requests {
        match purpose(csr) {
            Some(Purpose::Client) => newest.client = Some(csr),
            Some(Purpose::Serving) => newest.serving = Some(csr),
            None => {}
        }
    }
    newest
}
