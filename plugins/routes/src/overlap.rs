use crate::{
    claims::{PrefixClaim, PrefixRole, claims, claims_of_site},
    conflict::{Conflict, ConflictParty, FoundConflict},
    facts::{Datacenter, Facts},
};

/// Conflicts of prefixes in the facts: those with host bits and, if none of them but AKS nodes'
/// has any, overlaps of the others.
pub(crate) fn prefix_conflicts(facts: &Facts) -> Vec<FoundConflict> {
    conflicts_between(claims(facts))
}

/// Conflicts of the prefixes of one site, without the rest of the deployment.
pub(crate) fn site_prefix_conflicts(site: &Datacenter) -> Vec<FoundConflict> {
    conflicts_between(claims_of_site(site))
}

fn conflicts_between(claims: Vec<PrefixClaim>) -> Vec<FoundConflict> {
    let (mut found, mut claims_without) = (Vec::new(), Vec::new());
    for claim in claims {
        match host_bits_conflict(&claim) {
            Some(conflict) => found.push(conflict),
            None => claims_without.push(claim),
        }
    }
    if found.iter().all(FoundConflict::is_of_aks_node) {
        found.extend(overlaps(claims_without));
    }
    found
}

fn host_bits_conflict(claim: &PrefixClaim) -> Option<FoundConflict> {
    let prefix = claim.prefix.trunc();
    (prefix != claim.prefix).then(|| {
        let message = format!("{}, {}, has host bits set", claim.source, claim.prefix);
        let conflict = Conflict::new(message, format!("write {prefix}"));
        FoundConflict { conflict, parties: [claim.role.party(), ConflictParty::Other] }
    })
}

fn overlaps(claims: Vec<PrefixClaim>) -> Vec<FoundConflict> {
    let mut conflicts = Vec::new();
    for_each_enclosed(claims, |claim, enclosing| conflicts.extend(conflicts_of(claim, enclosing)));
    conflicts
}

/// Calls `visit` with each claim and the claims whose prefix contains its own, the largest first.
///
/// Two prefixes are either nested or disjoint. In sorted order, the enclosing ones are therefore a
/// stack.
fn for_each_enclosed(mut claims: Vec<PrefixClaim>, mut visit: impl FnMut(&PrefixClaim, &[PrefixClaim])) {
    claims.sort_by_key(|claim| (claim.prefix.network(), claim.prefix.prefix_len(), claim.role));
    let mut enclosing: Vec<PrefixClaim> = Vec::new();
    for claim in claims {
        while enclosing.last().is_some_and(|outer| !outer.prefix.contains(&claim.prefix)) {
            enclosing.pop();
        }
        visit(&claim, &enclosing);
        enclosing.push(claim);
    }
}

/// Conflicts of a claim, except those that a larger prefix of which it is a part has as well.
fn conflicts_of(claim: &PrefixClaim, enclosing: &[PrefixClaim]) -> Vec<FoundConflict> {
    let is_reported = |index: usize| {
        let between = enclosing[index + 1..].iter();
        between.into_iter().any(|whole| claim.may_be_part_of(whole) && !whole.may_be_part_of(&enclosing[index]))
    };
    let outers =
        enclosing.iter().enumerate().filter(|(index, outer)| !claim.may_be_part_of(outer) && !is_reported(*index));
    outers.map(|(_, outer)| overlap_conflict(claim, outer)).collect()
}

fn overlap_conflict(inner: &PrefixClaim, outer: &PrefixClaim) -> FoundConflict {
    let relation = if inner.prefix == outer.prefix { "equals" } else { "is inside" };
    let message = format!("{}, {}, {relation} {}, {}", inner.source, inner.prefix, outer.source, outer.prefix);
    FoundConflict {
        conflict: Conflict::new(message, hint(inner, outer)),
        parties: [inner.role.party(), outer.role.party()],
    }
}

/// The action that resolves the conflict, by the prefix that can be changed.
fn hint(inner: &PrefixClaim, outer: &PrefixClaim) -> String {
    use PrefixRole::{NodePods, Other, SitePods, Tailnet, WorkerPods};
    match (inner.role, outer.role) {
        (NodePods(_), SitePods(_)) => {
            "the site's router would draw the node's packets into the tunnel: cordon and replace the \
                                    node, or give the site a pod CIDR that AKS has not reached"
                .to_owned()
        }
        (_, Other) => format!("withdraw {} from {}, or move {}", outer.prefix, outer.source, inner.source),
        (Other, _) => format!("withdraw {} from {}, or move {}", inner.prefix, inner.source, outer.source),
        (NodePods(_) | WorkerPods(_), NodePods(_) | WorkerPods(_)) => {
            format!("cordon one of the two and repave it with another pod CIDR: {} or {}", inner.source, outer.source)
        }
        (Tailnet, _) | (_, Tailnet) => "100.64.0.0/10 belongs to the tailnet: choose a prefix outside it".to_owned(),
        _ => format!("choose another prefix for {}", inner.source),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ipnet::Ipv4Net;

    use super::*;

    #[test]
    fn a_claim_is_compared_only_with_those_that_enclose_it() {
        let net = |address: u32, length| Ipv4Net::new(Ipv4Addr::from_bits(address), length).expect("length");
        let first = Ipv4Addr::new(11, 0, 0, 0).to_bits();
        let pods = |node: u32| net(first + (node << 8), 24);
        let nodes = (0..1000).map(|node| PrefixClaim::new(pods(node), PrefixRole::NodePods(0), "node"));
        let cluster = PrefixClaim::new(net(first, 8), PrefixRole::ClusterPods, "cluster");
        let mut comparisons = 0;
        for_each_enclosed(nodes.chain([cluster]).collect(), |_, enclosing| comparisons += enclosing.len());
        assert_eq!(comparisons, 1000, "one per node, not one per pair");
    }
}
