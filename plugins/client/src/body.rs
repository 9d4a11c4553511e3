use std::error::Error;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use stargate_sdk::{ActionError, FailureKind};

use crate::{CallEffect, transport::error_chain};

const MIB: usize = 1024 * 1024;

/// Largest response body that is read, in bytes after decompression. A page of a list or an object
/// is far below it.
pub const MAX_BODY_BYTES: usize = 4 * MIB;
/// Largest response body of Azure Resource Manager that is read, in bytes after decompression: a
/// virtual network or a route table contains all its parts.
pub const MAX_ARM_BODY_BYTES: usize = 16 * MIB;

/// Error code of a response that is larger than the limit.
pub const RESPONSE_TOO_LARGE: &str = "response_too_large";
/// Maximum number of values in a body of JSON: in memory each has many times its length.
const MAX_JSON_VALUES: usize = 500_000;
/// Memory of a member of an object without the bytes of its key and its value: the key's `String`,
/// a hash and an index.
const MEMBER_BYTES: usize = size_of::<String>() + 2 * size_of::<usize>();

/// A body that could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The body is larger than the limit.
    #[error("the response is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The connection failed or the content cannot be decoded.
    #[error("the response was lost: {0}")]
    Lost(String),
}

impl BodyError {
    /// Error of the call `call` whose response this is.
    ///
    /// A response that is too large for a read will be too large again: `Permanent`. All others are
    /// judged by `effect`.
    pub fn into_error(self, effect: CallEffect, call: &str) -> ActionError {
        let kind = match (&self, effect) {
            (Self::TooLarge { .. }, CallEffect::ReadOnly) => FailureKind::Permanent,
            _ => effect.unanswered(),
        };
        let error = ActionError::new(kind, format!("{call}: {self}"));
        if matches!(self, Self::TooLarge { .. }) { error.with_code(RESPONSE_TOO_LARGE) } else { error }
    }
}

/// Reads a body of at most `limit` bytes, counted after decompression.
///
/// `body` is that of any HTTP client: for a `reqwest::Response`, `reqwest::Body::from(response)`.
///
/// # Errors
/// [`BodyError`]; what was read until then is lost.
pub async fn read_body<B>(body: B, limit: usize) -> Result<Vec<u8>, BodyError>
where
    B: BodyExt,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge { limit }),
        Err(error) => Err(BodyError::Lost(error_chain(error.as_ref()))),
    }
}

/// True if a body of JSON has few enough values to be parsed. Separators in strings count, too:
/// texts have fewer of them than lists of small values.
pub fn has_few_values(body: &[u8]) -> bool {
    body.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() <= MAX_JSON_VALUES
}

/// Frees the unused capacity of the texts and arrays in a value. Returns the approximate memory of
/// the value in bytes: that of its texts, and of each value and key around them.
///
/// The capacity of a parsed array doubles as it grows, so that up to half of it is unused.
pub fn compact(value: &mut Value) -> usize {
    let own = size_of::<Value>();
    match value {
        Value::String(text) => {
            text.shrink_to_fit();
            own + text.len()
        }
        Value::Array(items) => {
            items.shrink_to_fit();
            own + items.iter_mut().map(compact).sum::<usize>()
        }
        Value::Object(members) => {
            own + members.iter_mut().map(|(key, value)| MEMBER_BYTES + key.len() + compact(value)).sum::<usize>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => own,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use serde_json::json;

    use super::*;

    async fn read(bytes: usize, limit: usize) -> Result<usize, String> {
        let body = Full::new(vec![0_u8; bytes].into());
        read_body::<Full<axum::body::Bytes>>(body, limit).await.map(|body| body.len()).map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        assert_eq!(read(0, 0).await, Ok(0));
        assert_eq!(read(1024, 1024).await, Ok(1024));
        assert_eq!(read(1025, 1024).await, Err("the response is larger than the limit of 1024 bytes".into()));
    }

    #[test]
    fn a_body_of_many_small_values_is_not_parsed() {
        assert!(has_few_values(&b"[1234567,".repeat(MAX_JSON_VALUES / 2)));
        assert!(!has_few_values(&b"{},".repeat(MAX_JSON_VALUES)));
    }

    #[test]
    fn texts_and_small_values_count_as_memory() {
        assert!(compact(&mut json!("x".repeat(1000))) >= 1000);
        assert!(compact(&mut json!(vec![0; 1000])) >= 1000 * size_of::<Value>());
        assert!(compact(&mut json!({"k".repeat(1000): {}})) >= 1000 + 2 * size_of::<Value>());
    }

    #[test]
    fn a_parsed_array_has_no_spare_memory_afterwards() {
        let mut value: Value = serde_json::from_str(&json!({"a": [vec![0; 1025]]}).to_string()).expect("JSON");
        compact(&mut value);
        let numbers = value["a"][0].as_array().expect("an array");
        assert_eq!((numbers.len(), numbers.capacity()), (1025, 1025));
    }

    #[test]
    fn a_response_that_is_too_large_decides_nothing_about_a_write() {
        let kind = |effect| BodyError::TooLarge { limit: 1 }.into_error(effect, "call").kind;
        assert_eq!(kind(CallEffect::ReadOnly), FailureKind::Permanent);
        assert_eq!(kind(CallEffect::MayHaveChanged), FailureKind::Unknown);
    }
}
