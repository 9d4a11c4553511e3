use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stargate_client::ReferenceParameters;
use stargate_kubernetes_client::{
    AUTHORITY, KubeClient, ObjectName, SECRETS,
    json::{text, uid},
};
use stargate_sdk::{ActionContext, ActionError, Permission, Secret, SecretSource};

use crate::digest::digest_text;

/// Namespace in which the API server looks for tokens.
const NAMESPACE: &str = "kube-system";
/// Group of the token's account, to which the workflows bind the role of joining nodes.
const DEFAULT_GROUP: &str = "system:bootstrappers:stargate";
/// Enough for the set-up of a machine; a token that is found later has expired.
const DEFAULT_LIFETIME: &str = "1h";
/// Shortest lifetime: a machine needs some minutes until its kubelet uses the token.
const MIN_LIFETIME: SignedDuration = SignedDuration::from_mins(5);
/// Longest lifetime: a machine is set up long before, and a token that is read from its disk later
/// must not work.
const MAX_LIFETIME: SignedDuration = SignedDuration::from_hours(24);
/// Annotation that marks a managed token, with the digest of the step that created it.
const CREATED_FOR: &str = "stargate.io/minted-for";
/// Characters of ids and secrets of tokens (Kubernetes documentation, "Authenticating with
/// Bootstrap Tokens").
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;

/// Secret source `bootstrap-token:node=worker-1&expiry=1h`: creates a token with which a kubelet
/// can request its first certificate.
///
/// The id follows from the step, so that a step has at most one token: that of an earlier attempt
/// is found under its name and deleted first.
pub(crate) struct BootstrapTokenSource(pub(crate) Arc<KubeClient>);

/// Parameters of a reference.
struct BootstrapTokenRequest {
    group: String,
    lifetime: SignedDuration,
    description: String,
}

impl BootstrapTokenRequest {
    fn parse(rest: &str) -> Result<Self, ActionError> {
        let parameters = ReferenceParameters::parse(rest, &["node", "group", "expiry"])?;
        let node = parameters.required("node")?;
        let group = parameters.get("group").unwrap_or(DEFAULT_GROUP).to_owned();
        if !group.starts_with("system:bootstrappers:") {
            return Err(ActionError::permanent(format!("group {group:?} does not start with system:bootstrappers:")));
        }
        let text = parameters.get("expiry").unwrap_or(DEFAULT_LIFETIME);
        let lifetime = text.parse().ok().filter(|lifetime| (MIN_LIFETIME..=MAX_LIFETIME).contains(lifetime));
        let lifetime = lifetime
            .ok_or_else(|| ActionError::permanent(format!("expiry {text:?} is not a duration between 5m and 24h")))?;
        Ok(Self { group, lifetime, description: format!("stargate: kubelet of {node}") })
    }
}

impl BootstrapTokenSource {
    /// The secret is redacted before it is sent. It is returned once and can be read again only in
    /// the cluster.
    async fn create(&self, cx: &ActionContext, rest: &str) -> Result<Secret, ActionError> {
        let request = BootstrapTokenRequest::parse(rest)?;
        let step =
            Sha256::new().chain_update(cx.idempotency_key().as_str()).chain_update([0]).chain_update(rest).finalize();
        let id = characters(step.iter().copied(), ID_LENGTH);
        let created_for = digest_text(&step);
        self.delete_earlier(cx, &id, &created_for).await?;
        let secret = characters(std::iter::repeat_with(|| rand::rng().random()), SECRET_LENGTH);
        cx.redactor().add(&secret);
        let body = token(&request, &id, &secret, &created_for);
        self.0.create(cx, &SECRETS, Some(NAMESPACE), body).await.map_err(|e| e.error.context("bootstrap token"))?;
        cx.changed(format!("+ bootstrap token {id}"));
        Ok(Secret::new(format!("{id}.{secret}")))
    }

    /// # Errors
    /// `Permanent` if a token of that id was not created by this step: it may be in use.
    async fn delete_earlier(&self, cx: &ActionContext, id: &str, created_for: &str) -> Result<(), ActionError> {
        let name = format!("bootstrap-token-{id}");
        let at = ObjectName::namespaced(NAMESPACE, &name)?;
        let Some(earlier) = self.0.get(cx, &SECRETS, at).await? else { return Ok(()) };
        if text(&earlier, "/metadata/annotations/stargate.io~1minted-for") != Some(created_for) {
            return Err(ActionError::permanent(format!(
                "secret {NAMESPACE}/{name} exists and was not created by this step"
            ))
            .with_hint("delete it if it is no longer needed"));
        }
        if self.0.delete(cx, &SECRETS, at, uid(&earlier), Value::Null).await? {
            cx.log(format!("deleted the bootstrap token {id} of an earlier attempt"));
        }
        Ok(())
    }
}

impl SecretSource for BootstrapTokenSource {
    fn scheme(&self) -> &'static str {
        "bootstrap-token"
    }

    fn permissions(&self, _: &str) -> Vec<Permission> {
        let verbs = ["get", "create", "delete"];
        verbs.map(|verb| Permission::of(AUTHORITY, format!("{verb} secrets -n {NAMESPACE}"))).into()
    }

    fn resolve<'a>(&'a self, cx: &'a ActionContext, rest: &'a str) -> BoxFuture<'a, Result<Secret, ActionError>> {
        Box::pin(self.create(cx, rest))
    }
}

/// Takes characters from bytes, each with the same probability: bytes from the last multiple of 36
/// on are ignored.
fn characters(bytes: impl Iterator<Item = u8>, length: usize) -> String {
    let usable = bytes.filter(|byte| *byte < 252);
    usable.take(length).map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
}

/// The secret of the type that the API server authenticates. A controller deletes it after its
/// expiration, by the cluster's clock.
fn token(request: &BootstrapTokenRequest, id: &str, secret: &str, created_for: &str) -> Value {
    let expires = Timestamp::now() + request.lifetime;
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": format!("bootstrap-token-{id}"),
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "stargate"},
            "annotations": {CREATED_FOR: created_for},
        },
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": id,
            "token-secret": secret,
            "description": request.description,
            "expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "usage-bootstrap-authentication": "true",
            "auth-extra-groups": request.group,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_the_node_and_known_parameters() {
        let request = BootstrapTokenRequest::parse("node=worker-1").expect("request");
        assert_eq!((request.group.as_str(), request.lifetime), (DEFAULT_GROUP, SignedDuration::from_hours(1)));
        for rest in
            ["", "expiry=1h", "node=a&expiry=1s", "node=a&expiry=48h", "node=a&group=system:masters", "node=a&x=1"]
        {
            assert!(BootstrapTokenRequest::parse(rest).is_err(), "{rest}");
        }
    }

    #[test]
    fn characters_are_those_of_kubernetes() {
        let text = characters((0..=255).chain(0..=255), 500);
        assert!(text.bytes().all(|b| ALPHABET.contains(&b)));
        assert_eq!(characters([255, 254, 0, 253, 35].into_iter(), 2), "a9");
    }
}
