use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use super::prefixes::check_host_bits;
use crate::{
    Host,
    operations::{
        kernel_route::{self, KernelRoute, Route},
        route_keeper::{self, Keeper},
        route_service,
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
    /// An address of the host itself: routes by way of it are for its neighbours, and left out.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub except_via: Option<Ipv4Addr>,
    /// Whether other routes that this action has put in force go. Which ones those are its own files tell: a route that
    /// is in none of them is somebody else's and stays.
    #[serde(default)]
    pub exact: bool,
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
    /// Every file that was read, once.
    keepers: Vec<Keeper>,
}

/// A wanted route whose device and file are known.
struct Wanted {
    route: Route,
    keeper: Keeper,
}

impl RoutesEnsure {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for RoutesEnsure {}

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
        let specs = desired.routes.iter().filter(|spec| Some(spec.via) != desired.except_via);
        let routes = resolve(&remote, specs).await?;
        let mut devices: BTreeSet<&str> = routes.iter().map(|route| route.device.as_str()).collect();
        if desired.exact {
            devices.extend(table.iter().filter_map(KernelRoute::device_of_neighbours));
        }
        let mut keepers: Vec<(&str, Keeper)> = Vec::new();
        for device in devices {
            keepers.push((device, route_keeper::of_device(&remote, device).await?));
        }
        let keeper =
            |route: &Route| keepers.iter().find(|(device, _)| *device == route.device).map(|(_, it)| it.clone());
        let wanted = routes.iter().filter_map(|route| Some(Wanted { route: route.clone(), keeper: keeper(route)? }));
        let wanted = wanted.collect();
        let mut keepers: Vec<Keeper> = keepers.into_iter().map(|(_, keeper)| keeper).collect();
        // Devices that networkd leaves alone share a file.
        keepers.sort_by(|one, other| one.path.cmp(&other.path));
        keepers.dedup();
        Ok(Some(ActualRoutes { table, wanted, keepers }))
    }

    fn diff(&self, desired: &DesiredRoutes, actual: Option<&ActualRoutes>) -> Result<Vec<Difference>, ActionError> {
        let mut differences = Vec::new();
        let Some(actual) = actual else { return Ok(differences) };
        for wanted in &actual.wanted {
            differences.extend(kernel_difference(&actual.table, &wanted.route)?);
            differences.extend(boot_difference(wanted));
        }
        for (_, route) in actual.stale().filter(|_| desired.exact) {
            let gone = |what: String| Difference::new(what, route.way(), Value::Null);
            differences.extend(actual.is_in_force(route).then(|| gone(format!("route {}", route.prefix))));
            differences.push(gone(format!("route {} at boot", route.prefix)));
        }
        Ok(differences)
    }

    // A route is in a file before it is in force, and leaves that file last: whatever happens in between, it is known as ours.
    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &DesiredRoutes,
        actual: Option<&ActualRoutes>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let Some(actual) = actual else { return Ok(()) };
        let remote = self.pool.remote(cx, &desired.host)?;
        for keeper in actual.keepers.iter().filter(|keeper| actual.lacks_some(keeper)) {
            route_keeper::write(&remote, keeper, &actual.with_the_wanted(keeper)).await?;
        }
        for Wanted { route, .. } in &actual.wanted {
            if kernel_difference(&actual.table, route)?.is_some() {
                kernel_route::replace(&remote, route).await?;
            }
        }
        if desired.exact { remove(&remote, actual).await } else { Ok(()) }
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

impl ActualRoutes {
    /// What a file holds that is not wanted there.
    fn stale(&self) -> impl Iterator<Item = (&Keeper, &Route)> {
        let kept = self.keepers.iter().flat_map(|keeper| keeper.routes.iter().map(move |route| (keeper, route)));
        kept.filter(|(keeper, route)| self.of(keeper).all(|wanted| wanted.prefix != route.prefix))
    }

    /// The wanted routes whose file this is.
    fn of(&self, keeper: &Keeper) -> impl Iterator<Item = &Route> {
        self.wanted.iter().filter(|wanted| wanted.keeper.path == keeper.path).map(|wanted| &wanted.route)
    }

    fn lacks_some(&self, keeper: &Keeper) -> bool {
        self.wanted.iter().any(|wanted| wanted.keeper.path == keeper.path && boot_difference(wanted).is_some())
    }

    /// What a file has of other prefixes, and all that is wanted in it.
    fn with_the_wanted(&self, keeper: &Keeper) -> Vec<Route> {
        let others = keeper.routes.iter().filter(|route| self.of(keeper).all(|wanted| wanted.prefix != route.prefix));
        others.chain(self.of(keeper)).cloned().collect()
    }

    /// Whether the kernel has this route and nobody wants another one in its place.
    fn is_in_force(&self, route: &Route) -> bool {
        let is_wanted = self.wanted.iter().any(|wanted| wanted.route.prefix == route.prefix);
        !is_wanted && KernelRoute::of(&self.table, route.prefix).is_some_and(|present| present.is(route))
    }
}

/// Takes out of force what is not wanted, and then out of the files.
async fn remove(remote: &Remote<'_>, actual: &ActualRoutes) -> Result<(), ActionError> {
    for (_, route) in actual.stale().filter(|(_, route)| actual.is_in_force(route)) {
        kernel_route::delete(remote, route).await?;
    }
    let mut changed: Vec<&Keeper> = actual.stale().map(|(keeper, _)| keeper).collect();
    changed.dedup();
    for keeper in changed {
        let left: Vec<Route> = actual.of(keeper).cloned().collect();
        route_keeper::write(remote, keeper, &left).await?;
    }
    Ok(())
}

/// Finds out the devices, each neighbour's once.
async fn resolve(remote: &Remote<'_>, specs: impl Iterator<Item = &RouteSpec>) -> Result<Vec<Route>, ActionError> {
    let mut devices: BTreeMap<Ipv4Addr, String> = BTreeMap::new();
    let mut routes = Vec::new();
    for spec in specs {
        let device = match (&spec.device, devices.get(&spec.via)) {
            (Some(device), _) => check_device(device)?,
            (None, Some(device)) => device.clone(),
            (None, None) => kernel_route::device_towards(remote, spec.via).await?,
        };
        if spec.device.is_none() {
            devices.insert(spec.via, device.clone());
        }
        routes.push(Route { prefix: spec.prefix, via: spec.via, device });
    }
    Ok(routes)
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
        Some(present) if present == route && !keeper.is_enabled() => {
            Some(Difference::new(what, "not enabled", route_service::NAME))
        }
        Some(present) if present == route => None,
        Some(present) => Some(Difference::new(what, present.way(), route.way())),
        None => Some(Difference::missing(what, route.way())),
    }
}
