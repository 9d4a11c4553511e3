//! Refusal of requests that a web page of another site can send through a browser, and of requests
//! to the control API without its token.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::state::write_private;

/// File in the folder of the world with the token of its control API.
pub(crate) const CONTROL_TOKEN_FILE: &str = "control-token";
/// Minimum length of a token that is read from the file; shorter ones are replaced.
const MIN_TOKEN: usize = 32;

/// Host names besides those of loopback by which clients may address the world.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowedNames(Arc<[String]>);

impl AllowedNames {
    /// Allows these names; case does not matter.
    pub(crate) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Returns `true` if a client of `local` can mean this world by `authority`. A name that
    /// resolves to `local` does not suffice: its owner decides what it resolves to.
    fn contains(&self, authority: &Authority, local: IpAddr) -> bool {
        let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let name = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = name.parse::<IpAddr>() {
            return address.is_loopback() || address.to_canonical() == local.to_canonical();
        }
        name == "localhost" || name.ends_with(".localhost") || self.0.iter().any(|allowed| allowed == name)
    }
}

/// Connection of a client, before its first request.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    /// Host names by which the client may address the world.
    pub(crate) names: AllowedNames,
    /// Address at which the client reached the world.
    pub(crate) local: SocketAddr,
    /// Scheme of the connection, `http` or `https`.
    pub(crate) scheme: String,
}

/// Refuses requests whose `Host` is not this world, and those of a page of another origin.
pub(crate) async fn refuse_foreign(State(reached): State<Reached>, request: Request, next: Next) -> Response {
    let Ok(hosts) = hosts(&request) else {
        return (StatusCode::BAD_REQUEST, "the Host header has no host name\n").into_response();
    };
    if let Some(foreign) = hosts.iter().find(|host| !reached.names.contains(host, reached.local.ip())) {
        let name = foreign.host();
        let text = format!("the simulated world is not {name:?}: start it with --allow-host {name}\n");
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    let own: Vec<_> = hosts.iter().map(|host| format!("{}://{host}", reached.scheme)).collect();
    let is_own =
        |origin: &header::HeaderValue| own.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(origin.as_bytes()));
    if !request.headers().get_all(header::ORIGIN).iter().all(is_own) {
        return (StatusCode::FORBIDDEN, "the simulated world answers no page of another origin\n").into_response();
    }
    next.run(request).await
}

/// Returns the hosts that a request names in its headers and its target.
fn hosts(request: &Request) -> Result<Vec<Authority>, axum::http::uri::InvalidUri> {
    let headers = request.headers().get_all(header::HOST).iter();
    let named = headers.map(|host| Authority::try_from(host.as_bytes()));
    named.chain(request.uri().authority().cloned().map(Ok)).collect()
}

/// Refuses requests without the token of the control API.
pub(crate) async fn require_control_token(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    if bearer(request.headers()).is_some_and(|given| is_equal(given, &token)) {
        return next.run(request).await;
    }
    let text = format!("the control API needs the token in the file {CONTROL_TOKEN_FILE}, as a bearer token\n");
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], text).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares digests, so that the duration tells nothing about the token.
fn is_equal(given: &str, token: &str) -> bool {
    Sha256::digest(given) == Sha256::digest(token)
}

/// Returns the token in the folder of the world. A new folder gets a random one, in a file that
/// only its owner can read; a world that is started again keeps its token.
pub(crate) fn control_token(dir: &Path) -> io::Result<Arc<str>> {
    let path = dir.join(CONTROL_TOKEN_FILE);
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    let token = match stored.trim() {
        kept if kept.len() >= MIN_TOKEN => kept.to_owned(),
        _ => URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()),
    };
    write_private(&path, token.as_bytes())?;
    Ok(token.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(authority: &str, local: &str) -> bool {
        let names = AllowedNames::new(&["Sim.Lab".to_owned()]);
        names.contains(&authority.parse().expect("an authority"), local.parse().expect("an address"))
    }

    #[test]
    fn loopback_the_own_address_and_allowed_names_are_this_world() {
        for own in ["localhost:80", "LOCALHOST.", "a.localhost", "127.0.0.1:1", "127.9.9.9", "[::1]:80", "sim.lab:7"] {
            assert!(is_allowed(own, "127.0.0.1"), "{own}");
        }
        assert!(is_allowed("192.0.2.7:80", "192.0.2.7") && is_allowed("[2001:db8::1]", "2001:db8::1"));
        assert!(is_allowed("192.0.2.7", "::ffff:192.0.2.7"));
    }

    #[test]
    fn other_names_and_addresses_are_not() {
        for foreign in
            ["evil.example", "localhost.evil.example", "notlocalhost", "192.0.2.7", "127.0.0.1.evil.example", "[::2]"]
        {
            assert!(!is_allowed(foreign, "127.0.0.1"), "{foreign}");
        }
    }
}
