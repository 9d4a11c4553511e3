//! The simulated tailnet: Tailscale's API and what the machines see of it.
//!
//! [`Tailnet`] is what the coordination server knows: devices, keys, OAuth clients and the policy. Machines join it with an
//! auth key and advertise routes; [`router`] is the API under which those routes are approved.

mod api;
mod device;
mod key;
mod policy;
mod routes;
mod state;

pub use api::router;
pub use device::{Device, JoinError, NodeId};
pub use key::{Key, OAuthClient, Token};
pub use policy::Policy;
pub use routes::PeerRoute;
pub use state::{API_KEY, CLIENT_ID, CLIENT_SECRET, LOG_ROUTER, Tailnet};
