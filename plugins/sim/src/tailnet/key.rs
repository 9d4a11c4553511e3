use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Auth key: permits machines to join.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Id of the key.
    pub id: String,
    /// Secret of the key, answered once.
    pub value: String,
    /// Description that its creator gave.
    pub description: String,
    /// Time of its creation.
    pub created: Timestamp,
    /// Time at which it expires.
    pub expires: Timestamp,
    /// True if several machines may join with it.
    pub reusable: bool,
    /// True if its machines are ephemeral.
    pub ephemeral: bool,
    /// True if its machines need no approval.
    pub preauthorized: bool,
    /// Tags that its machines get.
    pub tags: BTreeSet<String>,
    /// Time at which a machine last joined with it.
    pub used: Option<Timestamp>,
    /// Time of its deletion; it stays in the list as invalid.
    pub revoked: Option<Timestamp>,
}

impl Key {
    /// Returns `true` if a machine may join with it now.
    pub fn valid(&self) -> bool {
        let spent = self.used.is_some() && !self.reusable;
        self.revoked.is_none() && !spent && Timestamp::now() < self.expires
    }
}

/// OAuth client of the tailnet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OAuthClient {
    /// Id of the client.
    pub id: String,
    /// Secret of the client.
    pub secret: String,
    /// Scopes that its tokens can have.
    pub scopes: BTreeSet<String>,
    /// Tags that it may assign.
    pub tags: BTreeSet<String>,
}

/// Access token of the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Id of the OAuth client that it was issued to; `None` for a user's token.
    pub client: Option<String>,
    /// Scopes of the token.
    pub scopes: BTreeSet<String>,
    /// Tags that it may assign.
    pub tags: BTreeSet<String>,
    /// Time at which it expires; `None` if it does not.
    pub expires: Option<Timestamp>,
}
