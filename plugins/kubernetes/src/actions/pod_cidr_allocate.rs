use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::Prefix;
use stargate_kubernetes_client::{KubeClient, permission};
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, FindResult, Nature, Permission, Preview, Recovery,
    RequiredPermissions,
};

use crate::pod_cidr::{PodCidrRegistry, PodCidrRequest, allocate, reported_owner, store};

/// Action `kubernetes.pod_cidr.allocate`: gives each node of a site a pod CIDR.
///
/// Two processes that allocate at the same time get different prefixes, because the second write is
/// refused and its process reads again. The record is the only source: prefixes are not derived
/// from nodes, which can be absent while they are repaired.
pub(crate) struct PodCidrAllocate(pub(crate) Arc<KubeClient>);

/// The nodes that need pod CIDRs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PodCidrAllocateInput {
    /// Name of the site.
    #[schemars(regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    site: String,
    /// Site pod CIDR: the prefix from which pod CIDRs of the site's nodes are allocated.
    block: Prefix,
    /// Prefix length of a node's pod CIDR.
    #[serde(default = "default_prefix_length")]
    prefix_length: u8,
    /// Names of the nodes.
    nodes: Vec<String>,
    /// Pod CIDRs with other owners, such as nodes of AKS: prefixes, or nodes in the form of the
    /// output of `kubernetes.nodes.list`.
    #[serde(default)]
    taken: Vec<TakenPodCidr>,
    /// Pod CIDRs that nodes of this site already use, by the name of the node, from before they
    /// were recorded.
    #[serde(default)]
    adopt: BTreeMap<String, Prefix>,
}

fn default_prefix_length() -> u8 {
    24
}

/// A pod CIDR with an owner outside the registry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum TakenPodCidr {
    /// A prefix without an owner's name.
    Prefix(Prefix),
    /// A node with its pod CIDR.
    Node {
        /// Name of the node.
        name: String,
        /// Pod CIDR of the node, if it has one.
        #[serde(default)]
        pod_cidr: Option<Prefix>,
    },
}

/// The allocated pod CIDRs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PodCidrAllocateOutput {
    /// Pod CIDR of each node of the input, by the name of the node.
    pub allocations: BTreeMap<String, String>,
}

impl Action for PodCidrAllocate {
    type Input = PodCidrAllocateInput;
    type Output = PodCidrAllocateOutput;
    const NAME: &'static str = "kubernetes.pod_cidr.allocate";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Find;
    const SUMMARY: &'static str = "Allocates a permanent pod CIDR to each node of a site, recorded in the cluster.";

    async fn run(
        &self,
        cx: &ActionContext,
        input: &PodCidrAllocateInput,
    ) -> Result<PodCidrAllocateOutput, ActionError> {
        let mut waiter = store::waiter(cx);
        loop {
            let stored = store::read(&self.0, cx).await?;
            let registry = input.allocate(&stored.registry)?;
            if registry == stored.registry {
                return Ok(input.output(&registry));
            }
            let differences = differences(input, &stored.registry, &registry);
            if store::write(&self.0, cx, stored, &registry).await? {
                for difference in &differences {
                    cx.changed(difference.to_string());
                }
                return Ok(input.output(&registry));
            }
            store::wait_to_read_again(&mut waiter).await?;
        }
    }

    async fn find(
        &self,
        cx: &ActionContext,
        input: &PodCidrAllocateInput,
    ) -> Result<FindResult<PodCidrAllocateOutput>, ActionError> {
        let stored = store::read(&self.0, cx).await?.registry;
        let registry = input.allocate(&stored)?;
        Ok(if registry == stored { FindResult::Present(input.output(&registry)) } else { FindResult::Absent })
    }

    async fn preview(&self, cx: &ActionContext, input: &PodCidrAllocateInput) -> Result<Preview, ActionError> {
        let stored = store::read(&self.0, cx).await?.registry;
        let registry = input.allocate(&stored)?;
        if registry == stored {
            return Preview::unchanged(&input.output(&registry));
        }
        let certain = serde_json::to_value(input.output(&registry)).unwrap_or_default();
        Ok(Preview::Changes { differences: differences(input, &stored, &registry), certain })
    }
}

impl RequiredPermissions for PodCidrAllocate {
    const PERMISSIONS: &'static [Permission] = &[
        permission("get configmaps/stargate-pod-cidrs -n kube-system"),
        permission("update configmaps/stargate-pod-cidrs -n kube-system"),
        permission("create configmaps -n kube-system"),
    ];
}

impl PodCidrAllocateInput {
    fn allocate(&self, registry: &PodCidrRegistry) -> Result<PodCidrRegistry, ActionError> {
        let taken: Vec<_> = self.taken.iter().filter_map(TakenPodCidr::owner).collect();
        let request = PodCidrRequest {
            site: &self.site,
            site_pod_cidr: self.block,
            prefix_length: self.prefix_length,
            nodes: &self.nodes,
            adopt: &self.adopt,
            taken: &taken,
        };
        allocate(registry, &request)
    }

    fn output(&self, registry: &PodCidrRegistry) -> PodCidrAllocateOutput {
        let recorded = &registry[&self.site].allocations;
        let allocated = self.nodes.iter().filter_map(|node| Some((node.clone(), recorded.get(node)?.to_string())));
        PodCidrAllocateOutput { allocations: allocated.collect() }
    }
}

impl TakenPodCidr {
    /// Text that names the owner, and the prefix; `None` for a node without pod CIDR.
    fn owner(&self) -> Option<(String, Prefix)> {
        match self {
            Self::Prefix(prefix) => Some(("the cluster".into(), *prefix)),
            Self::Node { name, pod_cidr } => pod_cidr.map(|prefix| (reported_owner(name), prefix)),
        }
    }
}

fn differences(input: &PodCidrAllocateInput, before: &PodCidrRegistry, after: &PodCidrRegistry) -> Vec<Difference> {
    let before = before.get(&input.site);
    let before_block = before.map(|site| site.block.to_string());
    let site = Difference::between("site pod CIDR", before_block, input.block.to_string());
    let is_new = |node: &str| before.is_none_or(|before| !before.allocations.contains_key(node));
    let new = after[&input.site].allocations.iter().filter(|(node, _)| is_new(node));
    let new = new.map(|(node, prefix)| Difference::missing(format!("pod CIDR of {node}"), prefix.to_string()));
    site.into_iter().chain(new).collect()
}
