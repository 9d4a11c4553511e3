use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::json::{at, str_at};
use super::state::{Kube, User};
use super::status::Refusal;
use super::{authority, token};

/// Authenticates a request by client certificate, or else by bearer token.
///
/// A request without credentials is that of the anonymous user.
///
/// # Errors
///
/// 401 `Unauthorized` for an unknown or expired token.
pub(crate) fn authenticate(
    kube: &Kube,
    certificate: Option<&[u8]>,
    bearer: Option<&str>,
    now: Timestamp,
) -> Result<User, Refusal> {
    if let Some(user) = certificate.and_then(authority::subject) {
        return Ok(user);
    }
    let Some(bearer) = bearer else { return Ok(User::anonymous()) };
    by_token(kube, bearer, now).ok_or_else(Refusal::unauthorized)
}

/// Returns the user of a valid bearer token: the administrator, a bootstrap token or a service
/// account.
pub(crate) fn by_token(kube: &Kube, bearer: &str, now: Timestamp) -> Option<User> {
    // Comparing digests makes the duration independent of the token.
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    if !kube.admin_token.is_empty() && digest(bearer) == digest(&kube.admin_token) {
        return Some(User::admin());
    }
    bootstrap(kube, bearer, now).or_else(|| token::user(kube, bearer, now))
}

/// Authenticates a bootstrap token `ID.SECRET`, which is stored in a secret of `kube-system`.
fn bootstrap(kube: &Kube, bearer: &str, now: Timestamp) -> Option<User> {
    let (id, secret) = bearer.split_once('.').filter(|(id, secret)| id.len() == 6 && secret.len() == 16)?;
    let held = kube.named("secrets", &format!("kube-system/bootstrap-token-{id}"))?;
    let field = |key: &str| token::decoded(str_at(held, &["data", key])).unwrap_or_default();
    let is_expired =
        !field("expiration").is_empty() && field("expiration").parse::<Timestamp>().map_or(true, |end| end <= now);
    let is_good = str_at(held, &["type"]) == "bootstrap.kubernetes.io/token"
        && field("token-id") == id
        && field("token-secret") == secret
        && field("usage-bootstrap-authentication") == "true"
        && at(held, &["metadata", "deletionTimestamp"]).is_none()
        && !is_expired;
    if !is_good {
        return None;
    }
    let extra = field("auth-extra-groups");
    let extra = extra.split(',').filter(|group| !group.is_empty());
    let groups: Vec<&str> = std::iter::once("system:bootstrappers").chain(extra).collect();
    // One group outside `system:bootstrappers` makes the whole token invalid.
    groups
        .iter()
        .all(|group| group.starts_with("system:bootstrappers"))
        .then(|| User::new(&format!("system:bootstrap:{id}"), &groups))
}

/// Returns a user as reviews show it.
pub(crate) fn shown(user: &User) -> Value {
    let mut shown = json!({ "username": user.name, "groups": user.groups });
    if !user.uid.is_empty() {
        shown["uid"] = json!(user.uid);
    }
    shown
}
