//! The only source of identity.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Id of a run: a ULID, so that ids sort by the time of creation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Arc<str>);

impl RunId {
    /// A new id; later ones of this process sort after earlier ones to the millisecond.
    pub fn generate() -> Self {
        Self(ulid::Ulid::new().to_string().into())
    }

    /// The id as text, 26 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no run id.
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

/// A seed for the jitter of one retry.
pub(crate) fn jitter_seed() -> u64 {
    rand::random()
}
