//! Secrets that the output of a step hides.

use serde_json::Value;
use stargate_sdk::HIDDEN_IN_OUTPUT;

/// Message for an expression that reads such an output.
pub(super) const HIDDEN: &str = "a secret is part of its value, and outputs are stored without secrets; refer to the \
    secret where it is needed, as in env:NAME, or choose another secret if it is an ordinary word";

/// True if a text or a key of `value` has a secret that is not stored.
pub(super) fn hides_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(HIDDEN_IN_OUTPUT),
        Value::Array(items) => items.iter().any(hides_secret),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains(HIDDEN_IN_OUTPUT) || hides_secret(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
