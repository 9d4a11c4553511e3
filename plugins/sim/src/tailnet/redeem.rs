use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::identifier::token;
use super::key::{Key, Token};
use super::state::Tailnet;

/// Reason why a machine may not join: the text that the coordination server answers and `tailscale
/// up` shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The text does not have the form of a key.
    #[error("invalid key: unable to validate API key")]
    Malformed,
    /// No key has this value.
    #[error("invalid key: API key does not exist")]
    Unknown,
    /// The key was used, revoked, or has expired.
    #[error("invalid key: API key {0} not valid")]
    Spent(String),
    /// The key does not give these tags.
    #[error("requested tags [{0}] are invalid or not permitted")]
    Tags(String),
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
