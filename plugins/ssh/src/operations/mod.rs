//! Typed operations on hosts, one per file; each consists of a few commands.

pub(crate) mod cloud_init;
pub(crate) mod file;
pub(crate) mod forward_filter;
pub(crate) mod host_facts;
pub(crate) mod kernel_lookup;
pub(crate) mod kernel_route;
pub(crate) mod kubelet_release;
pub(crate) mod mss_clamp;
pub(crate) mod network_unit;
pub(crate) mod resolver;
pub(crate) mod route_drop_in;
pub(crate) mod route_file;
pub(crate) mod route_service;
pub(crate) mod sysctl;
pub(crate) mod sysctl_file;
pub(crate) mod tailscale_preferences;
pub(crate) mod tailscale_status;
pub(crate) mod unit;
pub(crate) mod unit_files;
