use stargate_sdk::ActionError;

use super::{
    file::{self, HostFile},
    kernel_route::ManagedRoute,
    network_unit, route_drop_in, route_service,
};
use crate::client::Remote;

/// Actual state of the file that sets a device's routes at boot. All routes in it are managed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteFile {
    /// Absolute path of the file.
    pub(crate) path: String,
    /// Routes in the file; empty if it does not exist.
    pub(crate) routes: Vec<ManagedRoute>,
    kind: RouteFileKind,
}

/// Component of the host that reads the file at boot.
///
/// networkd reads a drop-in whenever it configures the device. Without networkd, a service sets the
/// routes once, and `enabled` tells if systemd starts it at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RouteFileKind {
    DropIn,
    Service { enabled: bool },
}

impl RouteFile {
    /// True if the routes in the file are set at boot.
    pub(crate) fn is_enabled(&self) -> bool {
        self.kind != RouteFileKind::Service { enabled: false }
    }
}

/// Reads the file for a device: a drop-in of the unit with which networkd configures it, or a
/// service if networkd does not.
///
/// # Errors
/// Those of the commands. A file that does not exist is a file without routes.
pub(crate) async fn of_device(remote: &Remote<'_>, device: &str) -> Result<RouteFile, ActionError> {
    if let Some(unit) = network_unit::of_device(remote, device).await? {
        let path = route_drop_in::path(&unit);
        let text = file::read(remote, &path).await?;
        let routes = text.map(|text| route_drop_in::parse(&text, device)).unwrap_or_default();
        return Ok(RouteFile { path, routes, kind: RouteFileKind::DropIn });
    }
    let text = file::read(remote, route_service::PATH).await?;
    let routes = text.as_deref().map(route_service::parse).unwrap_or_default();
    let enabled = route_service::is_enabled(remote).await?;
    Ok(RouteFile { path: route_service::PATH.into(), routes, kind: RouteFileKind::Service { enabled } })
}

/// Rewrites the file with `routes`. Without any, it is removed.
///
/// The kernel's routes do not change: networkd is not reloaded, which would drop routes of others.
/// A service is enabled if it is not.
pub(crate) async fn write(
    remote: &Remote<'_>,
    route_file: &RouteFile,
    routes: &[ManagedRoute],
) -> Result<(), ActionError> {
    if routes.is_empty() {
        return remove(remote, route_file).await;
    }
    match route_file.kind {
        RouteFileKind::DropIn => {
            file::ensure(remote, &HostFile::readable(&route_file.path, route_drop_in::render(routes))).await
        }
        RouteFileKind::Service { enabled } => {
            file::ensure(remote, &HostFile::readable(&route_file.path, route_service::render(routes))).await?;
            if enabled { Ok(()) } else { route_service::enable(remote).await }
        }
    }
}

/// Removes the file, after the service that reads it has been disabled: a unit without its file
/// could not be.
async fn remove(remote: &Remote<'_>, route_file: &RouteFile) -> Result<(), ActionError> {
    if route_file.kind == (RouteFileKind::Service { enabled: true }) {
        route_service::disable(remote).await?;
    }
    file::remove(remote, &route_file.path).await
}
