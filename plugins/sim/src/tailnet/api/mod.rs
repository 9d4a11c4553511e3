//! The API under `/api/v2`, over the same state that the machines see.

mod acl;
mod authorization;
mod devices;
mod error;
mod keys;
mod oauth;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{any, get, post};

use self::error::TailnetApiError;
use crate::Shared;

/// Returns the routes of the API, each with its full path.
pub fn router(shared: Shared) -> Router {
    Router::new()
        .route("/api/v2/oauth/token", post(oauth::token))
        .route("/api/v2/tailnet/{tailnet}/devices", get(devices::list))
        .route("/api/v2/device/{device}", get(devices::read).delete(devices::delete))
        .route("/api/v2/device/{device}/routes", get(devices::routes).post(devices::set_routes))
        .route("/api/v2/device/{device}/authorized", post(devices::set_authorized))
        .route("/api/v2/device/{device}/tags", post(devices::set_tags))
        .route("/api/v2/device/{device}/key", post(devices::set_key))
        .route("/api/v2/tailnet/{tailnet}/keys", get(keys::list).post(keys::create))
        .route("/api/v2/tailnet/{tailnet}/keys/{key}", get(keys::read).delete(keys::delete))
        .route("/api/v2/tailnet/{tailnet}/acl", get(acl::read).post(acl::write))
        .route("/api/v2/{*rest}", any(unknown))
        .with_state(shared)
}

async fn unknown() -> TailnetApiError {
    TailnetApiError::new(StatusCode::NOT_FOUND, "404 page not found")
}
