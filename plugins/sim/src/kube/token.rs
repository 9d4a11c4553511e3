use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::json::{at, default, list_at, rfc3339, set, str_at, strings_at, uid_of};
use super::request::{ApiRequest, ApiResponse, Target};
use super::resource::Resource;
use super::state::{Kube, User};
use super::status::{Cause, Refusal};

/// Issuer of the tokens of service accounts, and the default audience.
const ISSUER: &str = "https://kubernetes.default.svc";

/// Minimum lifetime of a token in seconds.
const SHORTEST: i64 = 600;

/// Maximum lifetime of a token in seconds: AKS reduces longer requests to one day.
const LONGEST: i64 = 86_400;

/// Handles `POST` to the `token` of a service account.
///
/// The default lifetime is one hour. The reply shows the lifetime after the reduction to the
/// maximum.
///
/// # Errors
///
/// 404 for a missing account, 422 for a lifetime below ten minutes.
pub(crate) fn request(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
) -> Result<ApiResponse, Refusal> {
    let (namespace, name) =
        (target.namespace.as_deref().unwrap_or_default(), target.name.as_deref().unwrap_or_default());
    let mut body = request.json()?;
    let account =
        kube.object(resource, &resource.place(namespace, name)).ok_or_else(|| Refusal::not_found(resource, name))?;
    default(&mut body, &["spec", "expirationSeconds"], json!(3600));
    let seconds = at(&body, &["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or_default();
    if seconds < SHORTEST {
        let cause = Cause::invalid(
            "spec.expirationSeconds",
            &json!(seconds),
            "may not specify a duration less than 10 minutes",
        );
        return Err(Refusal::invalid("authentication.k8s.io", "TokenRequest", "", &[cause]));
    }
    let seconds = seconds.min(LONGEST);
    if list_at(&body, &["spec", "audiences"]).is_empty() {
        set(&mut body, &["spec", "audiences"], json!([ISSUER]));
    }
    let end = request.now.as_second() + seconds;
    let claims = json!({
        "aud": strings_at(&body, &["spec", "audiences"]),
        "exp": end,
        "iat": request.now.as_second(),
        "iss": ISSUER,
        "jti": crate::arm::uuid(&rand::random::<[u8; 16]>()),
        "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": name, "uid": uid_of(account) } },
        "nbf": request.now.as_second(),
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
    });
    let end = Timestamp::from_second(end).unwrap_or(request.now);
    default(&mut body, &["metadata"], json!({ "creationTimestamp": null }));
    default(&mut body, &["spec", "boundObjectRef"], Value::Null);
    set(&mut body, &["spec", "expirationSeconds"], json!(seconds));
    set(&mut body, &["status"], json!({ "token": sign(kube, &claims), "expirationTimestamp": rfc3339(end) }));
    Ok(ApiResponse::created(body))
}

/// Returns a signed token in the form of a JSON web token.
fn sign(kube: &Kube, claims: &Value) -> String {
    let header = json!({ "alg": "RS256", "kid": "stargate-sim" });
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    format!("{signed}.{}", signature(kube, &signed))
}

/// Returns the signature of a token, which only the cluster itself can create and check.
///
/// It is a keyed hash, although the header of the token names `RS256`.
fn signature(kube: &Kube, signed: &str) -> String {
    let inner = Sha256::new_with_prefix(kube.signing_key.as_bytes()).chain_update(signed).finalize();
    URL_SAFE_NO_PAD.encode(Sha256::new_with_prefix(kube.signing_key.as_bytes()).chain_update(inner).finalize())
}

/// Returns the service account of a token that is valid at `now`.
///
/// The account must exist with the same UID, and the audience must be that of the server.
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

/// Decodes a text of the data of a secret; `None` if it is not base64 of UTF-8.
pub(crate) fn decoded(encoded: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}
