//! The `tailscale.*` actions, one per file.

mod access_inspect;
mod device_delete;
mod device_wait;
mod devices_list;
mod route_sets;
mod routes_approve;
mod routes_withdraw;

pub(crate) use access_inspect::AccessInspect;
pub(crate) use device_delete::DeviceDelete;
pub(crate) use device_wait::DeviceWait;
pub(crate) use devices_list::DevicesList;
#[cfg(feature = "fuzzing")]
pub(crate) use devices_list::check_any_list;
pub(crate) use routes_approve::RoutesApprove;
pub(crate) use routes_withdraw::RoutesWithdraw;
