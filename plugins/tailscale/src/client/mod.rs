//! Client of Tailscale's API v2: requests, their errors and the OAuth token.

mod error;
mod model;
mod oauth;
mod tailscale_client;

#[cfg(feature = "fuzzing")]
pub(crate) use error::check_any_answer;
pub(crate) use model::{
    AuthKey, AuthKeyList, CreateAuthKey, CreateCapabilities, Device, DeviceCapabilities, DeviceList, DeviceRoutes,
    KeyCapabilities, MintedAuthKey,
};
pub(crate) use tailscale_client::TailscaleClient;
