//! Set operations on routes as the API has them, texts, and as an input has them, prefixes.

use std::collections::HashSet;

use ipnet::IpNet;
use stargate_client::Prefix;

/// The prefixes of `desired` that are not in `present`.
pub(super) fn missing(desired: &[Prefix], present: &[String]) -> Vec<Prefix> {
    let present = parse(present);
    desired.iter().filter(|prefix| !present.contains(*prefix)).copied().collect()
}

/// `present`, followed by the prefixes of `desired` that are missing from it.
pub(super) fn union(present: &[String], desired: &[Prefix]) -> Vec<String> {
    let mut known = parse(present);
    let added = desired.iter().filter(|prefix| known.insert(**prefix)).map(ToString::to_string);
    present.iter().cloned().chain(added).collect()
}

/// `present` without the prefixes of `withdrawn`.
pub(super) fn without(present: &[String], withdrawn: &[IpNet]) -> Vec<String> {
    let is_withdrawn = |text: &&String| text.parse().is_ok_and(|prefix: IpNet| withdrawn.contains(&prefix));
    present.iter().filter(|text| !is_withdrawn(text)).cloned().collect()
}

/// True if `present` contains the same prefixes as `target`, in any order, and no other text.
pub(super) fn is_same_set(target: &[String], present: &[String]) -> bool {
    let desired: Vec<Prefix> = parse(target).into_iter().collect();
    missing(&desired, present).is_empty() && surplus(present, &desired).is_empty()
}

/// The prefixes separated by commas.
pub(super) fn join(prefixes: &[Prefix]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The texts of `present` that are not prefixes of `desired`.
fn surplus<'a>(present: &'a [String], desired: &[Prefix]) -> Vec<&'a String> {
    let desired: HashSet<&Prefix> = desired.iter().collect();
    let is_desired = |text: &str| text.parse().is_ok_and(|prefix: Prefix| desired.contains(&prefix));
    present.iter().filter(|text| !is_desired(text)).collect()
}

/// The texts that are prefixes, to be compared as such: an IPv6 prefix has several texts.
fn parse(texts: &[String]) -> HashSet<Prefix> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}
