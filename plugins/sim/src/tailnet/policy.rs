use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Policy file of the tailnet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Text as it was set: JSON with comments and trailing commas.
    pub text: String,
    /// True if the policy was ever replaced.
    pub touched: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { text: DEFAULT.to_owned(), touched: false }
    }
}

/// Policy of a new tailnet: every device reaches every other one.
const DEFAULT: &str = r#"// The policy of a new tailnet: everybody reaches everything.
{
	"tagOwners": {
		"tag:stargate":        ["autogroup:admin"],
		"tag:stargate-router": ["autogroup:admin", "tag:stargate"],
	},
	"grants": [
		{"src": ["*"], "dst": ["*"], "ip": ["*"]},
	],
}
"#;

impl Policy {
    /// Returns the policy as JSON.
    ///
    /// # Errors
    /// The text is not JSON apart from comments and trailing commas.
    pub fn json(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_str(&standard(&self.text))
    }

    /// Returns its `ETag`, quotes included.
    pub fn etag(&self) -> String {
        use std::fmt::Write as _;
        let hash = Sha256::digest(&self.text);
        let digits = hash.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string does not fail");
            text
        });
        format!("\"{digits}\"")
    }

    /// Returns `true` if the holder of the tags `held` may assign all of `tags`: each is held, or
    /// owned by one that is held.
    pub fn may_give(&self, held: &BTreeSet<String>, tags: &[String]) -> bool {
        let policy = self.json().unwrap_or_default();
        let owners = |tag: &str| strings(policy.pointer("/tagOwners").and_then(|owners| owners.get(tag)));
        tags.iter().all(|tag| held.contains(tag) || owners(tag).iter().any(|owner| held.contains(owner)))
    }

    /// Returns `true` if `tag` has an owner: only such tags exist.
    pub fn defines(&self, tag: &str) -> bool {
        let policy = self.json().unwrap_or_default();
        policy.get("tagOwners").is_some_and(|owners| owners.get(tag).is_some())
    }

    /// Returns `true` if the policy approves `prefix` automatically for a device with `tags`.
    pub fn approves(&self, prefix: &IpNet, tags: &BTreeSet<String>) -> bool {
        let policy = self.json().unwrap_or_default();
        let Some(routes) = policy.pointer("/autoApprovers/routes").and_then(Value::as_object) else { return false };
        routes.iter().any(|(covering, approvers)| {
            let covers = covering.parse::<IpNet>().is_ok_and(|covering| covering.contains(prefix));
            covers && strings(Some(approvers)).iter().any(|approver| tags.contains(approver))
        })
    }
}

/// Returns the texts of an array.
fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Removes comments and trailing commas.
fn standard(text: &str) -> String {
    without_trailing_commas(&without_comments(text))
}

/// Removes comments outside of string literals.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else {
            let length = if next == '"' { string_length(rest) } else { next.len_utf8() };
            kept.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    kept
}

/// Removes commas before a closing bracket.
fn without_trailing_commas(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = if next == '"' { string_length(rest) } else { next.len_utf8() };
        let trailing = next == ',' && rest[1..].trim_start().starts_with(['}', ']']);
        if !trailing {
            kept.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    kept
}

/// Returns the length of the string literal that `text` begins with, in bytes.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == '"' && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}
