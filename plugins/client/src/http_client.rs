use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use reqwest::{Certificate, Client, RequestBuilder, redirect::Policy};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use stargate_sdk::{ActionError, FailureKind};

use crate::{
    CallEffect, CallPermit,
    body::{has_few_values, read_body},
    fenced_body::{expired, send},
    retry_after::retry_after,
    transport::transport_error,
};

/// Maximum duration of a TCP and TLS handshake: servers answer in well under a second.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum duration of a request: Azure Resource Manager ends one after 60 seconds, Tailscale's API
/// before that.
pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// `User-Agent` of each request, by which audit logs name this program.
pub const USER_AGENT: &str = concat!("stargate/", env!("CARGO_PKG_VERSION"));

/// Builds the HTTP client of a provider: timeouts, user agent, no redirects.
///
/// No redirects, because a token must not follow one. `certificates` are trusted in addition to the
/// system's. Installs the process's TLS implementation if there is none.
///
/// # Errors
/// If TLS cannot be set up.
pub fn http_client(certificates: Vec<Certificate>) -> Result<Client, reqwest::Error> {
    install_crypto();
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(Policy::none())
        .user_agent(USER_AGENT)
        .tls_certs_merge(certificates)
        .build()
}

/// Installs *ring* as the TLS implementation, unless the program has chosen one.
fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing the race to another client's same choice is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

/// A file of certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("certificate {path}: {reason}")]
pub struct CertificateError {
    /// Path of the file.
    pub path: PathBuf,
    /// Reason in words.
    pub reason: String,
}

/// Reads one or more certificates in PEM form, to be trusted by [`http_client`].
///
/// # Errors
/// If the file cannot be read, is not PEM or contains no certificate.
pub fn read_certificates(path: &Path) -> Result<Vec<Certificate>, CertificateError> {
    let unusable = |reason: String| CertificateError { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|e| unusable(e.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| unusable(e.to_string()))?;
    if certificates.is_empty() { Err(unusable("no certificate in it".into())) } else { Ok(certificates) }
}

/// A response with its whole body.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// HTTP status of the response.
    pub status: StatusCode,
    /// Headers, without those of trailers.
    pub headers: HeaderMap,
    /// Body after decompression; empty if the body of a refusal could not be read.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Delay that the server asks for; see [`retry_after`].
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers, Timestamp::now())
    }

    /// Kind of the failure of a response without success; see [`CallEffect::failure_kind`].
    pub fn failure_kind(&self, effect: CallEffect, by_code: Option<FailureKind>) -> FailureKind {
        effect.failure_kind(self.status, self.retry_after(), by_code)
    }

    /// The body as a JSON object of the type that the API promises.
    ///
    /// # Errors
    /// See [`parse_json`]. A list and an object with `error` are errors, too: serde takes them for
    /// a type without required fields.
    pub fn json<T: DeserializeOwned>(&self, effect: CallEffect, call: &str) -> Result<T, ActionError> {
        if self.body.trim_ascii_start().first() != Some(&b'{') {
            return Err(effect.unanswered_error(format!("{call}: the response is not a JSON object")));
        }
        let ErrorMember { error } = parse_json(effect, call, &self.body)?;
        if error.is_some() {
            return Err(effect.unanswered_error(format!("{call}: the response is an error with a status of success")));
        }
        parse_json(effect, call, &self.body)
    }
}

/// Member of a response that reports an error.
#[derive(Deserialize)]
struct ErrorMember {
    error: Option<IgnoredAny>,
}

/// Parses the body of a successful response.
///
/// # Errors
/// If it is not JSON of type `T`, judged by `effect`. The error names the position only: the text
/// may contain a secret.
pub fn parse_json<T: DeserializeOwned>(effect: CallEffect, call: &str, body: &[u8]) -> Result<T, ActionError> {
    if !has_few_values(body) {
        return Err(effect.unanswered_error(format!("{call}: the response has too many values")));
    }
    serde_json::from_slice(body).map_err(|e| {
        effect.unanswered_error(format!(
            "{call}: the response is not as expected, at line {} column {}",
            e.line(),
            e.column()
        ))
    })
}

/// Sends a request once and reads the response, with a body of at most `max_body_bytes`.
///
/// Any status is `Ok`: the caller knows what it means. Neither the deadline nor a cancellation ends
/// it; see
/// [`crate::within`].
///
/// # Errors
/// If there was no response ([`transport_error`]), or if the body of a success could not be read
/// ([`crate::BodyError::into_error`]).
pub async fn exchange(
    permit: CallPermit,
    call: &str,
    request: RequestBuilder,
    max_body_bytes: usize,
) -> Result<HttpResponse, ActionError> {
    let effect = permit.effect();
    let sent = send(permit, request).await;
    let response = sent.map_err(|e| expired(&e).unwrap_or_else(|| transport_error(effect, call, e)))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = match read_body(reqwest::Body::from(response), max_body_bytes).await {
        Ok(body) => body,
        // The status decides about the call; the body would only explain it.
        Err(_) if !status.is_success() => Vec::new(),
        Err(error) => return Err(error.into_error(effect, call)),
    };
    Ok(HttpResponse { status, headers, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Optional {
        #[serde(rename = "keys")]
        _keys: Vec<String>,
    }

    #[test]
    fn a_response_without_the_promised_shape_is_an_error() {
        let parsed = |body: &str| {
            let response = HttpResponse { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into() };
            response.json::<Optional>(CallEffect::ReadOnly, "GET /keys")
        };
        for body in ["[]", r#"{"error": {"code": "Gone"}}"#, r#"{"error": "no", "keys": []}"#, "", "null"] {
            assert!(parsed(body).is_err(), "{body}");
        }
        for body in ["{}", r#"{"keys": ["k"], "error": null}"#] {
            assert!(parsed(body).is_ok(), "{body}");
        }
    }
}
