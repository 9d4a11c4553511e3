//! The actions, one file each.

mod cloud_init_wait;
mod host_reachable;
mod prefixes;
mod routes_ensure;
mod sysctl_ensure;
mod tailscale_identity;
mod tailscale_preferences;
mod tailscale_routes_in_force;

pub use cloud_init_wait::{CloudInitInput, CloudInitOutput};
pub use host_reachable::{ReachableInput, ReachableOutput};
pub use routes_ensure::{DesiredRoutes, PlacedRoute, RouteSpec, RoutesOutput};
pub use sysctl_ensure::{DesiredSettings, KernelSettings};
pub use tailscale_identity::{IdentityInput, IdentityOutput};
pub use tailscale_preferences::{DesiredPreferences, Preferences};
pub use tailscale_routes_in_force::{RoutesInForceInput, RoutesInForceOutput};

pub(crate) use cloud_init_wait::CloudInitWait;
pub(crate) use host_reachable::HostReachable;
pub(crate) use routes_ensure::RoutesEnsure;
pub(crate) use sysctl_ensure::SysctlEnsure;
pub(crate) use tailscale_identity::TailscaleIdentity;
pub(crate) use tailscale_preferences::TailscalePreferences;
pub(crate) use tailscale_routes_in_force::TailscaleRoutesInForce;
