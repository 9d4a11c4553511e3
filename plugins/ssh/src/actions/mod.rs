//! The `ssh.*` actions, one per file.
//!
//! What several of them do on a host is in `operations`.

mod binary_ensure;
mod certificate_read;
mod cloud_init_wait;
mod directory_ensure;
mod file_ensure;
mod file_remove;
mod forward_filter_check;
mod host_preflight;
mod host_reachable;
mod kubelet_preflight;
mod link_ensure;
mod mss_clamp_ensure;
mod network_inspect;
mod package_ensure;
mod program_run;
mod routes_ensure;
mod sysctl_ensure;
mod tailscale_connection;
mod tailscale_identity;
mod tailscale_preferences;
mod tailscale_routes_in_force;
mod unit_ensure;

pub(crate) use binary_ensure::BinaryEnsure;
pub(crate) use certificate_read::CertificateRead;
pub(crate) use cloud_init_wait::CloudInitWait;
pub(crate) use directory_ensure::DirectoryEnsure;
pub(crate) use file_ensure::FileEnsure;
pub(crate) use file_remove::FileRemove;
pub(crate) use forward_filter_check::ForwardFilterCheck;
pub(crate) use host_preflight::HostPreflight;
pub(crate) use host_reachable::HostReachable;
pub(crate) use kubelet_preflight::KubeletPreflight;
pub(crate) use link_ensure::LinkEnsure;
pub(crate) use mss_clamp_ensure::MssClampEnsure;
pub(crate) use network_inspect::NetworkInspect;
pub(crate) use package_ensure::PackageEnsure;
pub(crate) use program_run::ProgramRun;
pub(crate) use routes_ensure::RoutesEnsure;
pub(crate) use sysctl_ensure::SysctlEnsure;
pub(crate) use tailscale_connection::TailscaleConnection;
pub(crate) use tailscale_identity::TailscaleIdentity;
pub(crate) use tailscale_preferences::TailscalePreferences;
pub(crate) use tailscale_routes_in_force::TailscaleRoutesInForce;
pub(crate) use unit_ensure::UnitEnsure;
