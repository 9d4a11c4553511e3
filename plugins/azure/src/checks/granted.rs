use serde::Deserialize;
use serde_json::Value;

/// What an account may do at one scope: the union of what its roles grant.
#[derive(Debug, Default)]
pub(super) struct Granted(Vec<Entry>);

/// What one role grants. What a role takes back, it takes back from itself only.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    actions: Vec<String>,
    not_actions: Vec<String>,
}

impl Granted {
    /// Reads the items of `Microsoft.Authorization/permissions`. An item that cannot be read grants nothing.
    pub(super) fn of(items: Vec<Value>) -> Self {
        Self(items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect())
    }

    /// Whether `operation` is granted.
    pub(super) fn allows(&self, operation: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern, operation));
        self.0.iter().any(|entry| any(&entry.actions) && !any(&entry.not_actions))
    }
}

/// Whether a pattern, in which each `*` stands for any text, covers an operation. Azure compares without case.
fn covers(pattern: &str, operation: &str) -> bool {
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
        Granted::of(items).allows(WRITE)
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for pattern in ["*", "*/write", "Microsoft.Network/*", "microsoft.network/routetables/WRITE", "M*/route*/w*"] {
            assert!(covers(pattern, WRITE), "{pattern}");
        }
        for pattern in ["", "*/read", "Microsoft.Network", "Microsoft.Network/routeTables/*/write", "*/write/*"] {
            assert!(!covers(pattern, WRITE), "{pattern}");
        }
    }

    #[test]
    fn a_role_takes_back_from_itself_only() {
        let network = json!({"actions": ["Microsoft.Network/*"], "notActions": ["*/routeTables/write"]});
        assert!(!allows(json!([network])));
        assert!(allows(json!([network, {"actions": [WRITE], "notActions": []}])));
        assert!(allows(json!([{"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]}])));
        assert!(!allows(json!([])));
    }
}
