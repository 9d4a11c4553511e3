use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stargate_sdk::ActionError;

use crate::prefix::Prefix;

/// What a site was given, and what it gave to its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Site {
    pub(crate) block: Prefix,
    pub(crate) allocations: BTreeMap<String, Prefix>,
    /// Blocks of nodes that have left, by the node: given back to a node that returns, and to others when nothing else is
    /// left. Records from before nodes could leave have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) released: BTreeMap<String, Prefix>,
}

/// Every site, as recorded in the cluster.
pub(crate) type Registry = BTreeMap<String, Site>;

/// What is asked for one site.
pub(crate) struct Request<'a> {
    pub(crate) site: &'a str,
    pub(crate) block: Prefix,
    pub(crate) prefix_length: u8,
    pub(crate) nodes: &'a [String],
    pub(crate) adopt: &'a BTreeMap<String, Prefix>,
    /// Blocks that others have: who, and which.
    pub(crate) taken: &'a [(String, Prefix)],
}

/// Who has a block.
struct Owner {
    name: String,
    prefix: Prefix,
    /// The node, where the registry gave the block.
    node: Option<String>,
}

/// Gives every node of the request its block: the one it has, the one to adopt, or the lowest that is free.
///
/// A recorded block never changes. Two owners of one address are an error that names both.
pub(crate) fn allocate(registry: &Registry, request: &Request<'_>) -> Result<Registry, ActionError> {
    let mut registry = registry.clone();
    check_blocks(&registry, request)?;
    let site = registry.entry(request.site.to_owned()).or_insert_with(|| Site {
        block: request.block,
        allocations: BTreeMap::new(),
        released: BTreeMap::new(),
    });
    site.block = request.block;
    adopt(site, request)?;
    check_owners(&registry, request)?;
    for node in request.nodes {
        if registry[request.site].allocations.contains_key(node) {
            continue;
        }
        let block = choose(&registry, request, node).ok_or_else(|| exhausted(node, request))?;
        if let Some(site) = registry.get_mut(request.site) {
            site.give(node, block);
        }
    }
    Ok(registry)
}

/// Takes the node's block back. `None`: it has none.
pub(crate) fn release(registry: &Registry, node: &str) -> Option<Registry> {
    let mut registry = registry.clone();
    let (block, site) = registry.values_mut().find_map(|site| Some((site.allocations.remove(node)?, site)))?;
    site.released.insert(node.to_owned(), block);
    Some(registry)
}

/// The block that a node has.
pub(crate) fn block_of(registry: &Registry, node: &str) -> Option<Prefix> {
    registry.values().find_map(|site| site.allocations.get(node).copied())
}

/// The block that a node had before it left.
pub(crate) fn released_by(registry: &Registry, node: &str) -> Option<Prefix> {
    registry.values().find_map(|site| site.released.get(node).copied())
}

impl Site {
    fn give(&mut self, node: &str, block: Prefix) {
        self.allocations.insert(node.to_owned(), block);
        self.released.retain(|former, released| former != node && !released.overlaps(block));
    }
}

/// The block that a node had before it left, else the lowest that nobody has had, else the lowest that nobody has.
fn choose(registry: &Registry, request: &Request<'_>, node: &str) -> Option<Prefix> {
    let in_use = blocks(owners(registry, request));
    let fits = |block: &Prefix| {
        request.block.0.contains(&block.0)
            && block.0.prefix_len() == request.prefix_length
            && in_use.iter().all(|used| !used.overlaps(*block))
    };
    let former = registry[request.site].released.get(node).copied().filter(fits);
    let had = registry.values().flat_map(|site| site.released.values().copied());
    let ever = || in_use.iter().copied().chain(had).collect::<Vec<_>>();
    former.or_else(|| lowest_free(request, &ever())).or_else(|| lowest_free(request, &in_use))
}

fn check_blocks(registry: &Registry, request: &Request<'_>) -> Result<(), ActionError> {
    let block = request.block.0;
    if request.prefix_length < block.prefix_len() || request.prefix_length > block.max_prefix_len() {
        return Err(ActionError::permanent(format!(
            "a /{} does not fit into {}",
            request.prefix_length, request.block
        )));
    }
    let mut others = registry.iter().filter(|(name, _)| *name != request.site);
    match others.find(|(_, site)| site.block.overlaps(request.block)) {
        Some((name, site)) => Err(collision(
            (&format!("site {:?}", request.site), request.block),
            (&format!("site {name:?}"), site.block),
        )),
        None => Ok(()),
    }
}

fn adopt(site: &mut Site, request: &Request<'_>) -> Result<(), ActionError> {
    for (node, wanted) in request.adopt {
        let has = site.allocations.get(node).copied().unwrap_or(*wanted);
        if has == *wanted {
            site.give(node, has);
        } else {
            return Err(ActionError::permanent(format!(
                "node {node:?} of site {:?} has {has} in the registry and cannot adopt {wanted}",
                request.site
            ))
            .with_hint("a recorded block is kept; drop it from `adopt`, or let the node leave with `remove-worker`"));
        }
    }
    Ok(())
}

fn owners(registry: &Registry, request: &Request<'_>) -> Vec<Owner> {
    let recorded = registry.iter().flat_map(|(site, blocks)| {
        blocks.allocations.iter().map(move |(node, prefix)| Owner {
            name: format!("node {node:?} of site {site:?}"),
            prefix: *prefix,
            node: Some(node.clone()),
        })
    });
    let taken = request.taken.iter().map(|(name, prefix)| Owner { name: name.clone(), prefix: *prefix, node: None });
    recorded.chain(taken).collect()
}

fn check_owners(registry: &Registry, request: &Request<'_>) -> Result<(), ActionError> {
    let owners = owners(registry, request);
    for (index, one) in owners.iter().enumerate() {
        let mut others = owners[index + 1..].iter().filter(|other| !is_the_same(one, other));
        // What others took among themselves is not ours to judge.
        if let Some(other) = others.find(|other| one.node.is_some() && one.prefix.overlaps(other.prefix)) {
            return Err(collision((&one.name, one.prefix), (&other.name, other.prefix)));
        }
    }
    Ok(())
}

/// A node of ours that reports the block which the registry gave it is no second owner.
fn is_the_same(recorded: &Owner, taken: &Owner) -> bool {
    let reports = recorded.node.as_ref().is_some_and(|node| taken.node.is_none() && taken.name == reported(node));
    reports && recorded.prefix == taken.prefix
}

/// How a node is called that reports a block itself.
pub(crate) fn reported(node: &str) -> String {
    format!("node {node:?} of the cluster")
}

fn blocks(owners: Vec<Owner>) -> Vec<Prefix> {
    owners.into_iter().map(|owner| owner.prefix).collect()
}

fn lowest_free(request: &Request<'_>, used: &[Prefix]) -> Option<Prefix> {
    let mut free = request.block.0.subnets(request.prefix_length).ok()?.map(Prefix);
    free.find(|block| used.iter().all(|used| !used.overlaps(*block)))
}

fn collision(one: (&str, Prefix), other: (&str, Prefix)) -> ActionError {
    ActionError::permanent(format!("{} has {}, which overlaps {} of {}", one.0, one.1, other.1, other.0))
        .with_hint("give the site a block that nobody else allocates from")
}

fn exhausted(node: &str, request: &Request<'_>) -> ActionError {
    ActionError::permanent(format!(
        "block {} of site {:?} has no free /{} left for node {node:?}",
        request.block, request.site, request.prefix_length
    ))
    .with_hint("give the site a larger block; blocks that are in use stay as they are")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().expect("prefix")
    }

    fn allocate_in(
        registry: &Registry,
        nodes: &[&str],
        adopt: &[(&str, &str)],
        taken: &[(&str, &str)],
    ) -> Result<Registry, ActionError> {
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        let adopt = adopt.iter().map(|(node, block)| ((*node).to_owned(), prefix(block))).collect();
        let taken: Vec<_> = taken.iter().map(|(name, block)| ((*name).to_owned(), prefix(block))).collect();
        let request = Request {
            site: "dc",
            block: prefix("10.244.64.0/18"),
            prefix_length: 24,
            nodes: &nodes,
            adopt: &adopt,
            taken: &taken,
        };
        allocate(registry, &request)
    }

    fn given(registry: &Registry, node: &str) -> String {
        registry["dc"].allocations[node].to_string()
    }

    #[test]
    fn the_lowest_free_block_is_given_and_kept() {
        let taken = [("aks node a", "10.244.64.0/24")];
        let first = allocate_in(&Registry::new(), &["w1", "w2"], &[], &taken).expect("allocated");
        assert_eq!((given(&first, "w1"), given(&first, "w2")), ("10.244.65.0/24".into(), "10.244.66.0/24".into()));
        let again = allocate_in(&first, &["w2", "w3", "w1"], &[], &[]).expect("allocated");
        assert_eq!((given(&again, "w1"), given(&again, "w2")), ("10.244.65.0/24".into(), "10.244.66.0/24".into()));
        assert_eq!(given(&again, "w3"), "10.244.64.0/24");
    }

    #[test]
    fn blocks_of_the_old_formula_are_adopted_even_from_elsewhere() {
        let adopted = allocate_in(&Registry::new(), &["w1", "w2"], &[("w1", "10.244.50.0/24")], &[]).expect("adopted");
        assert_eq!(given(&adopted, "w1"), "10.244.50.0/24");
        let error = allocate_in(&adopted, &["w1"], &[("w1", "10.244.51.0/24")], &[]).expect_err("another block");
        assert!(error.message.contains("10.244.50.0/24") && error.message.contains("10.244.51.0/24"), "{error}");
        let both = [("w1", "10.244.50.0/24"), ("w3", "10.244.50.0/24")];
        let error = allocate_in(&Registry::new(), &[], &both, &[]).expect_err("one block twice");
        assert!(error.message.contains("\"w1\"") && error.message.contains("\"w3\""), "{error}");
    }

    #[test]
    fn a_collision_names_both_owners() {
        let registry = allocate_in(&Registry::new(), &["w1"], &[], &[]).expect("allocated");
        let taken = [(reported("aks-0").leak() as &str, "10.244.64.0/24")];
        let error = allocate_in(&registry, &["w1"], &[], &taken).expect_err("AKS took it");
        assert!(error.message.contains("\"w1\"") && error.message.contains("\"aks-0\""), "{error}");
        let own = [(reported("w1").leak() as &str, "10.244.64.0/24")];
        allocate_in(&registry, &["w1"], &[], &own).expect("the node's own report");
        let lies = [(reported("w1").leak() as &str, "10.244.64.0/25")];
        allocate_in(&registry, &["w1"], &[], &lies).expect_err("another block than recorded");
    }

    #[test]
    fn a_block_that_was_released_goes_to_its_node_again_and_to_others_last() {
        let registry = allocate_in(&Registry::new(), &["w1", "w2"], &[], &[]).expect("allocated");
        assert_eq!(release(&registry, "w3"), None, "it has none");
        let left = release(&registry, "w1").expect("released");
        assert_eq!((block_of(&left, "w1"), released_by(&left, "w1")), (None, Some(prefix("10.244.64.0/24"))));
        let another = allocate_in(&left, &["w3"], &[], &[]).expect("allocated");
        assert_eq!(given(&another, "w3"), "10.244.66.0/24", "nobody has had that one");
        let back = allocate_in(&another, &["w1"], &[], &[]).expect("allocated");
        assert_eq!((given(&back, "w1"), released_by(&back, "w1")), ("10.244.64.0/24".into(), None));

        let nodes: Vec<String> = (3..=64).map(|n| format!("w{n}")).collect();
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        let full = allocate_in(&another, &nodes, &[], &[]).expect("the last block is a released one");
        assert_eq!(
            (given(&full, "w64"), released_by(&full, "w1")),
            ("10.244.127.0/24".into(), Some(prefix("10.244.64.0/24")))
        );
        let full = allocate_in(&full, &["w65"], &[], &[]).expect("the last block is a released one");
        assert_eq!((given(&full, "w65"), released_by(&full, "w1")), ("10.244.64.0/24".into(), None));
        allocate_in(&full, &["w1"], &[], &[]).expect_err("and then there is none");
    }

    #[test]
    fn what_was_recorded_before_nodes_could_leave_is_read_and_written_as_it_was() {
        let text = r#"{"block":"10.244.64.0/18","allocations":{"w1":"10.244.64.0/24"}}"#;
        let site: Site = serde_json::from_str(text).expect("a site");
        assert_eq!(serde_json::to_string(&site).expect("JSON"), text);
    }

    #[test]
    fn two_sites_never_share_a_block() {
        let registry = allocate_in(&Registry::new(), &["w1"], &[], &[]).expect("allocated");
        let request = Request {
            site: "other",
            block: prefix("10.244.96.0/19"),
            prefix_length: 24,
            nodes: &[],
            adopt: &BTreeMap::new(),
            taken: &[],
        };
        let error = allocate(&registry, &request).expect_err("overlap");
        assert!(error.message.contains("\"other\"") && error.message.contains("\"dc\""), "{error}");
    }

    proptest! {
        #[test]
        fn whatever_the_order_blocks_are_kept_and_never_shared(
            rounds in prop::collection::vec((prop::collection::vec(0_u8..40, 0..6), prop::option::of(0_u8..40)), 1..12),
            taken in prop::collection::vec(0_u8..64, 0..10),
        ) {
            let mut registry = Registry::new();
            let taken: Vec<(String, Prefix)> = taken
                .iter()
                .map(|n| (format!("aks {n}"), prefix(&format!("10.244.{}.0/24", 64 + n))))
                .collect();
            for (round, leaving) in rounds {
                let left = leaving.and_then(|n| release(&registry, &format!("w{n}")));
                registry = left.unwrap_or(registry);
                let nodes: Vec<String> = round.iter().map(|n| format!("w{n}")).collect();
                let request = Request {
                    site: "dc", block: prefix("10.244.64.0/18"), prefix_length: 24,
                    nodes: &nodes, adopt: &BTreeMap::new(), taken: &taken,
                };
                let next = allocate(&registry, &request).expect("the block is large enough");
                if let Some(before) = registry.get("dc") {
                    for (node, block) in &before.allocations {
                        prop_assert_eq!(next["dc"].allocations.get(node), Some(block));
                    }
                }
                let blocks: Vec<Prefix> = next["dc"].allocations.values().copied().chain(taken.iter().map(|t| t.1)).collect();
                for node in &nodes {
                    let own = next["dc"].allocations[node];
                    prop_assert_eq!(blocks.iter().filter(|block| block.overlaps(own)).count(), 1);
                }
                registry = next;
            }
        }
    }
}
