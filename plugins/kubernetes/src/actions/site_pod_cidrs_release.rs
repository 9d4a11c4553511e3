use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_kubernetes_client::{KubeClient, permission};
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Nature, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::pod_cidr::{SitePodCidrs, store};

/// Action `kubernetes.site_pod_cidrs.release`: releases the site pod CIDR of a removed site.
///
/// The pod CIDRs of its nodes must be released before. A site that is created again under the name
/// gets what a new one gets.
pub(crate) struct SitePodCidrsRelease(pub(crate) Arc<KubeClient>);

/// The site whose pod CIDR is released.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SitePodCidrsReleaseInput {
    /// Name of the site.
    site: String,
}

/// Result of the release.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SitePodCidrsReleaseOutput {
    /// False if nothing was recorded for the site.
    pub released: bool,
}

impl SitePodCidrsReleaseInput {
    fn difference(&self, recorded: &SitePodCidrs) -> Difference {
        Difference::new(format!("pod CIDR of site {}", self.site), recorded.block.to_string(), Value::Null)
    }

    /// Checks that no node of the site has a pod CIDR.
    ///
    /// # Errors
    /// `Permanent`, with the node.
    fn check_unused(&self, recorded: &SitePodCidrs) -> Result<(), ActionError> {
        match recorded.allocations.iter().next() {
            None => Ok(()),
            Some((node, prefix)) => {
                Err(ActionError::permanent(format!("node {node:?} of site {:?} still has {prefix}", self.site))
                    .with_hint("run `remove-worker` for it, which releases its pod CIDR"))
            }
        }
    }
}

impl Action for SitePodCidrsRelease {
    type Input = SitePodCidrsReleaseInput;
    type Output = SitePodCidrsReleaseOutput;
    const NAME: &'static str = "kubernetes.site_pod_cidrs.release";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Releases the site pod CIDR of a removed site, none of whose nodes has a pod CIDR.";

    async fn run(
        &self,
        cx: &ActionContext,
        input: &SitePodCidrsReleaseInput,
    ) -> Result<SitePodCidrsReleaseOutput, ActionError> {
        let mut waiter = store::waiter(cx);
        loop {
            let stored = store::read(&self.0, cx).await?;
            let mut registry = stored.registry.clone();
            let Some(recorded) = registry.remove(&input.site) else {
                return Ok(SitePodCidrsReleaseOutput { released: false });
            };
            input.check_unused(&recorded)?;
            if store::write(&self.0, cx, stored, &registry).await? {
                cx.changed(input.difference(&recorded).to_string());
                return Ok(SitePodCidrsReleaseOutput { released: true });
            }
            store::wait_to_read_again(&mut waiter).await?;
        }
    }

    // Pod CIDRs of nodes are not an error here: earlier steps release them.
    async fn preview(&self, cx: &ActionContext, input: &SitePodCidrsReleaseInput) -> Result<Preview, ActionError> {
        match store::read(&self.0, cx).await?.registry.get(&input.site) {
            Some(recorded) => Ok(Preview::changes(vec![input.difference(recorded)])),
            None => Preview::unchanged(&SitePodCidrsReleaseOutput { released: false }),
        }
    }
}

impl RequiredPermissions for SitePodCidrsRelease {
    const PERMISSIONS: &'static [Permission] = &[
        permission("get configmaps/stargate-pod-cidrs -n kube-system"),
        permission("update configmaps/stargate-pod-cidrs -n kube-system"),
    ];
}
