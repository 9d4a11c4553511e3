use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{Action, ActionContext, ActionError, Difference, Found, Preview, Recovery};

use crate::{
    api::Api,
    kind::{At, CONFIG_MAPS},
    pod_cidr_registry::{Registry, Request, Site, allocate, reported},
    prefix::Prefix,
};

const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "stargate-pod-cidrs";

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

/// The registry and the `ConfigMap` that it was read from.
struct Recorded {
    config_map: Option<Value>,
    registry: Registry,
}

impl PodCidrAllocate {
    async fn read(&self, cx: &ActionContext) -> Result<Recorded, ActionError> {
        let config_map = self.0.get(cx, &CONFIG_MAPS, At::namespaced(NAMESPACE, CONFIG_MAP)).await?;
        let registry = config_map.as_ref().map(parse).transpose()?.unwrap_or_default();
        Ok(Recorded { config_map, registry })
    }

    /// Records `registry`, unless somebody else has recorded something since: false then.
    async fn record(&self, cx: &ActionContext, recorded: Recorded, registry: &Registry) -> Result<bool, ActionError> {
        let data = data(registry)?;
        let written = match recorded.config_map {
            Some(mut config_map) => {
                config_map["data"] = data;
                let at = At::namespaced(NAMESPACE, CONFIG_MAP);
                self.0.replace(cx, &CONFIG_MAPS, at, None, config_map).await
            }
            None => self.0.create(cx, &CONFIG_MAPS, Some(NAMESPACE), new_config_map(&data)).await,
        };
        match written {
            Ok(_) => Ok(true),
            Err(error) if error.is_stale() || error.already_exists() || error.is_not_found() => Ok(false),
            Err(error) => Err(error.error.context(format_args!("config map {NAMESPACE}/{CONFIG_MAP}"))),
        }
    }
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
            let recorded = self.read(cx).await?;
            let registry = input.allocate(&recorded.registry)?;
            if registry == recorded.registry {
                return Ok(input.output(&registry));
            }
            let differences = differences(input, &recorded.registry, &registry);
            if self.record(cx, recorded, &registry).await? {
                for difference in &differences {
                    cx.changed(difference.to_string());
                }
                return Ok(input.output(&registry));
            }
            cx.log("somebody else recorded a block at the same time: reading again");
        }
    }

    async fn find(&self, cx: &ActionContext, input: &AllocateInput) -> Result<Found<AllocateOutput>, ActionError> {
        let recorded = self.read(cx).await?.registry;
        let registry = input.allocate(&recorded)?;
        Ok(if registry == recorded { Found::Present(input.output(&registry)) } else { Found::Absent })
    }

    async fn preview(&self, cx: &ActionContext, input: &AllocateInput) -> Result<Preview, ActionError> {
        let recorded = self.read(cx).await?.registry;
        let registry = input.allocate(&recorded)?;
        if registry == recorded {
            return Ok(Preview::InOrder { output: json!({"allocations": input.output(&registry).allocations}) });
        }
        Ok(Preview::Changes { differences: differences(input, &recorded, &registry) })
    }
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

fn parse(config_map: &Value) -> Result<Registry, ActionError> {
    let sites = config_map["data"].as_object().into_iter().flatten();
    sites
        .map(|(site, text)| {
            let parsed: Result<Site, _> = serde_json::from_str(text.as_str().unwrap_or_default());
            parsed.map(|parsed| (site.clone(), parsed)).map_err(|e| {
                ActionError::permanent(format!(
                    "config map {NAMESPACE}/{CONFIG_MAP}: site {site:?} cannot be read: {e}"
                ))
                .with_hint("it is the only record of which node has which block: mend it by hand, do not delete it")
            })
        })
        .collect()
}

fn data(registry: &Registry) -> Result<Value, ActionError> {
    let mut data = serde_json::Map::new();
    for (name, site) in registry {
        let text = serde_json::to_string(site).map_err(|e| ActionError::permanent(e.to_string()))?;
        data.insert(name.clone(), text.into());
    }
    Ok(Value::Object(data))
}

fn new_config_map(data: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": CONFIG_MAP,
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "stargate"},
        },
        "data": data,
    })
}
