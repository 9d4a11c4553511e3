//! The simulated tailnet: Tailscale's API, and the tailnet as its machines see it.
//!
//! [`Tailnet`] is the state of the coordination server: devices, keys, OAuth clients and the
//! policy. Machines join with an auth key and advertise routes; [`router`] serves the API by which
//! those routes are approved.

mod access;
mod api;
mod device;
mod identifier;
mod join;
mod key;
mod policy;
mod redeem;
mod routes;
mod state;

pub(crate) use access::AccessFilter;
pub use api::router;
pub use device::{Device, NodeId};
pub use key::{Key, OAuthClient, Token};
pub use policy::Policy;
pub use redeem::JoinError;
pub use routes::PeerRoute;
pub use state::{API_KEY, CLIENT_ID, CLIENT_SECRET, LOG_ROUTER, Tailnet};
