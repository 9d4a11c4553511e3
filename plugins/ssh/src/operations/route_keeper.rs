use stargate_sdk::ActionError;

use super::{
    file::{self, File},
    kernel_route::Route,
    network_unit, route_drop_in, route_service,
};
use crate::remote::Remote;

/// The file that sets a device's routes at boot, as it is. All that is in it is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keeper {
    pub(crate) path: String,
    pub(crate) routes: Vec<Route>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    DropIn,
    Service { enabled: bool },
}

impl Keeper {
    /// Whether what it holds will be set at boot.
    pub(crate) fn is_enabled(&self) -> bool {
        self.kind != Kind::Service { enabled: false }
    }
}

/// The file for a device: beside the unit that networkd configures it with, or a service where networkd does not.
pub(crate) async fn of_device(remote: &Remote<'_>, device: &str) -> Result<Keeper, ActionError> {
    if let Some(unit) = network_unit::of_device(remote, device).await? {
        let path = route_drop_in::path(&unit);
        let text = file::read(remote, &path).await?;
        let routes = text.map(|text| route_drop_in::parse(&text, device)).unwrap_or_default();
        return Ok(Keeper { path, routes, kind: Kind::DropIn });
    }
    let text = file::read(remote, route_service::PATH).await?;
    let routes = text.as_deref().map(route_service::parse).unwrap_or_default();
    let enabled = route_service::is_enabled(remote).await?;
    Ok(Keeper { path: route_service::PATH.into(), routes, kind: Kind::Service { enabled } })
}

/// Writes the file anew with these routes; one with none is removed.
pub(crate) async fn write(remote: &Remote<'_>, keeper: &Keeper, routes: &[Route]) -> Result<(), ActionError> {
    if routes.is_empty() {
        return remove(remote, keeper).await;
    }
    match keeper.kind {
        Kind::DropIn => file::ensure(remote, &File::readable(&keeper.path, route_drop_in::render(routes))).await,
        Kind::Service { enabled } => {
            file::ensure(remote, &File::readable(&keeper.path, route_service::render(routes))).await?;
            if enabled { Ok(()) } else { route_service::enable(remote).await }
        }
    }
}

async fn remove(remote: &Remote<'_>, keeper: &Keeper) -> Result<(), ActionError> {
    if keeper.kind == (Kind::Service { enabled: true }) {
        route_service::disable(remote).await?;
    }
    file::remove(remote, &keeper.path).await
}
