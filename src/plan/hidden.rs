//! Secrets that the output of a step hides.

use serde_json::Value;
use stargate_sdk::HIDDEN_IN_OUTPUT;

/// Number of characters that are shown before and after a hidden secret.
const CONTEXT_CHARS: usize = 16;

/// Returns the first text or key of `value` that has a secret which is not stored, cut around it;
/// `None` if there is none.
pub(super) fn hidden_secret(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => around_mask(text),
        Value::Array(items) => items.iter().find_map(hidden_secret),
        Value::Object(map) => map.iter().find_map(|(key, value)| around_mask(key).or_else(|| hidden_secret(value))),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Message for an expression that reads a value with a hidden secret, which is cut around it.
pub(super) fn refusal(hidden: &str) -> String {
    format!(
        "a secret is part of its value, {hidden:?}, and outputs are stored without secrets; refer to the secret where it \
         is needed, as in env:NAME, or choose another secret if it is an ordinary word"
    )
}

fn around_mask(text: &str) -> Option<String> {
    let (before, after) = text.split_once(HIDDEN_IN_OUTPUT)?;
    let start = before.char_indices().rev().nth(CONTEXT_CHARS).map_or(0, |(at, character)| at + character.len_utf8());
    let end = after.char_indices().nth(CONTEXT_CHARS).map_or(after.len(), |(at, _)| at);
    let ellipsis = |is_cut: bool| if is_cut { "…" } else { "" };
    let (cut_before, cut_after) = (ellipsis(start > 0), ellipsis(end < after.len()));
    Some(format!("{cut_before}{}{HIDDEN_IN_OUTPUT}{}{cut_after}", &before[start..], &after[..end]))
}
