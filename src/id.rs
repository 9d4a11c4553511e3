//! Identities of runs, plans, ownerships and entries: the only source of new ids.

use std::{
    fmt::{self, Write as _},
    str::FromStr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Id of a run: a ULID, so that ids sort by the time of creation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Arc<str>);

impl RunId {
    /// Returns a new id. Ids of one process sort by their time of creation, to the millisecond.
    pub fn generate() -> Self {
        Self(ulid::Ulid::new().to_string().into())
    }

    /// Returns the id as text of 26 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Error for a text that is not a run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a run id: expected the 26 characters that `stargate history` shows, or @latest")]
pub struct RunIdError(String);

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        let ulid = ulid::Ulid::from_string(text).map_err(|_| RunIdError(text.into()))?;
        Ok(Self(ulid.to_string().into()))
    }
}

impl TryFrom<String> for RunId {
    type Error = RunIdError;

    fn try_from(text: String) -> Result<Self, RunIdError> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0.as_ref().into()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identity of a plan: SHA-256 of its JSON, as 64 hexadecimal digits.
///
/// The journal stores a plan under its digest, once for all runs that have the same plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct PlanDigest(Arc<str>);

impl PlanDigest {
    /// Computes the digest of a plan's canonical JSON.
    pub fn of_json(canonical: &str) -> Self {
        let mut text = String::with_capacity(64);
        for byte in Sha256::digest(canonical) {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        Self(text.into())
    }

    /// Returns the digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PlanDigest {
    /// Accepts a digest that was stored before; the text is not checked.
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for PlanDigest {
    /// Accepts a digest that was stored before; the text is not checked.
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<PlanDigest> for String {
    fn from(digest: PlanDigest) -> Self {
        digest.0.as_ref().into()
    }
}

impl fmt::Display for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Number of an acquisition of a run. Each append names the epoch of its owner; one under an old
/// epoch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Epoch under which the process that creates a run owns it.
    pub const FIRST: Self = Self(1);

    /// Returns the epoch of the next acquisition.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Sequence number of an entry of a run's history: its position, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Position before the first entry.
    pub const START: Self = Self(0);

    /// Returns the position `entries` further.
    #[must_use]
    pub fn plus(self, entries: usize) -> Self {
        Self(self.0 + entries as u64)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Returns a random seed for the jitter of one retry.
pub(crate) fn jitter_seed() -> u64 {
    rand::random()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_numbers_are_stored_as_plain_text_and_numbers() {
        let json = serde_json::json!([RunId::generate().as_str().len(), PlanDigest::from("d1"), Epoch::FIRST, Seq(7)]);
        assert_eq!(json.to_string(), r#"[26,"d1",1,7]"#);
    }

    #[test]
    fn a_digest_is_the_sha_256_of_the_text_in_hexadecimal() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(PlanDigest::of_json("abc").as_str(), expected);
    }
}
