use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

/// Number of nodes of each site that ask the chosen nodes of each other site, in a sample.
const NODES_PER_SITE_PAIR: usize = 2;

/// A node that takes part in a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbedNode {
    /// Name of the node.
    pub(crate) name: String,
    /// Site of the node.
    pub(crate) site: String,
    /// First internal address of the node; empty if it has none.
    pub(crate) address: String,
    /// True if the node is ready.
    pub(crate) is_ready: bool,
}

/// Chooses the ordered pairs of nodes that are asked, as indexes into `nodes`.
///
/// With `only`, at least one node of each pair is one of these. All pairs are chosen among up to
/// `max_nodes` nodes. Among more it is a sample that differs with `seed`: for each ordered pair of
/// sites two nodes of each, and for each node one node of each site. So each node and each pair of
/// sites is asked in both directions, and the number of pairs grows with the nodes, not with their
/// square.
pub(crate) fn choose_pairs(
    nodes: &[ProbedNode],
    only: &BTreeSet<String>,
    max_nodes: usize,
    seed: &str,
) -> Vec<(usize, usize)> {
    let is_wanted = |at: usize| only.is_empty() || only.contains(&nodes[at].name);
    let pairs = if nodes.len() <= max_nodes { all_pairs(nodes.len()) } else { sample(nodes, seed) };
    pairs.into_iter().filter(|(from, to)| is_wanted(*from) || is_wanted(*to)).collect()
}

fn all_pairs(count: usize) -> Vec<(usize, usize)> {
    (0..count).flat_map(|from| (0..count).filter(move |to| *to != from).map(move |to| (from, to))).collect()
}

fn sample(nodes: &[ProbedNode], seed: &str) -> Vec<(usize, usize)> {
    let mut sites: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        sites.entry(&node.site).or_default().push(at);
    }
    let mut pairs = BTreeSet::new();
    for members in sites.values() {
        for others in sites.values() {
            let chosen = |of: &[usize]| ranked(nodes, of, seed).into_iter().take(NODES_PER_SITE_PAIR);
            pairs.extend(chosen(members).flat_map(|from| chosen(others).map(move |to| (from, to))));
        }
    }
    for (at, node) in nodes.iter().enumerate() {
        let peers = sites.values().filter_map(|others| {
            ranked(nodes, others, &format!("{seed}{}", node.name)).into_iter().find(|other| *other != at)
        });
        pairs.extend(peers.flat_map(|peer| [(at, peer), (peer, at)]));
    }
    pairs.into_iter().filter(|(from, to)| from != to).collect()
}

/// Orders nodes by the hash of the seed and their names: a rendezvous hash, so that a node that
/// joins or leaves changes few pairs.
fn ranked(nodes: &[ProbedNode], members: &[usize], seed: &str) -> Vec<usize> {
    let mut members = members.to_vec();
    members.sort_by_cached_key(|at| <[u8; 32]>::from(Sha256::digest(format!("{seed}/{}", nodes[*at].name))));
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(sites: usize, each: usize) -> Vec<ProbedNode> {
        let node = |at: usize| ProbedNode {
            name: format!("n{at}"),
            site: format!("s{}", at % sites),
            address: String::new(),
            is_ready: true,
        };
        (0..sites * each).map(node).collect()
    }

    #[test]
    fn few_nodes_are_all_asked() {
        let pairs = choose_pairs(&nodes(2, 2), &BTreeSet::new(), 4, "run");
        assert_eq!(pairs.len(), 12);
        assert!(pairs.iter().all(|(from, to)| from != to));
    }

    #[test]
    fn only_pairs_of_the_named_nodes_are_asked() {
        let pairs = choose_pairs(&nodes(2, 2), &["n1".to_owned()].into(), 4, "run");
        assert_eq!(pairs, [(0, 1), (1, 0), (1, 2), (1, 3), (2, 1), (3, 1)]);
    }

    #[test]
    fn a_sample_has_each_node_and_each_pair_of_sites_in_both_directions() {
        let nodes = nodes(4, 15);
        let pairs: BTreeSet<_> = choose_pairs(&nodes, &BTreeSet::new(), 20, "run").into_iter().collect();
        assert!(pairs.len() < 600, "{}", pairs.len());
        for (at, node) in nodes.iter().enumerate() {
            for site in ["s0", "s1", "s2", "s3"] {
                let asks = pairs.iter().any(|(from, to)| *from == at && nodes[*to].site == site);
                let is_asked = pairs.iter().any(|(from, to)| *to == at && nodes[*from].site == site);
                assert!(asks && is_asked, "{} and {site}", node.name);
            }
        }
        let other: BTreeSet<_> = choose_pairs(&nodes, &BTreeSet::new(), 20, "other run").into_iter().collect();
        assert_ne!(pairs, other);
    }
}
