use reqwest::StatusCode;
use serde::Deserialize;
use stargate_client::{CallEffect, HttpResponse, excerpt};
use stargate_sdk::ActionError;

/// A request that failed.
#[derive(Debug)]
pub(crate) struct TailscaleError {
    /// HTTP status, if there was a response.
    pub(crate) status: Option<StatusCode>,
    /// The failure, with the server's text.
    pub(crate) error: ActionError,
}

impl TailscaleError {
    /// Error of the request `call`, from a response without success.
    pub(crate) fn new(effect: CallEffect, call: &str, response: &HttpResponse) -> Self {
        let status = response.status;
        let message = format!("{call}: {}", describe(status, &String::from_utf8_lossy(&response.body)));
        let error = ActionError::new(response.failure_kind(effect, None), message).with_code(status.as_str());
        let error = match hint(status) {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
        Self { status: Some(status), error }
    }

    /// True if the requested object does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }

    /// True if the credential may not make the request.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.status == Some(StatusCode::FORBIDDEN)
    }

    /// True if the server does not have the endpoint: some coordination servers implement a part of
    /// the API only.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.is_not_found() || self.status == Some(StatusCode::NOT_IMPLEMENTED)
    }
}

impl From<ActionError> for TailscaleError {
    fn from(error: ActionError) -> Self {
        Self { status: None, error }
    }
}

impl From<TailscaleError> for ActionError {
    fn from(error: TailscaleError) -> Self {
        error.error
    }
}

fn hint(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED => {
            Some("check the id and the secret of the tailscale OAuth client; it may have been revoked")
        }
        StatusCode::FORBIDDEN => Some(
            "the tailscale OAuth client needs the scopes devices:core, devices:routes and auth_keys, and the tags that it assigns",
        ),
        _ => None,
    }
}

/// Body of a response without success, in the forms of the API and of its OAuth endpoint.
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

/// The server's text with its details, or the status if there is none.
fn describe(status: StatusCode, text: &str) -> String {
    let message = match serde_json::from_str::<ErrorBody>(text) {
        Ok(body) => {
            let details = body.data.into_iter().flat_map(|detail| detail.errors);
            let parts = [body.message, body.error, body.error_description].into_iter().flatten();
            excerpt(&parts.chain(details).collect::<Vec<_>>().join(": "))
        }
        Err(_) => excerpt(text),
    };
    if message.is_empty() { status.to_string() } else { format!("{message} (HTTP {})", status.as_u16()) }
}

/// Checks what must hold for any answer that is a refusal: it is an error of limited length.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_any_answer(input: &[u8]) {
    let headers = reqwest::header::HeaderMap::new();
    let response = HttpResponse { status: StatusCode::FORBIDDEN, headers, body: input.to_vec() };
    let error = TailscaleError::new(CallEffect::ReadOnly, "GET /devices", &response).error;
    assert!(!error.message.is_empty() && error.message.len() < 4096, "{error}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_text_is_kept_with_its_details() {
        let text = r#"{"message":"cannot","data":[{"user":"u","errors":["bad tag"]}]}"#;
        assert_eq!(describe(StatusCode::BAD_REQUEST, text), "cannot: bad tag (HTTP 400)");
        assert_eq!(describe(StatusCode::BAD_GATEWAY, ""), "502 Bad Gateway");
    }
}
