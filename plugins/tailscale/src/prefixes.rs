use std::collections::HashSet;

use ipnet::IpNet;
use stargate_sdk::ActionError;

/// Refuses prefixes with host bits: Tailscale does, and a rounded one would not be what was asked for.
pub(crate) fn check_host_bits(prefixes: &[IpNet]) -> Result<(), ActionError> {
    match prefixes.iter().find(|prefix| prefix.trunc() != **prefix) {
        Some(prefix) => Err(ActionError::permanent(format!("route {prefix} has host bits set"))
            .with_hint(format!("write {}", prefix.trunc()))),
        None => Ok(()),
    }
}

/// The `wanted` that are not in `present`.
pub(crate) fn missing(wanted: &[IpNet], present: &[String]) -> Vec<IpNet> {
    let present = read(present);
    wanted.iter().filter(|prefix| !present.contains(*prefix)).copied().collect()
}

/// `present` and what is missing of `wanted`, in this order.
pub(crate) fn union(present: &[String], wanted: &[IpNet]) -> Vec<String> {
    let mut known = read(present);
    let added = wanted.iter().filter(|prefix| known.insert(**prefix)).map(ToString::to_string);
    present.iter().cloned().chain(added).collect()
}

/// The `present` that are not wanted.
pub(crate) fn surplus(present: &[String], wanted: &[IpNet]) -> Vec<String> {
    let wanted: HashSet<&IpNet> = wanted.iter().collect();
    let is_wanted = |text: &&String| text.parse().is_ok_and(|prefix: IpNet| wanted.contains(&prefix));
    present.iter().filter(|text| !is_wanted(text)).cloned().collect()
}

/// Prefixes in words.
pub(crate) fn list(prefixes: &[IpNet]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What can be read as prefixes, compared as such: one prefix has several texts.
fn read(texts: &[String]) -> HashSet<IpNet> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}
