use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, FindResult, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    api::Api,
    permission::may,
    pod_cidr_registry::{Registry, Request, allocate, reported},
    pod_cidr_store as store,
    prefix::Prefix,
};

/// `kubernetes.pod_cidr.allocate`.
pub(crate) struct PodCidrAllocate(pub(crate) Arc<Api>);

/// Which nodes need blocks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllocateInput {
    /// Name of the site.
    #[schemars(regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    site: String,
    /// The block that the site's nodes get theirs from.
    block: Prefix,
    /// How large a node's block is.
    #[serde(default = "twenty_four")]
    prefix_length: u8,
    /// The nodes.
    nodes: Vec<String>,
    /// Blocks that others have, such as what AKS handed out: prefixes, or nodes as kubernetes.nodes.list tells them.
    #[serde(default)]
    taken: Vec<Taken>,
    /// Blocks that nodes of this site have already, from before there was a registry.
    #[serde(default)]
    adopt: BTreeMap<String, Prefix>,
}

fn twenty_four() -> u8 {
    24
}

/// A block that somebody has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Taken {
    /// Just the block.
    Prefix(Prefix),
    /// A node with its block.
    Node {
        /// The node's name.
        name: String,
        /// Its block, if it has one.
        #[serde(default)]
        pod_cidr: Option<Prefix>,
    },
}

/// The blocks.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AllocateOutput {
    /// The block of each node that was asked for.
    pub allocations: BTreeMap<String, String>,
}

impl Action for PodCidrAllocate {
    type Input = AllocateInput;
    type Output = AllocateOutput;
    const NAME: &'static str = "kubernetes.pod_cidr.allocate";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Find;
    const SUMMARY: &'static str =
        "Gives every node of a site a block of pod addresses, recorded in the cluster and kept.";

    async fn run(&self, cx: &ActionContext, input: &AllocateInput) -> Result<AllocateOutput, ActionError> {
        loop {
            let recorded = store::read(&self.0, cx).await?;
            let registry = input.allocate(&recorded.registry)?;
            if registry == recorded.registry {
                return Ok(input.output(&registry));
            }
            let differences = differences(input, &recorded.registry, &registry);
            if store::record(&self.0, cx, recorded, &registry).await? {
                for difference in &differences {
                    cx.changed(difference.to_string());
                }
                return Ok(input.output(&registry));
            }
            cx.log("somebody else recorded a block at the same time: reading again");
        }
    }

    async fn find(&self, cx: &ActionContext, input: &AllocateInput) -> Result<FindResult<AllocateOutput>, ActionError> {
        let recorded = store::read(&self.0, cx).await?.registry;
        let registry = input.allocate(&recorded)?;
        Ok(if registry == recorded { FindResult::Present(input.output(&registry)) } else { FindResult::Absent })
    }

    async fn preview(&self, cx: &ActionContext, input: &AllocateInput) -> Result<Preview, ActionError> {
        let recorded = store::read(&self.0, cx).await?.registry;
        let registry = input.allocate(&recorded)?;
        if registry == recorded {
            return Ok(Preview::Unchanged { output: json!({"allocations": input.output(&registry).allocations}) });
        }
        Ok(Preview::Changes { differences: differences(input, &recorded, &registry) })
    }
}

impl RequiredPermissions for PodCidrAllocate {
    const PERMISSIONS: &'static [Permission] = &[
        may("get configmaps/stargate-pod-cidrs -n kube-system"),
        may("update configmaps/stargate-pod-cidrs -n kube-system"),
        may("create configmaps -n kube-system"),
    ];
}

impl AllocateInput {
    fn allocate(&self, registry: &Registry) -> Result<Registry, ActionError> {
        let taken: Vec<_> = self.taken.iter().filter_map(Taken::owner).collect();
        let request = Request {
            site: &self.site,
            block: self.block,
            prefix_length: self.prefix_length,
            nodes: &self.nodes,
            adopt: &self.adopt,
            taken: &taken,
        };
        allocate(registry, &request)
    }

    fn output(&self, registry: &Registry) -> AllocateOutput {
        let blocks = &registry[&self.site].allocations;
        let given = self.nodes.iter().filter_map(|node| Some((node.clone(), blocks.get(node)?.to_string())));
        AllocateOutput { allocations: given.collect() }
    }
}

impl Taken {
    fn owner(&self) -> Option<(String, Prefix)> {
        match self {
            Self::Prefix(prefix) => Some(("the cluster".into(), *prefix)),
            Self::Node { name, pod_cidr } => pod_cidr.map(|prefix| (reported(name), prefix)),
        }
    }
}

fn differences(input: &AllocateInput, before: &Registry, after: &Registry) -> Vec<Difference> {
    let had = before.get(&input.site);
    let block = Difference::between("block", had.map(|site| site.block.to_string()), input.block.to_string());
    let new = after[&input.site]
        .allocations
        .iter()
        .filter(|(node, _)| had.is_none_or(|had| !had.allocations.contains_key(*node)));
    let new = new.map(|(node, block)| Difference::missing(format!("pod block of {node}"), block.to_string()));
    block.into_iter().chain(new).collect()
}
