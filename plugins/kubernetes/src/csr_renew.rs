use std::{net::IpAddr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    api::Api,
    csr_approval::approve,
    csr_rules::{NodeIdentity, Purpose, Stage, purpose, stage},
    field::name,
    kind::REQUESTS,
    permission::may,
};

/// `kubernetes.csr.renew`.
pub(crate) struct CsrRenew(pub(crate) Arc<Api>);

/// Whose kubelets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewInput {
    /// The nodes.
    nodes: Vec<RenewedNode>,
}

/// A node whose kubelet may renew its certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewedNode {
    /// Its name.
    name: String,
    /// Its address.
    ip: IpAddr,
}

/// What was left alone.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RenewOutput {
    /// Requests that concern one of the nodes and were not approved, each with the reason. A person has to look at them.
    pub refused: Vec<String>,
}

/// The requests for serving certificates that wait and concern one of the nodes.
#[derive(Default)]
pub(crate) struct Waiting {
    sound: Vec<Value>,
    refused: Vec<String>,
}

impl Waiting {
    fn add(&mut self, csr: Value, identity: &NodeIdentity<'_>) {
        match identity.check(&csr, Purpose::Serving) {
            Ok(()) => self.sound.push(csr),
            Err(why) => {
                let csr = name(&csr);
                self.refused.push(format!("certificate request {csr:?} is not node {:?}'s own: {why}", identity.name));
            }
        }
    }
}

impl Resource for CsrRenew {
    type Desired = RenewInput;
    type Actual = Waiting;
    type Output = RenewOutput;
    const NAME: &'static str = "kubernetes.csr.renew";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Approves serving certificates that kubelets of these nodes ask for, after the same checks as the first ones.";

    async fn read(&self, cx: &ActionContext, wanted: &RenewInput) -> Result<Option<Waiting>, ActionError> {
        let mut requests = self.0.list(cx, &REQUESTS, None, None).await?.unwrap_or_default();
        requests.retain(|csr| purpose(csr) == Some(Purpose::Serving) && stage(csr) == Stage::Pending);
        let mut waiting = Waiting::default();
        for csr in requests {
            let identities = wanted.nodes.iter().map(|node| NodeIdentity { name: &node.name, address: node.ip });
            if let Some(identity) = identities.into_iter().find(|identity| identity.is_concerned(&csr)) {
                waiting.add(csr, &identity);
            }
        }
        Ok(Some(waiting))
    }

    fn diff(&self, _: &RenewInput, actual: Option<&Waiting>) -> Result<Vec<Difference>, ActionError> {
        let sound = actual.map(|waiting| waiting.sound.as_slice()).unwrap_or_default();
        let approval = |csr| Difference::missing(format!("approval of certificate request {}", name(csr)), "Approved");
        Ok(sound.iter().map(approval).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        _: &RenewInput,
        actual: Option<&Waiting>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        for csr in actual.map(|waiting| waiting.sound.as_slice()).unwrap_or_default() {
            // One that has changed since is seen when it is read back.
            approve(&self.0, cx, csr).await?;
        }
        Ok(())
    }

    fn output(&self, cx: &ActionContext, _: &RenewInput, actual: &Waiting) -> Result<RenewOutput, ActionError> {
        actual.refused.iter().for_each(|refused| cx.log(format!("warning: {refused}")));
        Ok(RenewOutput { refused: actual.refused.clone() })
    }
}

impl RequiredPermissions for CsrRenew {
    const PERMISSIONS: &'static [Permission] = &[
        may("list certificatesigningrequests.certificates.k8s.io"),
        may("update certificatesigningrequests.certificates.k8s.io --subresource=approval"),
        may("approve signers.certificates.k8s.io/kubernetes.io/kubelet-serving"),
    ];
}
