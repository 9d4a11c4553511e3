use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::device::JoinError;
use super::state::{Tailnet, token};

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

/// Properties that a key gives to a machine that joins with it.
pub(super) struct Grant {
    pub(super) tags: BTreeSet<String>,
    pub(super) ephemeral: bool,
}

/// Lifetime of access tokens, as the API documents it.
pub(super) const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

impl Tailnet {
    /// Stores a key with these properties under a new id and secret.
    pub fn mint_key(&mut self, properties: Key) -> &Key {
        self.minted += 1;
        let id = format!("k{}CNTRL", token("key", self.minted, 10));
        let value = format!("tskey-auth-{id}-{}", token("key secret", self.minted, 32));
        self.keys.entry(id.clone()).or_insert(Key { id, value, ..properties })
    }

    /// Issues an access token to an OAuth client and returns it.
    pub(super) fn mint_token(&mut self, client: &str, scopes: BTreeSet<String>, tags: BTreeSet<String>) -> String {
        self.minted += 1;
        let secret = token("token secret", self.minted, 32);
        let value = format!("tskey-api-k{}CNTRL-{secret}", token("token", self.minted, 10));
        let expires = Some(Timestamp::now() + TOKEN_LIFETIME);
        self.tokens.insert(value.clone(), Token { client: Some(client.to_owned()), scopes, tags, expires });
        value
    }

    /// Redeems `auth_key` for one machine: an auth key, or the secret of an OAuth client with its
    /// parameters.
    ///
    /// # Errors
    /// The key is malformed, unknown or spent, or does not give the tags; nothing has changed.
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

    /// Redeems the secret of an OAuth client, which can be used any number of times.
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
