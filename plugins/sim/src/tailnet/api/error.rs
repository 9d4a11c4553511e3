use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Error answer of the API: `{"message"}` with a status.
#[derive(Debug)]
pub(super) struct TailnetApiError {
    status: StatusCode,
    message: String,
}

impl TailnetApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} not found"))
    }
}

impl IntoResponse for TailnetApiError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"message": self.message}))).into_response()
    }
}

/// Reads a JSON body.
///
/// # Errors
/// 400 if it does not have the expected form.
pub(super) fn body<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, TailnetApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| TailnetApiError::bad_request(format!("invalid request body: {error}")))
}
