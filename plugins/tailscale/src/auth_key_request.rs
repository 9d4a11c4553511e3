use std::fmt::Write as _;

use jiff::SignedDuration;
use sha2::{Digest, Sha256};
use stargate_sdk::{ActionError, IdempotencyKey};
use url::form_urlencoded;

/// Long enough for a machine to boot, short enough to be worthless when found later.
const DEFAULT_EXPIRY: SignedDuration = SignedDuration::from_hours(1);
/// Tailscale's own maximum.
const LONGEST_EXPIRY: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Bytes of the digest in a description: 32 hex digits; with the word before them well below Tailscale's 50.
const DIGEST_BYTES: usize = 16;
const EXAMPLE: &str = "write tailscale-auth-key:tags=tag:router&expiry=1h";

/// What a `tailscale-auth-key:` reference asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AuthKeyRequest {
    pub(crate) tags: Vec<String>,
    pub(crate) expiry: SignedDuration,
}

impl AuthKeyRequest {
    /// Reads what stands behind the colon: `tags=tag:a,tag:b&expiry=1h`.
    pub(crate) fn parse(rest: &str) -> Result<Self, ActionError> {
        let mut request = Self { tags: Vec::new(), expiry: DEFAULT_EXPIRY };
        for (name, value) in form_urlencoded::parse(rest.as_bytes()) {
            match &*name {
                "tags" => request.tags = value.split(',').map(parse_tag).collect::<Result<_, _>>()?,
                "expiry" => request.expiry = parse_expiry(&value)?,
                other => return Err(refusal(format!("unknown parameter {other:?}"))),
            }
        }
        if request.tags.is_empty() {
            return Err(refusal("no tags: a key made by an OAuth client has at least one"));
        }
        Ok(request)
    }
}

/// The description under which a step's key is found again, should the reply to its creation get lost.
pub(crate) fn description(step: &IdempotencyKey, rest: &str) -> String {
    let digest = Sha256::new().chain_update(step.as_str()).chain_update([0]).chain_update(rest).finalize();
    let mut text = String::from("stargate ");
    for byte in digest.iter().take(DIGEST_BYTES) {
        write!(text, "{byte:02x}").expect("a string takes every write");
    }
    text
}

fn parse_tag(text: &str) -> Result<String, ActionError> {
    let name = text.strip_prefix("tag:").unwrap_or_default();
    let well_formed = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if well_formed { Ok(text.to_owned()) } else { Err(refusal(format!("{text:?} is not a tag"))) }
}

fn parse_expiry(text: &str) -> Result<SignedDuration, ActionError> {
    let expiry: SignedDuration = text.parse().map_err(|_| refusal(format!("{text:?} is not a duration")))?;
    if expiry < SignedDuration::from_mins(1) || expiry > LONGEST_EXPIRY {
        return Err(refusal(format!("expiry {text} is not between one minute and 90 days")));
    }
    Ok(expiry)
}

fn refusal(message: impl Into<String>) -> ActionError {
    ActionError::permanent(message).with_hint(EXAMPLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_tags_and_expiry() {
        let request = AuthKeyRequest::parse("tags=tag:a,tag:b-2&expiry=30m").expect("request");
        assert_eq!(request.tags, ["tag:a", "tag:b-2"]);
        assert_eq!(request.expiry, SignedDuration::from_mins(30));
        assert_eq!(AuthKeyRequest::parse("tags=tag:a").expect("request").expiry, DEFAULT_EXPIRY);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for rest in ["", "expiry=1h", "tags=", "tags=a", "tags=tag:1", "tags=tag:a&expiry=5s", "tags=tag:a&expiry=x"] {
            AuthKeyRequest::parse(rest).expect_err(rest);
        }
        AuthKeyRequest::parse("tags=tag:a&reusable=true").expect_err("unknown parameter");
    }

    #[test]
    fn a_description_is_the_same_for_every_attempt_and_keeps_the_rules() {
        let key = IdempotencyKey::of("01J", "vm");
        let text = description(&key, "tags=tag:a");
        assert_eq!(text, description(&key, "tags=tag:a"));
        assert_ne!(text, description(&IdempotencyKey::of("01J", "vm2"), "tags=tag:a"));
        assert!(text.len() <= 50, "{text}");
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ' || b == b'-'), "{text}");
    }
}
