use ipnet::IpNet;
use stargate_sdk::ActionError;

/// Refuses prefixes with host bits: Tailscale and the kernel do, and a rounded one would not be what was asked for.
pub(crate) fn check_host_bits(prefixes: impl IntoIterator<Item = IpNet>) -> Result<(), ActionError> {
    match prefixes.into_iter().find(|prefix| prefix.trunc() != *prefix) {
        Some(prefix) => Err(ActionError::permanent(format!("route {prefix} has host bits set"))
            .with_hint(format!("write {}", prefix.trunc()))),
        None => Ok(()),
    }
}

/// Prefixes in words.
pub(crate) fn list(prefixes: &[IpNet]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
