use std::time::Duration;

use reqwest::{Response, StatusCode, header::RETRY_AFTER};
use serde::Deserialize;
use stargate_sdk::ActionError;

/// Longer texts are cut: an error page is not a message.
const LONGEST_MESSAGE: usize = 300;

/// Whether a call can change anything: decides what a lost reply means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Read,
    Change,
}

impl Effect {
    /// No answer, or one that does not say whether the call took effect.
    pub(crate) fn in_doubt(self, message: impl Into<String>) -> ActionError {
        match self {
            Self::Read => ActionError::transient(message),
            Self::Change => ActionError::unknown(message),
        }
    }
}

/// A call that failed: with the HTTP status when there was an answer.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: Option<StatusCode>,
    pub(crate) error: ActionError,
}

impl ApiError {
    /// The object asked for does not exist (yet).
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }

    /// The server does not have this call: some coordination servers have a part of the API only.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.is_not_found() || self.status == Some(StatusCode::NOT_IMPLEMENTED)
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        Self { status: None, error }
    }
}

impl From<ApiError> for ActionError {
    fn from(error: ApiError) -> Self {
        error.error
    }
}

/// Maps a call that got no answer.
pub(crate) fn unanswered(effect: Effect, call: &str, error: &reqwest::Error) -> ActionError {
    let message = format!("{call}: {}", chain(error));
    if error.is_builder() {
        ActionError::permanent(message)
    } else if error.is_connect() {
        ActionError::transient(message) // Nothing was sent yet.
    } else {
        effect.in_doubt(message)
    }
}

/// Maps an answer that is no success.
pub(crate) async fn refused(effect: Effect, call: &str, response: Response) -> ApiError {
    let status = response.status();
    let retry_after = retry_after(&response);
    let text = response.text().await.unwrap_or_default();
    let message = format!("{call}: {}", describe(status, &text));
    let error = match status.as_u16() {
        429 => ActionError::throttled(retry_after, message),
        401 => ActionError::permanent(message)
            .with_hint("check the id and the secret of the tailscale OAuth client; it may have been revoked"),
        403 => ActionError::permanent(message).with_hint(
            "the tailscale OAuth client needs the scopes devices:core, devices:routes and auth_keys, and the tags it is to give",
        ),
        408 | 500 | 502..=599 => effect.in_doubt(message),
        _ => ActionError::permanent(message),
    };
    ApiError { status: Some(status), error: error.with_code(status.as_str()) }
}

/// The answer was a success but not what the API promises.
pub(crate) fn unreadable(effect: Effect, call: &str, error: &serde_json::Error) -> ActionError {
    // The position only: the text may hold a secret.
    effect.in_doubt(format!(
        "{call}: the answer is not as expected, at line {} column {}",
        error.line(),
        error.column()
    ))
}

#[derive(Deserialize)]
struct ErrorBody {
    message: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    #[serde(default)]
    data: Vec<ErrorDetail>,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    errors: Vec<String>,
}

fn describe(status: StatusCode, text: &str) -> String {
    let said = match serde_json::from_str::<ErrorBody>(text) {
        Ok(body) => {
            let details = body.data.into_iter().flat_map(|detail| detail.errors);
            let parts = [body.message, body.error, body.error_description].into_iter().flatten();
            parts.chain(details).collect::<Vec<_>>().join(": ")
        }
        Err(_) => text.trim().to_owned(),
    };
    let said: String = said.chars().take(LONGEST_MESSAGE).collect();
    if said.is_empty() { status.to_string() } else { format!("{said} (HTTP {})", status.as_u16()) }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    parse_retry_after(value, jiff::Timestamp::now())
}

fn parse_retry_after(value: &str, now: jiff::Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-11-24T06:00:00Z".parse().expect("timestamp");
        assert_eq!(parse_retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("Tue, 24 Nov 2026 06:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(parse_retry_after("Tue, 24 Nov 2026 05:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon", now), None);
    }

    #[test]
    fn the_servers_words_are_kept_with_their_details() {
        let text = r#"{"message":"cannot","data":[{"user":"u","errors":["bad tag"]}]}"#;
        assert_eq!(describe(StatusCode::BAD_REQUEST, text), "cannot: bad tag (HTTP 400)");
        assert_eq!(describe(StatusCode::BAD_GATEWAY, ""), "502 Bad Gateway");
    }
}
