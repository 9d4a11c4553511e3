use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::call::{Call, Reply, Target};
use super::json::{at, default, list_at, moment, set, str_at, strings_at, uid_of};
use super::resource::Resource;
use super::state::{Kube, User};
use super::status::{Cause, Refusal};

/// Who issues the tokens of service accounts, and their audience unless another is asked for.
const ISSUER: &str = "https://kubernetes.default.svc";

/// Shortest life of a token, in seconds.
const SHORTEST: i64 = 600;

/// Longest life, in seconds: AKS shortens what asks for more to a day.
const LONGEST: i64 = 86_400;

/// `POST` to a service account's `token`.
pub(crate) fn request(kube: &Kube, call: &Call, resource: &Resource, target: &Target) -> Result<Reply, Refusal> {
    let (namespace, name) =
        (target.namespace.as_deref().unwrap_or_default(), target.name.as_deref().unwrap_or_default());
    let mut request = call.json()?;
    let account =
        kube.object(resource, &resource.place(namespace, name)).ok_or_else(|| Refusal::not_found(resource, name))?;
    default(&mut request, &["spec", "expirationSeconds"], json!(3600));
    let seconds = at(&request, &["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or_default();
    if seconds < SHORTEST {
        let cause = Cause::invalid(
            "spec.expirationSeconds",
            &json!(seconds),
            "may not specify a duration less than 10 minutes",
        );
        return Err(Refusal::invalid("authentication.k8s.io", "TokenRequest", "", &[cause]));
    }
    let seconds = seconds.min(LONGEST);
    if list_at(&request, &["spec", "audiences"]).is_empty() {
        set(&mut request, &["spec", "audiences"], json!([ISSUER]));
    }
    let end = call.now.as_second() + seconds;
    let claims = json!({
        "aud": strings_at(&request, &["spec", "audiences"]),
        "exp": end,
        "iat": call.now.as_second(),
        "iss": ISSUER,
        "jti": crate::arm::uuid(&rand::random::<[u8; 16]>()),
        "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": name, "uid": uid_of(account) } },
        "nbf": call.now.as_second(),
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
    });
    let end = Timestamp::from_second(end).unwrap_or(call.now);
    default(&mut request, &["metadata"], json!({ "creationTimestamp": null }));
    default(&mut request, &["spec", "boundObjectRef"], Value::Null);
    set(&mut request, &["spec", "expirationSeconds"], json!(seconds));
    set(&mut request, &["status"], json!({ "token": sign(kube, &claims), "expirationTimestamp": moment(end) }));
    Ok(Reply::created(request))
}

fn sign(kube: &Kube, claims: &Value) -> String {
    let header = json!({ "alg": "RS256", "kid": "stargate-sim" });
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    format!("{signed}.{}", signature(kube, &signed))
}

/// This world's own signature: who does not have the key cannot make one, and nobody else needs to
/// check it.
fn signature(kube: &Kube, signed: &str) -> String {
    let inner = Sha256::new_with_prefix(kube.signing_key.as_bytes()).chain_update(signed).finalize();
    URL_SAFE_NO_PAD.encode(Sha256::new_with_prefix(kube.signing_key.as_bytes()).chain_update(inner).finalize())
}

/// The service account that a token stands for, while it is good and the account is still the same
/// one.
pub(crate) fn user(kube: &Kube, bearer: &str, now: Timestamp) -> Option<User> {
    let (signed, given) = bearer.rsplit_once('.')?;
    if kube.signing_key.is_empty() || signature(kube, signed) != given {
        return None;
    }
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?).ok()?;
    let is_current = claims.get("exp")?.as_i64()? > now.as_second()
        && strings_at(&claims, &["aud"]).iter().any(|each| each == ISSUER);
    let namespace = str_at(&claims, &["kubernetes.io", "namespace"]);
    let name = str_at(&claims, &["kubernetes.io", "serviceaccount", "name"]);
    let account = kube.named("serviceaccounts", &format!("{namespace}/{name}"))?;
    let is_same = uid_of(account) == str_at(&claims, &["kubernetes.io", "serviceaccount", "uid"]);
    let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")];
    (is_current && is_same)
        .then(|| User { uid: uid_of(account).to_owned(), ..User::new(str_at(&claims, &["sub"]), &groups) })
}

/// A text of a secret's data.
pub(crate) fn decoded(encoded: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}
