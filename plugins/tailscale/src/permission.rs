use stargate_sdk::Permission;

/// Who grants what [`scope`] names.
pub(crate) const AUTHORITY: &str = "tailscale";

/// A scope of an OAuth client.
pub(crate) const fn scope(name: &'static str) -> Permission {
    Permission::new(AUTHORITY, name)
}

/// Whether a scope that is held is as good as the one that is needed: `devices` holds `devices:core:read`, writing holds
/// reading, and `all` holds everything. See <https://tailscale.com/kb/1623/trust-credentials>.
pub(crate) fn covers(held: &str, needed: &str) -> bool {
    let (of, only_reads) = held.strip_suffix(":read").map_or((held, false), |of| (of, true));
    let is_within = needed.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    (of == "all" || is_within) && (!only_reads || needed.ends_with(":read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_holds_what_is_below_it() {
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
