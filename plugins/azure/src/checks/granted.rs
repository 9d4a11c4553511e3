use serde::Deserialize;
use serde_json::Value;

/// Operations that an account has permission for at one scope: the union of its roles.
#[derive(Debug, Default)]
pub(super) struct GrantedOperations(Vec<RoleGrant>);

/// Operations of one role. `not_actions` excludes from this role only, not from others.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RoleGrant {
    actions: Vec<String>,
    not_actions: Vec<String>,
}

impl GrantedOperations {
    /// Reads the items of `Microsoft.Authorization/permissions`. An unreadable item grants no
    /// operation.
    pub(super) fn read(items: Vec<Value>) -> Self {
        Self(items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect())
    }

    /// True if a role grants `operation`.
    pub(super) fn allows(&self, operation: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches_pattern(pattern, operation));
        self.0.iter().any(|entry| any(&entry.actions) && !any(&entry.not_actions))
    }
}

/// True if a pattern matches an operation. Each `*` matches any text; Azure compares without case.
fn matches_pattern(pattern: &str, operation: &str) -> bool {
    let (pattern, operation) = (pattern.to_ascii_lowercase(), operation.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| operation.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WRITE: &str = "Microsoft.Network/routeTables/write";

    fn allows(items: Value) -> bool {
        let Value::Array(items) = items else { panic!("a list") };
        GrantedOperations::read(items).allows(WRITE)
    }

    #[test]
    fn a_star_matches_any_text() {
        for pattern in ["*", "*/write", "Microsoft.Network/*", "microsoft.network/routetables/WRITE", "M*/route*/w*"] {
            assert!(matches_pattern(pattern, WRITE), "{pattern}");
        }
        for pattern in ["", "*/read", "Microsoft.Network", "Microsoft.Network/routeTables/*/write", "*/write/*"] {
            assert!(!matches_pattern(pattern, WRITE), "{pattern}");
        }
    }

    #[test]
    fn not_actions_exclude_from_their_own_role_only() {
        let network = json!({"actions": ["Microsoft.Network/*"], "notActions": ["*/routeTables/write"]});
        assert!(!allows(json!([network])));
        assert!(allows(json!([network, {"actions": [WRITE], "notActions": []}])));
        assert!(allows(json!([{"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]}])));
        assert!(!allows(json!([])));
    }
}
