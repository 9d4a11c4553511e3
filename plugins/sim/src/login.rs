use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::arm::{Arm, ArmError};
use crate::listen::Scheme;
use crate::world::Shared;

/// Client secret of every service principal of the simulated tenant.
pub(crate) const CLIENT_SECRET: &str = "stargate-sim-secret";

/// Service principal that the instructions name; any other id works too.
pub(crate) const CLIENT_ID: &str = "22222222-2222-2222-2222-222222222222";

/// Lifetime of a token in seconds, as Entra answers it.
const LIFETIME: i64 = 3599;

/// Lifetime of the token that is printed at start, in seconds: longer than any world lives.
const STATIC_LIFETIME: i64 = 10 * 365 * 24 * 3600;

/// Returns the routes of Entra ID, the instance metadata service and the description of the cloud.
pub(crate) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/metadata/endpoints", get(endpoints))
        .route("/metadata/identity/oauth2/token", get(managed_identity))
        .route("/common/discovery/instance", get(discovery))
        .route("/{tenant}/.well-known/openid-configuration", get(openid))
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(openid))
        .route("/{tenant}/oauth2/token", post(token))
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .with_state(shared)
}

/// True if a path belongs to this router, and not to ARM.
pub(crate) fn owns(path: &str) -> bool {
    path.starts_with("/metadata/")
        || path == "/common/discovery/instance"
        || path.ends_with("/.well-known/openid-configuration")
        || is_token_path(path)
}

fn is_token_path(path: &str) -> bool {
    path.ends_with("/oauth2/token") || path.ends_with("/oauth2/v2.0/token")
}

fn base(headers: &HeaderMap, scheme: Scheme) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("{scheme}://{host}")
}

#[derive(Debug, Deserialize)]
struct ApiVersionQuery {
    #[serde(rename = "api-version", default)]
    api_version: String,
}

/// Answers with the description of the cloud: one object since 2020, an array before.
async fn endpoints(
    Extension(scheme): Extension<Scheme>,
    headers: HeaderMap,
    Query(version): Query<ApiVersionQuery>,
) -> Json<Value> {
    let base = base(&headers, scheme);
    let authentication = json!({
        "loginEndpoint": base,
        "audiences": ["https://management.core.windows.net/", "https://management.azure.com/", base],
        "tenant": "common",
        "identityProvider": "AAD",
    });
    let cloud = json!({
        "name": "StargateSim",
        "portal": base,
        "authentication": authentication,
        "resourceManager": format!("{base}/"),
        "media": base,
        "graph": base,
        "graphAudience": base,
        "microsoftGraphResourceId": base,
        "activeDirectoryDataLake": base,
        "batch": base,
        "gallery": base,
        "vmImageAliasDoc": format!("{base}/aliases.json"),
        "sqlManagement": base,
        "suffixes": {
            "storage": "core.stargate.invalid",
            "keyVaultDns": "vault.stargate.invalid",
            "sqlServerHostname": "database.stargate.invalid",
            "acrLoginServer": "azurecr.stargate.invalid",
        },
    });
    Json(if version.api_version.as_str() < "2020-01-01" { json!([cloud]) } else { cloud })
}

async fn discovery(Extension(scheme): Extension<Scheme>, headers: HeaderMap) -> Json<Value> {
    let base = base(&headers, scheme);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    Json(json!({
        "tenant_discovery_endpoint": format!("{base}/common/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
    }))
}

async fn openid(Extension(scheme): Extension<Scheme>, headers: HeaderMap, Path(tenant): Path<String>) -> Json<Value> {
    let base = base(&headers, scheme);
    Json(json!({
        "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": format!("{base}/{tenant}/v2.0"),
        "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/devicecode"),
        "end_session_endpoint": format!("{base}/{tenant}/oauth2/v2.0/logout"),
        "tenant_region_scope": "NA",
    }))
}

#[derive(Debug, Deserialize)]
struct TokenRequest {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    client_assertion_type: Option<String>,
    client_assertion: Option<String>,
    scope: Option<String>,
    resource: Option<String>,
}

async fn token(State(shared): State<Shared>, Path(tenant): Path<String>, Form(form): Form<TokenRequest>) -> Response {
    let Some(client) = form.client_id.filter(|client| !client.is_empty()) else {
        return refused(
            400,
            "invalid_request",
            900_144,
            "The request body must contain the following parameter: 'client_id'.",
        );
    };
    if form.grant_type.as_deref() != Some("client_credentials") {
        return refused(400, "unsupported_grant_type", 70_003, "The app requested an unsupported grant type.");
    }
    let asserted = form.client_assertion_type.as_deref()
        == Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        && form.client_assertion.as_deref().is_some_and(|assertion| assertion.split('.').count() == 3);
    if !asserted && form.client_secret.as_deref() != Some(CLIENT_SECRET) {
        let message = "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.";
        return refused(401, "invalid_client", 7_000_215, message);
    }
    let audience = form.scope.or(form.resource).unwrap_or_default();
    let audience = audience.trim_end_matches(".default").trim_end_matches('/');
    let world = shared.peek();
    let token = issue(&world.arm, &tenant, &client, audience, Timestamp::now(), LIFETIME);
    Json(json!({ "token_type": "Bearer", "expires_in": LIFETIME, "ext_expires_in": LIFETIME, "access_token": token }))
        .into_response()
}

fn refused(status: u16, error: &str, code: u32, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let id = crate::arm::uuid(&rand::random::<[u8; 16]>());
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{code}: {message} Trace ID: {id}"),
        "error_codes": [code],
        "timestamp": Timestamp::now().to_string(),
        "trace_id": id,
        "correlation_id": id,
        "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
    });
    (status, Json(body)).into_response()
}

/// Answers as the instance metadata service does: numbers are texts, and the header is required.
async fn managed_identity(State(shared): State<Shared>, headers: HeaderMap, request: Request) -> Response {
    let is_marked = headers.get("metadata").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if !is_marked {
        let body = json!({ "error": "invalid_request", "error_description": "Required metadata header not specified" });
        return (StatusCode::BAD_REQUEST, Json(body)).into_response();
    }
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
    let find = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let Some(resource) = find("resource") else {
        let body =
            json!({ "error": "invalid_request", "error_description": "Required query variable 'resource' is missing" });
        return (StatusCode::BAD_REQUEST, Json(body)).into_response();
    };
    let client = find("client_id").unwrap_or_else(|| CLIENT_ID.to_owned());
    let world = shared.peek();
    let now = Timestamp::now();
    let token = issue(&world.arm, &world.arm.tenant, &client, resource.trim_end_matches('/'), now, 86_399);
    let body = json!({
        "access_token": token,
        "client_id": client,
        "expires_in": "86399",
        "expires_on": (now.as_second() + 86_399).to_string(),
        "ext_expires_in": "86399",
        "not_before": now.as_second().to_string(),
        "resource": resource,
        "token_type": "Bearer",
    });
    Json(body).into_response()
}

/// Returns a token in the form of a JWT, with a signature of this world.
fn issue(arm: &Arm, tenant: &str, client: &str, audience: &str, now: Timestamp, lifetime: i64) -> String {
    let header = json!({ "typ": "JWT", "alg": "RS256", "kid": "stargate-sim" });
    let claims = json!({
        "aud": audience,
        "iss": format!("https://sts.windows.net/{tenant}/"),
        "iat": now.as_second(),
        "nbf": now.as_second(),
        "exp": now.as_second() + lifetime,
        "appid": client,
        "oid": client,
        "sub": client,
        "tid": tenant,
        "idtyp": "app",
        "ver": "1.0",
    });
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    format!("{signed}.{}", signature(arm.seed, &signed))
}

fn signature(seed: u64, signed: &str) -> String {
    let digest = Sha256::new_with_prefix(b"token").chain_update(seed.to_be_bytes()).chain_update(signed).finalize();
    URL_SAFE_NO_PAD.encode(digest)
}

/// Returns a token that stays valid, for `curl` and tests.
pub(crate) fn static_token(arm: &Arm) -> String {
    issue(arm, &arm.tenant, "static", "https://management.azure.com", Timestamp::now(), STATIC_LIFETIME)
}

/// Refuses a request without a valid token of this world.
///
/// # Errors
/// 401 for a missing, invalid, expired or revoked token, or one for another audience.
pub(crate) fn authenticate(arm: &Arm, headers: &HeaderMap, now: Timestamp) -> Result<(), ArmError> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(header) = header else {
        return Err(unauthorized(
            arm,
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
        ));
    };
    let token = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer ")).unwrap_or_default().trim();
    let Some(claims) = read(arm, token) else {
        return Err(unauthorized(arm, "InvalidAuthenticationToken", "The access token is invalid."));
    };
    let seconds = |key: &str| claims.get(key).and_then(Value::as_i64).unwrap_or_default();
    let is_static = claims.get("appid") == Some(&json!("static"));
    let revoked = !is_static && seconds("iat") < arm.tokens_expired_before;
    if seconds("exp") <= now.as_second() || revoked {
        return Err(unauthorized(
            arm,
            "ExpiredAuthenticationToken",
            "The access token expiry UTC time is earlier than current UTC time.",
        ));
    }
    let audience = claims.get("aud").and_then(Value::as_str).unwrap_or_default();
    if audience.contains("vault.azure") || audience.contains("graph.microsoft") {
        let message = format!("The access token has been obtained for wrong audience or resource '{audience}'.");
        return Err(unauthorized(arm, "InvalidAuthenticationTokenAudience", &message));
    }
    Ok(())
}

fn read(arm: &Arm, token: &str) -> Option<Value> {
    let (signed, given) = token.rsplit_once('.')?;
    let claims = signed.split_once('.')?.1;
    let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    (signature(arm.seed, signed) == given).then_some(claims)
}

fn unauthorized(arm: &Arm, code: &str, message: &str) -> ArmError {
    let challenge = format!(
        "Bearer authorization_uri=\"https://login.windows.net/{}\", error=\"invalid_token\", error_description=\"{message}\"",
        arm.tenant
    );
    ArmError::gateway(401, code, message).with_header("WWW-Authenticate", challenge)
}
