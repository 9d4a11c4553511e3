use std::{net::Ipv4Addr, sync::Arc};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, Resource};

use super::prefixes::check_host_bits;
use crate::{
    Host,
    operations::{
        file::{self, File},
        kernel_route::{self, KernelRoute, Route},
        network_unit, route_drop_in, route_service,
    },
    pool::Pool,
    remote::Remote,
};

/// The kernel routes that a host is to have, beside those it has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredRoutes {
    /// The host.
    pub host: Host,
    /// The routes.
    pub routes: Vec<RouteSpec>,
}

/// A route through a neighbour.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// Where it leads, without host bits.
    #[schemars(with = "String")]
    pub prefix: Ipv4Net,
    /// The neighbour.
    #[schemars(with = "String")]
    pub via: Ipv4Addr,
    /// The device that the neighbour is behind; left out, the kernel is asked.
    #[serde(default)]
    pub device: Option<String>,
}

/// A route in force, now and after a reboot.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlacedRoute {
    /// Where it leads.
    pub prefix: String,
    /// The neighbour.
    pub via: String,
    /// The device.
    pub device: String,
    /// The file that sets it at boot.
    pub file: String,
}

/// The routes in force.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RoutesOutput {
    /// In the order they were asked for.
    pub routes: Vec<PlacedRoute>,
}

/// Kernel routes: in force now, and in a file that sets them at boot.
pub(crate) struct RoutesEnsure {
    pool: Arc<Pool>,
}

pub(crate) struct ActualRoutes {
    table: Vec<KernelRoute>,
    wanted: Vec<Wanted>,
}

/// A wanted route whose device and file are known.
struct Wanted {
    route: Route,
    keeper: Keeper,
}

/// The file that sets a device's routes at boot, as it is.
#[derive(Clone)]
struct Keeper {
    path: String,
    routes: Vec<Route>,
    kind: KeeperKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum KeeperKind {
    DropIn,
    Service { enabled: bool },
}

impl RoutesEnsure {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl Resource for RoutesEnsure {
    type Desired = DesiredRoutes;
    type Actual = ActualRoutes;
    type Output = RoutesOutput;
    const NAME: &'static str = "ssh.routes.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Puts kernel routes in force, now and after a reboot.";

    async fn read(&self, cx: &ActionContext, desired: &DesiredRoutes) -> Result<Option<ActualRoutes>, ActionError> {
        check_host_bits(desired.routes.iter().map(|spec| spec.prefix.into()))?;
        let remote = self.pool.remote(cx, &desired.host)?;
        let table = kernel_route::main_table(&remote).await?;
        let mut wanted: Vec<Wanted> = Vec::new();
        for spec in &desired.routes {
            let route = resolve(&remote, spec).await?;
            let known = wanted.iter().find(|wanted| wanted.route.device == route.device);
            let keeper = match known {
                Some(wanted) => wanted.keeper.clone(),
                None => keeper_of(&remote, &route.device).await?,
            };
            wanted.push(Wanted { route, keeper });
        }
        Ok(Some(ActualRoutes { table, wanted }))
    }

    fn diff(&self, _: &DesiredRoutes, actual: Option<&ActualRoutes>) -> Result<Vec<Difference>, ActionError> {
        let mut differences = Vec::new();
        let Some(actual) = actual else { return Ok(differences) };
        for wanted in &actual.wanted {
            differences.extend(kernel_difference(&actual.table, &wanted.route)?);
            differences.extend(boot_difference(wanted));
        }
        Ok(differences)
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &DesiredRoutes,
        actual: Option<&ActualRoutes>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let Some(actual) = actual else { return Ok(()) };
        let remote = self.pool.remote(cx, &desired.host)?;
        for Wanted { route, .. } in &actual.wanted {
            if kernel_difference(&actual.table, route)?.is_some() {
                kernel_route::replace(&remote, route).await?;
            }
        }
        let mut written: Vec<&str> = Vec::new();
        for wanted in actual.wanted.iter().filter(|wanted| boot_difference(wanted).is_some()) {
            if !written.contains(&wanted.keeper.path.as_str()) {
                written.push(&wanted.keeper.path);
                keep(&remote, &wanted.keeper, &actual.wanted).await?;
            }
        }
        Ok(())
    }

    fn output(&self, _: &ActionContext, _: &DesiredRoutes, actual: &ActualRoutes) -> Result<RoutesOutput, ActionError> {
        let placed = |Wanted { route, keeper }: &Wanted| PlacedRoute {
            prefix: route.prefix.to_string(),
            via: route.via.to_string(),
            device: route.device.clone(),
            file: keeper.path.clone(),
        };
        Ok(RoutesOutput { routes: actual.wanted.iter().map(placed).collect() })
    }
}

async fn resolve(remote: &Remote<'_>, spec: &RouteSpec) -> Result<Route, ActionError> {
    let device = match &spec.device {
        Some(device) => check_device(device)?,
        None => kernel_route::device_towards(remote, spec.via).await?,
    };
    Ok(Route { prefix: spec.prefix, via: spec.via, device })
}

// It becomes part of a unit file, where it must not be two words.
fn check_device(device: &str) -> Result<String, ActionError> {
    let fits = device.starts_with(|c: char| c.is_ascii_alphanumeric())
        && device.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
    if fits {
        Ok(device.to_owned())
    } else {
        Err(ActionError::permanent(format!("{device:?} is not a network device")))
    }
}

async fn keeper_of(remote: &Remote<'_>, device: &str) -> Result<Keeper, ActionError> {
    if let Some(unit) = network_unit::of_device(remote, device).await? {
        let path = route_drop_in::path(&unit);
        let text = file::read(remote, &path).await?;
        let routes = text.map(|text| route_drop_in::parse(&text, device)).unwrap_or_default();
        return Ok(Keeper { path, routes, kind: KeeperKind::DropIn });
    }
    let text = file::read(remote, route_service::PATH).await?;
    let routes = text.as_deref().map(route_service::parse).unwrap_or_default();
    let enabled = route_service::is_enabled(remote).await?;
    Ok(Keeper { path: route_service::PATH.into(), routes, kind: KeeperKind::Service { enabled } })
}

fn kernel_difference(table: &[KernelRoute], route: &Route) -> Result<Option<Difference>, ActionError> {
    let what = format!("route {}", route.prefix);
    match KernelRoute::of(table, route.prefix) {
        Some(present) if present.is(route) => Ok(None),
        Some(present) if present.is_connected_network() => Err(ActionError::permanent(format!(
            "{what}: it is the network that the host itself is in ({})",
            present.way()
        ))),
        Some(present) => Ok(Some(Difference::new(what, present.way(), route.way()))),
        None => Ok(Some(Difference::missing(what, route.way()))),
    }
}

fn boot_difference(wanted: &Wanted) -> Option<Difference> {
    let Wanted { route, keeper } = wanted;
    let what = format!("route {} at boot", route.prefix);
    let present = keeper.routes.iter().find(|present| present.prefix == route.prefix);
    match present {
        Some(present) if present == route && keeper.kind == (KeeperKind::Service { enabled: false }) => {
            Some(Difference::new(what, "not enabled", route_service::NAME))
        }
        Some(present) if present == route => None,
        Some(present) => Some(Difference::new(what, present.way(), route.way())),
        None => Some(Difference::missing(what, route.way())),
    }
}

/// Writes the file anew: what it has of other prefixes, and all that is wanted in it.
async fn keep(remote: &Remote<'_>, keeper: &Keeper, wanted: &[Wanted]) -> Result<(), ActionError> {
    let ours: Vec<&Route> = wanted.iter().filter(|w| w.keeper.path == keeper.path).map(|w| &w.route).collect();
    let others = keeper.routes.iter().filter(|route| ours.iter().all(|our| our.prefix != route.prefix));
    let routes: Vec<Route> = others.chain(ours.iter().copied()).cloned().collect();
    match keeper.kind {
        KeeperKind::DropIn => file::ensure(remote, &File::readable(&keeper.path, route_drop_in::render(&routes))).await,
        KeeperKind::Service { enabled } => {
            file::ensure(remote, &File::readable(&keeper.path, route_service::render(&routes))).await?;
            if enabled { Ok(()) } else { route_service::enable(remote).await }
        }
    }
}
