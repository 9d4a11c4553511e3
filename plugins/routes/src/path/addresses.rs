//! Addresses that represent all addresses of prefixes: no rule distinguishes two addresses with one
//! representative.

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;

use super::subnet::PathPrefix;

/// An address, and the prefix of the path that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Representative {
    pub(super) address: Ipv4Addr,
    pub(super) of: PathPrefix,
}

/// Representatives of `prefixes`, where rules distinguish addresses by `boundaries` only.
pub(super) fn representatives(prefixes: &[PathPrefix], boundaries: &[Ipv4Net]) -> Vec<Representative> {
    let mut found = BTreeMap::new();
    for of in prefixes {
        let inside = boundaries.iter().copied().filter(|boundary| is_inside(*boundary, of.prefix));
        for part in std::iter::once(of.prefix).chain(inside) {
            let inner: Vec<Ipv4Net> = boundaries.iter().copied().filter(|it| is_inside(*it, part)).collect();
            let Some(address) = remainder(part, &inner).map(|rest| rest.network()) else { continue };
            let signature: Vec<bool> = boundaries.iter().map(|boundary| boundary.contains(&address)).collect();
            found.entry((of.rule_prefix, of.pods, signature)).or_insert(Representative { address, of: *of });
        }
    }
    found.into_values().collect()
}

/// True if `inner` is a part of `outer` and not equal to it.
fn is_inside(inner: Ipv4Net, outer: Ipv4Net) -> bool {
    outer.contains(&inner) && inner != outer
}

/// A part of `prefix` that no prefix of `without` touches; `None` if they cover it.
fn remainder(prefix: Ipv4Net, without: &[Ipv4Net]) -> Option<Ipv4Net> {
    if without.iter().any(|other| other.contains(&prefix)) {
        return None;
    }
    let within: Vec<Ipv4Net> = without.iter().copied().filter(|other| prefix.contains(other)).collect();
    if within.is_empty() {
        return Some(prefix);
    }
    prefix.subnets(prefix.prefix_len() + 1).ok()?.find_map(|half| remainder(half, &within))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().expect("a prefix")
    }

    #[test]
    fn the_remainder_avoids_each_part() {
        assert_eq!(remainder(net("10.0.0.0/8"), &[]), Some(net("10.0.0.0/8")));
        assert_eq!(remainder(net("10.0.0.0/8"), &[net("10.0.0.0/9")]), Some(net("10.128.0.0/9")));
        assert_eq!(remainder(net("10.0.0.0/8"), &[net("10.0.0.0/9"), net("10.128.0.0/9")]), None);
        assert_eq!(remainder(net("10.1.0.0/16"), &[net("10.0.0.0/8")]), None);
    }

    proptest! {
        /// Each address of a prefix is on the same side of every boundary as a representative.
        #[test]
        fn each_address_has_a_representative(
            bits in any::<u32>(), length in 4_u8..=28, more in prop::collection::vec((any::<u32>(), 4_u8..=30), 0..8)
        ) {
            let prefix = |bits: u32, length| Ipv4Net::new(Ipv4Addr::from(bits), length).expect("a length").trunc();
            let whole = prefix(bits, length);
            // Boundaries near the prefix, so that they overlap it.
            let near = |other: u32| (bits & 0xffff_0000) | (other & 0x0000_ffff);
            let boundaries: Vec<Ipv4Net> = more.iter().map(|(other, length)| prefix(near(*other), *length)).collect();
            let path = PathPrefix { prefix: whole, rule_prefix: whole, pods: true };
            let found = representatives(&[path], &boundaries);
            let side = |address: Ipv4Addr| boundaries.iter().map(|it| it.contains(&address)).collect::<Vec<_>>();
            for sample in boundaries.iter().flat_map(|it| [it.network(), it.broadcast()]).chain([whole.network(), whole.broadcast()]) {
                if whole.contains(&sample) {
                    prop_assert!(found.iter().any(|it| side(it.address) == side(sample)), "{sample}");
                }
            }
            for it in &found {
                prop_assert!(whole.contains(&it.address));
            }
        }
    }
}
