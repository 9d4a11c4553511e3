//! Tailscale actions over its API: wait for a device, approve its routes, mint one-shot auth keys.
//!
//! The API is reached with an OAuth client; its token is cached, fetched by one task at a time and renewed before it
//! expires. A device is known by its node id, which the machine itself tells (`tailscale status`): host names are not
//! unique in a tailnet.

mod api;
mod auth_key;
mod auth_key_request;
mod checks;
mod device_wait;
mod devices_list;
mod failure;
mod model;
mod permission;
mod prefixes;
mod register;
mod routes_approve;
mod settings;
mod token;

pub use device_wait::{DeviceWaitInput, DeviceWaitOutput};
pub use devices_list::{DevicesListInput, DevicesListOutput, ListedDevice, ServedRoute};
pub use register::register;
pub use routes_approve::{ApprovedRoutes, DesiredRoutes};
pub use settings::{SettingsError, TailscaleSettings};
