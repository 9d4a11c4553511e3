use std::fmt::Write as _;

use jiff::SignedDuration;
use sha2::{Digest, Sha256};
use stargate_client::ReferenceParameters;
use stargate_sdk::{ActionError, IdempotencyKey};

/// Expiry of a key if the reference names none: enough for a machine to boot.
const DEFAULT_EXPIRY: SignedDuration = SignedDuration::from_hours(1);
/// Longest expiry of an auth key (<https://tailscale.com/kb/1085/auth-keys>).
const MAX_EXPIRY: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Bytes of the digest in a description. As 32 hex digits after one word they are below Tailscale's
/// limit of 50 characters.
const DIGEST_BYTES: usize = 16;
const EXAMPLE: &str = "write tailscale-auth-key:tags=tag:router&expiry=1h";

/// The key that a `tailscale-auth-key:` reference requests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AuthKeyRequest {
    /// Tags of the devices that join with the key, each as `tag:name`; at least one.
    pub(crate) tags: Vec<String>,
    /// Time until the key expires.
    pub(crate) expiry: SignedDuration,
}

impl AuthKeyRequest {
    /// Parses the part of the reference after the colon: `tags=tag:a,tag:b&expiry=1h`.
    ///
    /// # Errors
    /// `Permanent`, if a parameter is unknown or malformed or there is no tag.
    pub(crate) fn parse(rest: &str) -> Result<Self, ActionError> {
        let parameters = ReferenceParameters::parse(rest, &["tags", "expiry"]).map_err(|e| e.with_hint(EXAMPLE))?;
        let tags = parameters.get("tags").map_or(Ok(Vec::new()), |tags| tags.split(',').map(parse_tag).collect())?;
        let request = Self { tags, expiry: parameters.get("expiry").map_or(Ok(DEFAULT_EXPIRY), parse_expiry)? };
        if request.tags.is_empty() {
            return Err(refusal("no tags: a key made by an OAuth client has at least one"));
        }
        Ok(request)
    }
}

/// The description of a step's key. It is the same for each attempt, so that a key whose response
/// was lost can be found.
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
    if expiry < SignedDuration::from_mins(1) || expiry > MAX_EXPIRY {
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
    fn malformed_references_are_refused() {
        for rest in ["", "expiry=1h", "tags=", "tags=a", "tags=tag:1", "tags=tag:a&expiry=5s", "tags=tag:a&expiry=x"] {
            AuthKeyRequest::parse(rest).expect_err(rest);
        }
        AuthKeyRequest::parse("tags=tag:a&reusable=true").expect_err("unknown parameter");
    }

    #[test]
    fn a_description_is_the_same_for_every_attempt_and_fits_the_api() {
        let key = IdempotencyKey::of("01J", "vm");
        let text = description(&key, "tags=tag:a");
        assert_eq!(text, description(&key, "tags=tag:a"));
        assert_ne!(text, description(&IdempotencyKey::of("01J", "vm2"), "tags=tag:a"));
        assert!(text.len() <= 50, "{text}");
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ' || b == b'-'), "{text}");
    }
}
