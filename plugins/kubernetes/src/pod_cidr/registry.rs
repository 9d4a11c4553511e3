use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stargate_client::Prefix;
use stargate_sdk::ActionError;

/// Site pod CIDR of a site, and the pod CIDRs of its nodes. Stored in the config map as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SitePodCidrs {
    /// Site pod CIDR, from which the others are allocated.
    pub(crate) block: Prefix,
    /// Pod CIDR of each node, by its name.
    pub(crate) allocations: BTreeMap<String, Prefix>,
    /// Pod CIDRs of removed nodes, by the name of the node. A node that returns gets its own again;
    /// other nodes get them last. Absent in records of versions that could not remove nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) released: BTreeMap<String, Prefix>,
}

/// Registry of pod CIDRs: all sites, by name.
pub(crate) type PodCidrRegistry = BTreeMap<String, SitePodCidrs>;

/// Request for the pod CIDRs of one site.
pub(crate) struct PodCidrRequest<'a> {
    /// Name of the site.
    pub(crate) site: &'a str,
    /// Prefix from which pod CIDRs are allocated.
    pub(crate) site_pod_cidr: Prefix,
    /// Prefix length of each pod CIDR.
    pub(crate) prefix_length: u8,
    /// Names of the nodes that need pod CIDRs.
    pub(crate) nodes: &'a [String],
    /// Pod CIDRs that nodes of the site already use, by the name of the node.
    pub(crate) adopt: &'a BTreeMap<String, Prefix>,
    /// Pod CIDRs with owners outside the registry, each after the text that names its owner.
    pub(crate) taken: &'a [(String, Prefix)],
}

/// Owner of a pod CIDR, in the registry or outside.
struct PodCidrOwner {
    /// Text that names the owner in errors.
    name: String,
    prefix: Prefix,
    /// Name of the node, if the pod CIDR is in the registry.
    node: Option<String>,
}

/// Allocates a pod CIDR to each node of the request: the recorded one, the one to adopt, or a free
/// one.
///
/// A recorded pod CIDR never changes.
///
/// # Errors
/// `Permanent` if two owners have the same address, which names both, if a recorded pod CIDR
/// differs from the one to adopt, or if no free one is left.
pub(crate) fn allocate(
    registry: &PodCidrRegistry,
    request: &PodCidrRequest<'_>,
) -> Result<PodCidrRegistry, ActionError> {
    let mut registry = registry.clone();
    check_site_pod_cidr(&registry, request)?;
    let site = registry.entry(request.site.to_owned()).or_insert_with(|| SitePodCidrs {
        block: request.site_pod_cidr,
        allocations: BTreeMap::new(),
        released: BTreeMap::new(),
    });
    site.block = request.site_pod_cidr;
    adopt(site, request)?;
    check_owners(&registry, request)?;
    for node in request.nodes {
        if registry[request.site].allocations.contains_key(node) {
            continue;
        }
        let pod_cidr = choose(&registry, request, node).ok_or_else(|| exhausted_error(node, request))?;
        if let Some(site) = registry.get_mut(request.site) {
            site.allocate(node, pod_cidr);
        }
    }
    Ok(registry)
}

/// Releases the pod CIDR of a node; `None` if the node has none.
pub(crate) fn release(registry: &PodCidrRegistry, node: &str) -> Option<PodCidrRegistry> {
    let mut registry = registry.clone();
    let (pod_cidr, site) = registry.values_mut().find_map(|site| Some((site.allocations.remove(node)?, site)))?;
    site.released.insert(node.to_owned(), pod_cidr);
    Some(registry)
}

/// Pod CIDR of a node.
pub(crate) fn pod_cidr_of(registry: &PodCidrRegistry, node: &str) -> Option<Prefix> {
    registry.values().find_map(|site| site.allocations.get(node).copied())
}

/// Pod CIDR that a removed node had.
pub(crate) fn released_pod_cidr(registry: &PodCidrRegistry, node: &str) -> Option<Prefix> {
    registry.values().find_map(|site| site.released.get(node).copied())
}

impl SitePodCidrs {
    fn allocate(&mut self, node: &str, pod_cidr: Prefix) {
        self.allocations.insert(node.to_owned(), pod_cidr);
        self.released.retain(|former, released| former != node && !released.overlaps(pod_cidr));
    }
}

/// Chooses a free pod CIDR: the one that the node had before its removal, else the lowest one that
/// no node has had, else the lowest one.
fn choose(registry: &PodCidrRegistry, request: &PodCidrRequest<'_>, node: &str) -> Option<Prefix> {
    let in_use: Vec<Prefix> = owners(registry, request).into_iter().map(|owner| owner.prefix).collect();
    let fits = |pod_cidr: &Prefix| {
        request.site_pod_cidr.contains(*pod_cidr)
            && pod_cidr.net().prefix_len() == request.prefix_length
            && in_use.iter().all(|used| !used.overlaps(*pod_cidr))
    };
    let former = registry[request.site].released.get(node).copied().filter(fits);
    let had = registry.values().flat_map(|site| site.released.values().copied());
    let ever = || in_use.iter().copied().chain(had).collect::<Vec<_>>();
    former.or_else(|| lowest_free(request, &ever())).or_else(|| lowest_free(request, &in_use))
}

fn check_site_pod_cidr(registry: &PodCidrRegistry, request: &PodCidrRequest<'_>) -> Result<(), ActionError> {
    let net = request.site_pod_cidr.net();
    if request.prefix_length < net.prefix_len() || request.prefix_length > net.max_prefix_len() {
        return Err(ActionError::permanent(format!(
            "a /{} does not fit into {}",
            request.prefix_length, request.site_pod_cidr
        )));
    }
    let mut others = registry.iter().filter(|(name, _)| *name != request.site);
    match others.find(|(_, site)| site.block.overlaps(request.site_pod_cidr)) {
        Some((name, site)) => Err(collision_error(
            (&format!("site {:?}", request.site), request.site_pod_cidr),
            (&format!("site {name:?}"), site.block),
        )),
        None => Ok(()),
    }
}

/// Records the pod CIDRs that nodes already use.
fn adopt(site: &mut SitePodCidrs, request: &PodCidrRequest<'_>) -> Result<(), ActionError> {
    for (node, used) in request.adopt {
        let recorded = site.allocations.get(node).copied().unwrap_or(*used);
        if recorded == *used {
            site.allocate(node, *used);
        } else {
            return Err(ActionError::permanent(format!(
                "node {node:?} of site {:?} has {recorded} in the registry and cannot adopt {used}",
                request.site
            ))
            .with_hint(
                "a recorded pod CIDR does not change: remove it from `adopt`, or remove the node with `remove-worker`",
            ));
        }
    }
    Ok(())
}

/// All owners: the nodes in the registry, and the others of the request.
fn owners(registry: &PodCidrRegistry, request: &PodCidrRequest<'_>) -> Vec<PodCidrOwner> {
    let recorded = registry.iter().flat_map(|(site, pod_cidrs)| {
        pod_cidrs.allocations.iter().map(move |(node, prefix)| PodCidrOwner {
            name: format!("node {node:?} of site {site:?}"),
            prefix: *prefix,
            node: Some(node.clone()),
        })
    });
    let taken =
        request.taken.iter().map(|(name, prefix)| PodCidrOwner { name: name.clone(), prefix: *prefix, node: None });
    recorded.chain(taken).collect()
}

/// Checks that no pod CIDR of the registry overlaps another one.
fn check_owners(registry: &PodCidrRegistry, request: &PodCidrRequest<'_>) -> Result<(), ActionError> {
    let owners = owners(registry, request);
    for (index, one) in owners.iter().enumerate() {
        let mut others = owners[index + 1..].iter().filter(|other| !is_own_report(one, other));
        // Overlaps among owners outside the registry are not checked.
        if let Some(other) = others.find(|other| one.node.is_some() && one.prefix.overlaps(other.prefix)) {
            return Err(collision_error((&one.name, one.prefix), (&other.name, other.prefix)));
        }
    }
    Ok(())
}

/// True if `taken` is the report of a node about its own recorded pod CIDR.
fn is_own_report(recorded: &PodCidrOwner, taken: &PodCidrOwner) -> bool {
    let reports = recorded.node.as_ref().is_some_and(|node| taken.node.is_none() && taken.name == reported_owner(node));
    reports && recorded.prefix == taken.prefix
}

/// Text that names a node which reports its pod CIDR itself.
pub(crate) fn reported_owner(node: &str) -> String {
    format!("node {node:?} of the cluster")
}

/// Lowest prefix of the requested length that overlaps none of `used`.
fn lowest_free(request: &PodCidrRequest<'_>, used: &[Prefix]) -> Option<Prefix> {
    let mut all = request.site_pod_cidr.subnets(request.prefix_length)?;
    all.find(|pod_cidr| used.iter().all(|used| !used.overlaps(*pod_cidr)))
}

fn collision_error(one: (&str, Prefix), other: (&str, Prefix)) -> ActionError {
    ActionError::permanent(format!("{} has {}, which overlaps {} of {}", one.0, one.1, other.1, other.0))
        .with_hint("give the site a pod CIDR that has no other owner")
}

fn exhausted_error(node: &str, request: &PodCidrRequest<'_>) -> ActionError {
    ActionError::permanent(format!(
        "pod CIDR {} of site {:?} has no free /{} left for node {node:?}",
        request.site_pod_cidr, request.site, request.prefix_length
    ))
    .with_hint("give the site a larger pod CIDR; allocated pod CIDRs do not change")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().expect("prefix")
    }

    fn allocate_in(
        registry: &PodCidrRegistry,
        nodes: &[&str],
        adopt: &[(&str, &str)],
        taken: &[(&str, &str)],
    ) -> Result<PodCidrRegistry, ActionError> {
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        let adopt = adopt.iter().map(|(node, block)| ((*node).to_owned(), prefix(block))).collect();
        let taken: Vec<_> = taken.iter().map(|(name, block)| ((*name).to_owned(), prefix(block))).collect();
        let request = PodCidrRequest {
            site: "dc",
            site_pod_cidr: prefix("10.244.64.0/18"),
            prefix_length: 24,
            nodes: &nodes,
            adopt: &adopt,
            taken: &taken,
        };
        allocate(registry, &request)
    }

    fn pod_cidr(registry: &PodCidrRegistry, node: &str) -> String {
        registry["dc"].allocations[node].to_string()
    }

    #[test]
    fn the_lowest_free_pod_cidr_is_allocated_and_kept() {
        let taken = [("aks node a", "10.244.64.0/24")];
        let first = allocate_in(&PodCidrRegistry::new(), &["w1", "w2"], &[], &taken).expect("allocated");
        assert_eq!(
            (pod_cidr(&first, "w1"), pod_cidr(&first, "w2")),
            ("10.244.65.0/24".into(), "10.244.66.0/24".into())
        );
        let again = allocate_in(&first, &["w2", "w3", "w1"], &[], &[]).expect("allocated");
        assert_eq!(
            (pod_cidr(&again, "w1"), pod_cidr(&again, "w2")),
            ("10.244.65.0/24".into(), "10.244.66.0/24".into())
        );
        assert_eq!(pod_cidr(&again, "w3"), "10.244.64.0/24");
    }

    #[test]
    fn pod_cidrs_in_use_are_adopted_even_outside_the_site_pod_cidr() {
        let adopted =
            allocate_in(&PodCidrRegistry::new(), &["w1", "w2"], &[("w1", "10.244.50.0/24")], &[]).expect("adopted");
        assert_eq!(pod_cidr(&adopted, "w1"), "10.244.50.0/24");
        let error = allocate_in(&adopted, &["w1"], &[("w1", "10.244.51.0/24")], &[]).expect_err("another pod CIDR");
        assert!(error.message.contains("10.244.50.0/24") && error.message.contains("10.244.51.0/24"), "{error}");
        let both = [("w1", "10.244.50.0/24"), ("w3", "10.244.50.0/24")];
        let error = allocate_in(&PodCidrRegistry::new(), &[], &both, &[]).expect_err("the same pod CIDR twice");
        assert!(error.message.contains("\"w1\"") && error.message.contains("\"w3\""), "{error}");
    }

    #[test]
    fn a_collision_names_both_owners() {
        let registry = allocate_in(&PodCidrRegistry::new(), &["w1"], &[], &[]).expect("allocated");
        let taken = [(reported_owner("aks-0").leak() as &str, "10.244.64.0/24")];
        let error = allocate_in(&registry, &["w1"], &[], &taken).expect_err("AKS took it");
        assert!(error.message.contains("\"w1\"") && error.message.contains("\"aks-0\""), "{error}");
        let own = [(reported_owner("w1").leak() as &str, "10.244.64.0/24")];
        allocate_in(&registry, &["w1"], &[], &own).expect("the node's own report");
        let other = [(reported_owner("w1").leak() as &str, "10.244.64.0/25")];
        allocate_in(&registry, &["w1"], &[], &other).expect_err("another pod CIDR than the recorded one");
    }

    #[test]
    fn a_released_pod_cidr_goes_to_its_node_again_and_to_others_last() {
        let registry = allocate_in(&PodCidrRegistry::new(), &["w1", "w2"], &[], &[]).expect("allocated");
        assert_eq!(release(&registry, "w3"), None, "the node has none");
        let left = release(&registry, "w1").expect("released");
        assert_eq!((pod_cidr_of(&left, "w1"), released_pod_cidr(&left, "w1")), (None, Some(prefix("10.244.64.0/24"))));
        let another = allocate_in(&left, &["w3"], &[], &[]).expect("allocated");
        assert_eq!(pod_cidr(&another, "w3"), "10.244.66.0/24", "no node has had this one");
        let back = allocate_in(&another, &["w1"], &[], &[]).expect("allocated");
        assert_eq!((pod_cidr(&back, "w1"), released_pod_cidr(&back, "w1")), ("10.244.64.0/24".into(), None));

        let nodes: Vec<String> = (3..=64).map(|n| format!("w{n}")).collect();
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        let full = allocate_in(&another, &nodes, &[], &[]).expect("the last free one is a released one");
        assert_eq!(
            (pod_cidr(&full, "w64"), released_pod_cidr(&full, "w1")),
            ("10.244.127.0/24".into(), Some(prefix("10.244.64.0/24")))
        );
        let full = allocate_in(&full, &["w65"], &[], &[]).expect("the last free one is a released one");
        assert_eq!((pod_cidr(&full, "w65"), released_pod_cidr(&full, "w1")), ("10.244.64.0/24".into(), None));
        allocate_in(&full, &["w1"], &[], &[]).expect_err("none is left");
    }

    #[test]
    fn a_record_without_released_pod_cidrs_is_read_and_written_unchanged() {
        let text = r#"{"block":"10.244.64.0/18","allocations":{"w1":"10.244.64.0/24"}}"#;
        let site: SitePodCidrs = serde_json::from_str(text).expect("a site");
        assert_eq!(serde_json::to_string(&site).expect("JSON"), text);
    }

    #[test]
    fn two_sites_never_share_a_prefix() {
        let registry = allocate_in(&PodCidrRegistry::new(), &["w1"], &[], &[]).expect("allocated");
        let request = PodCidrRequest {
            site: "other",
            site_pod_cidr: prefix("10.244.96.0/19"),
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
        fn in_any_order_pod_cidrs_are_kept_and_never_shared(
            rounds in prop::collection::vec((prop::collection::vec(0_u8..40, 0..6), prop::option::of(0_u8..40)), 1..12),
            taken in prop::collection::vec(0_u8..64, 0..10),
        ) {
            let mut registry = PodCidrRegistry::new();
            let taken: Vec<(String, Prefix)> = taken
                .iter()
                .map(|n| (format!("aks {n}"), prefix(&format!("10.244.{}.0/24", 64 + n))))
                .collect();
            for (round, removed) in rounds {
                let left = removed.and_then(|n| release(&registry, &format!("w{n}")));
                registry = left.unwrap_or(registry);
                let nodes: Vec<String> = round.iter().map(|n| format!("w{n}")).collect();
                let request = PodCidrRequest {
                    site: "dc", site_pod_cidr: prefix("10.244.64.0/18"), prefix_length: 24,
                    nodes: &nodes, adopt: &BTreeMap::new(), taken: &taken,
                };
                let next = allocate(&registry, &request).expect("the site pod CIDR is large enough");
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
