use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stargate_sdk::{ActionContext, ActionError, Permission, Secret, SecretSource};

use crate::{
    api::Api,
    field::{text, uid},
    kind::{At, SECRETS},
    parameters::{Parameters, digest_text},
    permission::AUTHORITY,
};

const NAMESPACE: &str = "kube-system";
const DEFAULT_GROUP: &str = "system:bootstrappers:stargate";
/// Long enough for a machine to be set up, short enough to be worthless when found later.
const DEFAULT_EXPIRY: &str = "1h";
const SHORTEST: SignedDuration = SignedDuration::from_mins(5);
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// Marks a token as ours, with the digest of the step that it was minted for.
const MINTED_FOR: &str = "stargate.io/minted-for";
/// What ids and secrets of tokens are made of; Kubernetes' own rule.
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;

/// `bootstrap-token:node=worker-1&expiry=1h`: a token with which one kubelet may ask for its certificate.
///
/// The id follows from the step, so a step has one token at most: what an earlier attempt left is found under its name
/// and deleted first.
pub(crate) struct BootstrapTokenSource(pub(crate) Arc<Api>);

/// What a reference asks for.
struct Request {
    group: String,
    expiry: SignedDuration,
    description: String,
}

impl Request {
    fn parse(rest: &str) -> Result<Self, ActionError> {
        let parameters = Parameters::parse(rest, &["node", "group", "expiry"])?;
        let node = parameters.required("node")?;
        let group = parameters.or("group", DEFAULT_GROUP);
        if !group.starts_with("system:bootstrappers:") {
            return Err(ActionError::permanent(format!("group {group:?} does not begin with system:bootstrappers:")));
        }
        let text = parameters.or("expiry", DEFAULT_EXPIRY);
        let expiry = text.parse().ok().filter(|expiry| (SHORTEST..=LONGEST).contains(expiry));
        let expiry = expiry
            .ok_or_else(|| ActionError::permanent(format!("expiry {text:?} is not between five minutes and a day")))?;
        Ok(Self { group, expiry, description: format!("stargate: the kubelet of {node}") })
    }
}

impl BootstrapTokenSource {
    async fn mint(&self, cx: &ActionContext, rest: &str) -> Result<Secret, ActionError> {
        let request = Request::parse(rest)?;
        let step =
            Sha256::new().chain_update(cx.idempotency_key().as_str()).chain_update([0]).chain_update(rest).finalize();
        let id = letters(step.iter().copied(), ID_LENGTH);
        let minted_for = digest_text(&step);
        self.delete_left_over(cx, &id, &minted_for).await?;
        let secret = letters(std::iter::repeat_with(|| rand::rng().random()), SECRET_LENGTH);
        cx.redactor().add(&secret);
        let body = token(&request, &id, &secret, &minted_for);
        self.0.create(cx, &SECRETS, Some(NAMESPACE), body).await.map_err(|e| e.error.context("bootstrap token"))?;
        cx.changed(format!("+ bootstrap token {id}"));
        Ok(Secret::new(format!("{id}.{secret}")))
    }

    async fn delete_left_over(&self, cx: &ActionContext, id: &str, minted_for: &str) -> Result<(), ActionError> {
        let name = format!("bootstrap-token-{id}");
        let at = At::namespaced(NAMESPACE, &name);
        let Some(left) = self.0.get(cx, &SECRETS, at).await? else { return Ok(()) };
        if text(&left, "/metadata/annotations/stargate.io~1minted-for") != Some(minted_for) {
            return Err(ActionError::permanent(format!("secret {NAMESPACE}/{name} is there and is not this step's"))
                .with_hint("delete it if it is no longer needed"));
        }
        if self.0.delete(cx, &SECRETS, at, uid(&left), Value::Null).await? {
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
        Box::pin(self.mint(cx, rest))
    }
}

/// Letters from bytes, each as likely as any other: bytes above the last multiple of 36 are passed over.
fn letters(bytes: impl Iterator<Item = u8>, length: usize) -> String {
    let even = bytes.filter(|byte| *byte < 252);
    even.take(length).map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
}

fn token(request: &Request, id: &str, secret: &str, minted_for: &str) -> Value {
    let expires = Timestamp::now() + request.expiry;
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": format!("bootstrap-token-{id}"),
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "stargate"},
            "annotations": {MINTED_FOR: minted_for},
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
    fn a_reference_names_the_node_and_nothing_unknown() {
        let request = Request::parse("node=worker-1").expect("request");
        assert_eq!((request.group.as_str(), request.expiry), (DEFAULT_GROUP, SignedDuration::from_hours(1)));
        for rest in
            ["", "expiry=1h", "node=a&expiry=1s", "node=a&expiry=48h", "node=a&group=system:masters", "node=a&x=1"]
        {
            assert!(Request::parse(rest).is_err(), "{rest}");
        }
    }

    #[test]
    fn letters_keep_kubernetes_rule() {
        let text = letters((0..=255).chain(0..=255), 500);
        assert!(text.bytes().all(|b| ALPHABET.contains(&b)));
        assert_eq!(letters([255, 254, 0, 253, 35].into_iter(), 2), "a9");
    }
}
