//! The actions, one file each.

mod binary_ensure;
mod cloud_init_wait;
mod directory_ensure;
mod file_ensure;
mod file_remove;
mod host_reachable;
mod link_ensure;
mod package_ensure;
mod prefixes;
mod routes_ensure;
mod sysctl_ensure;
mod tailscale_identity;
mod tailscale_preferences;
mod tailscale_routes_in_force;
mod unit_ensure;

pub use binary_ensure::{BinaryOutput, DesiredBinary};
pub use cloud_init_wait::{CloudInitInput, CloudInitOutput};
pub use directory_ensure::{DesiredDirectory, DirectoryOutput};
pub use file_ensure::{DesiredFile, FileOutput};
pub use file_remove::{RemovedFile, UnwantedFile};
pub use host_reachable::{ReachableInput, ReachableOutput};
pub use link_ensure::{DesiredLink, LinkOutput};
pub use package_ensure::{DesiredPackages, PackageSpec, PackagesOutput};
pub use routes_ensure::{DesiredRoutes, PlacedRoute, RouteSpec, RoutesOutput};
pub use sysctl_ensure::{DesiredSettings, KernelSettings};
pub use tailscale_identity::{IdentityInput, IdentityOutput};
pub use tailscale_preferences::{DesiredPreferences, Preferences};
pub use tailscale_routes_in_force::{RoutesInForceInput, RoutesInForceOutput};
pub use unit_ensure::{DesiredUnit, UnitOutput};

pub(crate) use binary_ensure::BinaryEnsure;
pub(crate) use cloud_init_wait::CloudInitWait;
pub(crate) use directory_ensure::DirectoryEnsure;
pub(crate) use file_ensure::FileEnsure;
pub(crate) use file_remove::FileRemove;
pub(crate) use host_reachable::HostReachable;
pub(crate) use link_ensure::LinkEnsure;
pub(crate) use package_ensure::PackageEnsure;
pub(crate) use routes_ensure::RoutesEnsure;
pub(crate) use sysctl_ensure::SysctlEnsure;
pub(crate) use tailscale_identity::TailscaleIdentity;
pub(crate) use tailscale_preferences::TailscalePreferences;
pub(crate) use tailscale_routes_in_force::TailscaleRoutesInForce;
pub(crate) use unit_ensure::UnitEnsure;
