use crate::claims::{Claim, Role, claims};
use crate::conflict::Conflict;
use crate::facts::Facts;

/// Every clash of prefixes in the facts.
pub(crate) fn prefix_conflicts(facts: &Facts) -> Vec<Conflict> {
    let claims = claims(facts);
    let host_bits: Vec<Conflict> = claims.iter().filter_map(with_host_bits).collect();
    if host_bits.is_empty() { overlaps(claims) } else { host_bits }
}

fn with_host_bits(claim: &Claim) -> Option<Conflict> {
    let meant = claim.prefix.trunc();
    (meant != claim.prefix).then(|| {
        Conflict::new(format!("{}, {}, has host bits set", claim.source, claim.prefix), format!("write {meant}"))
    })
}

/// Prefixes either nest or are apart: sorted, each is compared only with those that it lies in.
fn overlaps(mut claims: Vec<Claim>) -> Vec<Conflict> {
    claims.sort_by_key(|claim| (claim.prefix.network(), claim.prefix.prefix_len(), claim.role));
    let mut open: Vec<Claim> = Vec::new();
    let mut found = Vec::new();
    for claim in claims {
        while open.last().is_some_and(|outer| !outer.prefix.contains(&claim.prefix)) {
            open.pop();
        }
        found.extend(clashes(&claim, &open));
        open.push(claim);
    }
    found
}

/// What a claim clashes with, but for what it clashes with only because the one that it is a part of does.
fn clashes(claim: &Claim, open: &[Claim]) -> Vec<Conflict> {
    let told = |at: usize| {
        let between = open[at + 1..].iter();
        between.into_iter().any(|whole| claim.may_lie_in(whole) && !whole.may_lie_in(&open[at]))
    };
    let outers = open.iter().enumerate().filter(|(at, outer)| !claim.may_lie_in(outer) && !told(*at));
    outers.map(|(_, outer)| overlap(claim, outer)).collect()
}

fn overlap(inner: &Claim, outer: &Claim) -> Conflict {
    let word = if inner.prefix == outer.prefix { "is also" } else { "lies in" };
    let message = format!("{}, {}, {word} {}, {}", inner.source, inner.prefix, outer.source, outer.prefix);
    Conflict::new(message, remedy(inner, outer))
}

/// What to do about a clash, by who can move.
fn remedy(inner: &Claim, outer: &Claim) -> String {
    match (inner.role, outer.role) {
        (Role::NodeBlock, Role::SiteBlock(_)) => {
            "the site's router would draw the node's packets into the tunnel: cordon and replace the node, or give the site a \
             block that AKS has not reached"
                .to_owned()
        }
        (_, Role::Other) => format!("withdraw {} from {}, or move {}", outer.prefix, outer.source, inner.source),
        (Role::Other, _) => format!("withdraw {} from {}, or move {}", inner.prefix, inner.source, outer.source),
        (Role::NodeBlock | Role::WorkerBlock(_), Role::NodeBlock | Role::WorkerBlock(_)) => {
            format!("cordon one of the two and repave it with another block: {} or {}", inner.source, outer.source)
        }
        (Role::Tailnet, _) | (_, Role::Tailnet) => {
            "100.64.0.0/10 belongs to the tailnet: choose a prefix outside it".to_owned()
        }
        _ => format!("choose another prefix for {}", inner.source),
    }
}
