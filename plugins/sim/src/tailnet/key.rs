use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::device::JoinError;
use super::state::{Tailnet, token};

/// An auth key: what lets machines join.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// The secret; answered once.
    pub value: String,
    /// What its maker calls it.
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ceases to be valid.
    pub expires: Timestamp,
    /// Whether more than one machine may join with it.
    pub reusable: bool,
    /// Whether its machines are ephemeral.
    pub ephemeral: bool,
    /// Whether its machines need no approval.
    pub preauthorized: bool,
    /// The tags of its machines.
    pub tags: BTreeSet<String>,
    /// When a machine last joined with it.
    pub used: Option<Timestamp>,
    /// When it was deleted.
    pub revoked: Option<Timestamp>,
}

impl Key {
    /// Whether a machine may join with it now.
    pub fn valid(&self) -> bool {
        let spent = self.used.is_some() && !self.reusable;
        self.revoked.is_none() && !spent && Timestamp::now() < self.expires
    }
}

/// An OAuth client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OAuthClient {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// What its tokens may do.
    pub scopes: BTreeSet<String>,
    /// The tags it may give.
    pub tags: BTreeSet<String>,
}

/// An access token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// The OAuth client that it was given to; none for a user's.
    pub client: Option<String>,
    /// What it may do.
    pub scopes: BTreeSet<String>,
    /// The tags it may give.
    pub tags: BTreeSet<String>,
    /// When it ceases to be valid; `None` for never.
    pub expires: Option<Timestamp>,
}

/// What a key gives to a machine that joins with it.
pub(super) struct Grant {
    pub(super) tags: BTreeSet<String>,
    pub(super) ephemeral: bool,
}

/// Access tokens last an hour.
pub(super) const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(1);

impl Tailnet {
    /// Stores a key of these properties under an id and a secret of its own.
    pub fn mint_key(&mut self, properties: Key) -> &Key {
        self.minted += 1;
        let id = format!("k{}CNTRL", token("key", self.minted, 10));
        let value = format!("tskey-auth-{id}-{}", token("key secret", self.minted, 32));
        self.keys.entry(id.clone()).or_insert(Key { id, value, ..properties })
    }

    pub(super) fn mint_token(&mut self, client: &str, scopes: BTreeSet<String>, tags: BTreeSet<String>) -> String {
        self.minted += 1;
        let secret = token("token secret", self.minted, 32);
        let value = format!("tskey-api-k{}CNTRL-{secret}", token("token", self.minted, 10));
        let expires = Some(Timestamp::now() + TOKEN_LIFE);
        self.tokens.insert(value.clone(), Token { client: Some(client.to_owned()), scopes, tags, expires });
        value
    }

    /// Uses `auth_key` for one machine: an auth key, or the secret of an OAuth client with its parameters.
    pub(super) fn redeem(&mut self, auth_key: &str, tags: &[String]) -> Result<Grant, JoinError> {
        if auth_key.starts_with("tskey-client-") {
            return self.redeem_client(auth_key, tags);
        }
        if !auth_key.starts_with("tskey-") {
            return Err(JoinError::Malformed);
        }
        let key = self.keys.values_mut().find(|key| key.value == auth_key).ok_or(JoinError::Unknown)?;
        if !key.valid() {
            return Err(JoinError::Spent(key.id.clone()));
        }
        if !tags.iter().all(|tag| key.tags.contains(tag)) {
            return Err(JoinError::Tags(tags.join(" ")));
        }
        key.used = Some(Timestamp::now());
        Ok(Grant { tags: key.tags.clone(), ephemeral: key.ephemeral })
    }

    fn redeem_client(&self, auth_key: &str, tags: &[String]) -> Result<Grant, JoinError> {
        let (secret, parameters) = auth_key.split_once('?').unwrap_or((auth_key, ""));
        let client = self.clients.values().find(|client| client.secret == secret).ok_or(JoinError::Unknown)?;
        if tags.is_empty() || !self.policy.may_give(&client.tags, tags) {
            return Err(JoinError::Tags(tags.join(" ")));
        }
        // Machines that join with a client's secret are ephemeral unless it says otherwise.
        let ephemeral = !parameters.split('&').any(|parameter| parameter == "ephemeral=false");
        Ok(Grant { tags: tags.iter().cloned().collect(), ephemeral })
    }
}
