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
    wanted.iter().filter(|prefix| !contains(present, **prefix)).copied().collect()
}

/// `present` and what is missing of `wanted`, in this order.
pub(crate) fn union(present: &[String], wanted: &[IpNet]) -> Vec<String> {
    let mut all = present.to_vec();
    for prefix in wanted {
        if !contains(&all, *prefix) {
            all.push(prefix.to_string());
        }
    }
    all
}

/// The `present` that are not wanted.
pub(crate) fn surplus(present: &[String], wanted: &[IpNet]) -> Vec<String> {
    let is_wanted = |text: &&String| text.parse().is_ok_and(|prefix: IpNet| wanted.contains(&prefix));
    present.iter().filter(|text| !is_wanted(text)).cloned().collect()
}

/// Prefixes in words.
pub(crate) fn list(prefixes: &[IpNet]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn contains(present: &[String], prefix: IpNet) -> bool {
    present.iter().any(|text| text.parse() == Ok(prefix))
}
