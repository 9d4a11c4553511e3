use stargate_sdk::Permission;

/// Authority that grants the permissions of [`scope`].
pub(crate) const AUTHORITY: &str = "tailscale";

/// The permission to use a scope of the OAuth client.
pub(crate) const fn scope(name: &'static str) -> Permission {
    Permission::new(AUTHORITY, name)
}

/// True if the scope `held` includes the scope `required`: `devices` includes `devices:core:read`,
/// writing includes reading, and `all` includes every scope
/// (<https://tailscale.com/kb/1623/trust-credentials>).
pub(crate) fn covers(held: &str, required: &str) -> bool {
    let (of, only_reads) = held.strip_suffix(":read").map_or((held, false), |of| (of, true));
    let is_within = required.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    (of == "all" || is_within) && (!only_reads || required.ends_with(":read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_includes_the_scopes_below_it() {
        for held in ["all", "all:read", "devices", "devices:core", "devices:core:read", "devices:read"] {
            assert!(covers(held, "devices:core:read"), "{held}");
        }
        for held in ["all", "devices", "devices:routes"] {
            assert!(covers(held, "devices:routes"), "{held}");
        }
        for held in ["all:read", "devices:routes:read", "devices:core", "device", "auth_keys", ""] {
            assert!(!covers(held, "devices:routes"), "{held}");
        }
    }
}
