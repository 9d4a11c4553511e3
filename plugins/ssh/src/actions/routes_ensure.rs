use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::{check_prefixes, check_share};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    SshHost,
    client::ConnectionPool,
    client::Remote,
    operations::{
        kernel_route::{self, KernelRoute, ManagedRoute},
        route_file::{self, RouteFile},
        route_service,
    },
};

/// Desired kernel routes of a host, in addition to those that it has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoutesEnsureInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Routes to install.
    pub routes: Vec<RouteSpec>,
    /// Address of the host itself. Routes through it are for its neighbours and are not installed.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub except_via: Option<Ipv4Addr>,
    /// Remove other managed routes. A route is managed if it is in one of the files of this action;
    /// all others stay.
    #[serde(default)]
    pub exact: bool,
    /// Largest share of the managed routes that one run may remove, from 0 to 1.
    #[serde(default = "stargate_client::whole_share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_prune_share: f64,
}

/// A route through a neighbour.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteSpec {
    /// Destination of the packets, without host bits.
    #[schemars(with = "String")]
    pub prefix: Ipv4Net,
    /// Address of the gateway.
    #[schemars(with = "String")]
    pub via: Ipv4Addr,
    /// Network device of the gateway. If absent, it is looked up in the kernel.
    #[serde(default)]
    pub device: Option<String>,
}

/// Route that is in force, now and after a reboot.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InstalledRoute {
    /// Destination of the packets.
    pub prefix: String,
    /// Address of the gateway.
    pub via: String,
    /// Network device of the gateway.
    pub device: String,
    /// Path of the file that sets it at boot.
    pub file: String,
}

/// Routes that are in force.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RoutesEnsureOutput {
    /// Requested routes, in their order.
    pub routes: Vec<InstalledRoute>,
}

/// Action `ssh.routes.ensure`: installs kernel routes now, and writes them to a file that sets them
/// at boot.
///
/// A route of the kernel that is in no file of this action was made by others: it is replaced if
/// its prefix is desired, and never removed. A connected network is never replaced, because the
/// host would lose its connection.
pub(crate) struct RoutesEnsure {
    pool: Arc<ConnectionPool>,
}

/// The kernel's main table, and the files of all devices that are concerned: those of the desired
/// routes, and with `exact` those of every device that can have a managed route.
pub(crate) struct ActualRoutes {
    table: Vec<KernelRoute>,
    desired: Vec<ResolvedRoute>,
    /// Files that were read, without duplicates.
    files: Vec<RouteFile>,
}

/// A desired route with its device and its file.
struct ResolvedRoute {
    route: ManagedRoute,
    file: RouteFile,
}

impl RoutesEnsure {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for RoutesEnsure {}

impl Resource for RoutesEnsure {
    type Desired = RoutesEnsureInput;
    type Actual = ActualRoutes;
    type Output = RoutesEnsureOutput;
    const NAME: &'static str = "ssh.routes.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Installs kernel routes, now and after a reboot.";

    async fn read(&self, cx: &ActionContext, desired: &RoutesEnsureInput) -> Result<Option<ActualRoutes>, ActionError> {
        check_prefixes("route", desired.routes.iter().map(|spec| spec.prefix.into()))?;
        let remote = self.pool.remote(cx, &desired.host)?;
        let table = kernel_route::main_table(&remote).await?;
        let specs = desired.routes.iter().filter(|spec| Some(spec.via) != desired.except_via);
        let routes = resolve(&remote, specs).await?;
        let mut devices: BTreeSet<&str> = routes.iter().map(|route| route.device.as_str()).collect();
        if desired.exact {
            devices.extend(table.iter().filter_map(KernelRoute::gateway_device));
        }
        let mut files: Vec<(&str, RouteFile)> = Vec::new();
        for device in devices {
            files.push((device, route_file::of_device(&remote, device).await?));
        }
        let file =
            |route: &ManagedRoute| files.iter().find(|(device, _)| *device == route.device).map(|(_, it)| it.clone());
        let resolved =
            routes.iter().filter_map(|route| Some(ResolvedRoute { route: route.clone(), file: file(route)? }));
        let resolved = resolved.collect();
        let mut files: Vec<RouteFile> = files.into_iter().map(|(_, file)| file).collect();
        // Devices that networkd does not manage share a file.
        files.sort_by(|one, other| one.path.cmp(&other.path));
        files.dedup();
        Ok(Some(ActualRoutes { table, desired: resolved, files }))
    }

    fn diff(&self, desired: &RoutesEnsureInput, actual: Option<&ActualRoutes>) -> Result<Vec<Difference>, ActionError> {
        let mut differences = Vec::new();
        let Some(actual) = actual else { return Ok(differences) };
        for resolved in &actual.desired {
            differences.extend(kernel_difference(&actual.table, &resolved.route)?);
            differences.extend(boot_difference(resolved));
        }
        if desired.exact {
            let managed = actual.files.iter().map(|file| file.routes.len()).sum();
            check_share("kernel routes", actual.stale().count(), managed, desired.max_prune_share)
                .map_err(|e| e.context(format_args!("host {}", desired.host)))?;
        }
        for (_, route) in actual.stale().filter(|_| desired.exact) {
            let removal = |what: String| Difference::new(what, route.next_hop(), Value::Null);
            differences.extend(actual.is_in_force(route).then(|| removal(format!("route {}", route.prefix))));
            differences.push(removal(format!("route {} at boot", route.prefix)));
        }
        Ok(differences)
    }

    // A route is written to its file before it is installed, and removed from it last. If the
    // attempt is interrupted in between, the route is still known as managed.
    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &RoutesEnsureInput,
        actual: Option<&ActualRoutes>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let Some(actual) = actual else { return Ok(()) };
        let remote = self.pool.remote(cx, &desired.host)?;
        for file in actual.files.iter().filter(|file| actual.differs_from_desired(file)) {
            route_file::write(&remote, file, &actual.merged_routes(file)).await?;
        }
        for ResolvedRoute { route, .. } in &actual.desired {
            if kernel_difference(&actual.table, route)?.is_some() {
                kernel_route::replace(&remote, route).await?;
            }
        }
        if desired.exact { remove_stale(&remote, actual).await } else { Ok(()) }
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &RoutesEnsureInput,
        actual: &ActualRoutes,
    ) -> Result<RoutesEnsureOutput, ActionError> {
        let installed = |ResolvedRoute { route, file }: &ResolvedRoute| InstalledRoute {
            prefix: route.prefix.to_string(),
            via: route.via.to_string(),
            device: route.device.clone(),
            file: file.path.clone(),
        };
        Ok(RoutesEnsureOutput { routes: actual.desired.iter().map(installed).collect() })
    }
}

impl ActualRoutes {
    /// Routes of files that are not desired.
    ///
    /// A route whose device has changed is stale in the file of its old device.
    fn stale(&self) -> impl Iterator<Item = (&RouteFile, &ManagedRoute)> {
        let present = self.files.iter().flat_map(|file| file.routes.iter().map(move |route| (file, route)));
        present.filter(|(file, route)| self.desired_in(file).all(|desired| desired.prefix != route.prefix))
    }

    /// Desired routes of a file.
    fn desired_in(&self, file: &RouteFile) -> impl Iterator<Item = &ManagedRoute> {
        self.desired.iter().filter(|resolved| resolved.file.path == file.path).map(|resolved| &resolved.route)
    }

    /// True if a desired route of the file is missing from it or differs.
    fn differs_from_desired(&self, file: &RouteFile) -> bool {
        self.desired.iter().any(|resolved| resolved.file.path == file.path && boot_difference(resolved).is_some())
    }

    /// Routes of the file to other prefixes, followed by its desired routes.
    fn merged_routes(&self, file: &RouteFile) -> Vec<ManagedRoute> {
        let others =
            file.routes.iter().filter(|route| self.desired_in(file).all(|desired| desired.prefix != route.prefix));
        others.chain(self.desired_in(file)).cloned().collect()
    }

    /// True if the kernel has this route, and no other one to its prefix is desired.
    fn is_in_force(&self, route: &ManagedRoute) -> bool {
        let is_desired = self.desired.iter().any(|resolved| resolved.route.prefix == route.prefix);
        !is_desired
            && KernelRoute::find(&self.table, route.prefix).is_some_and(|present| present.has_next_hop_of(route))
    }
}

/// Removes routes that are not desired, first from the kernel and then from the files.
///
/// A route to a prefix that is desired through another device stays in the kernel, where it has
/// been replaced already.
async fn remove_stale(remote: &Remote<'_>, actual: &ActualRoutes) -> Result<(), ActionError> {
    for (_, route) in actual.stale().filter(|(_, route)| actual.is_in_force(route)) {
        kernel_route::delete(remote, route).await?;
    }
    let mut changed: Vec<&RouteFile> = actual.stale().map(|(file, _)| file).collect();
    changed.dedup();
    for file in changed {
        let remaining: Vec<ManagedRoute> = actual.desired_in(file).cloned().collect();
        route_file::write(remote, file, &remaining).await?;
    }
    Ok(())
}

/// Looks up the devices, once for each gateway.
///
/// The order is that of the input. A device that the input names is not looked up.
///
/// # Errors
/// `Permanent` if a gateway is in no network of the host, or a name is not that of a device.
async fn resolve(
    remote: &Remote<'_>,
    specs: impl Iterator<Item = &RouteSpec>,
) -> Result<Vec<ManagedRoute>, ActionError> {
    let mut devices: BTreeMap<Ipv4Addr, String> = BTreeMap::new();
    let mut routes = Vec::new();
    for spec in specs {
        let device = match (&spec.device, devices.get(&spec.via)) {
            (Some(device), _) => check_device(device)?,
            (None, Some(device)) => device.clone(),
            (None, None) => kernel_route::device_of_gateway(remote, spec.via).await?,
        };
        if spec.device.is_none() {
            devices.insert(spec.via, device.clone());
        }
        routes.push(ManagedRoute { prefix: spec.prefix, via: spec.via, device });
    }
    Ok(routes)
}

/// Checks the name of a network device, which becomes a part of a unit file.
///
/// A line break in it would be another setting of the unit.
fn check_device(device: &str) -> Result<String, ActionError> {
    let fits = device.starts_with(|c: char| c.is_ascii_alphanumeric())
        && device.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
    if fits {
        Ok(device.to_owned())
    } else {
        Err(ActionError::permanent(format!("{device:?} is not a network device")))
    }
}

/// Difference of a desired route to the kernel's table.
///
/// # Errors
/// `Permanent` if the host is connected to the prefix itself.
fn kernel_difference(table: &[KernelRoute], route: &ManagedRoute) -> Result<Option<Difference>, ActionError> {
    let what = format!("route {}", route.prefix);
    match KernelRoute::find(table, route.prefix) {
        Some(present) if present.has_next_hop_of(route) => Ok(None),
        Some(present) if present.is_connected_network() => Err(ActionError::permanent(format!(
            "{what}: the host itself is connected to this network ({})",
            present.next_hop()
        ))),
        Some(present) => Ok(Some(Difference::new(what, present.next_hop(), route.next_hop()))),
        None => Ok(Some(Difference::missing(what, route.next_hop()))),
    }
}

/// Difference of a desired route to the file that sets it at boot.
///
/// A route that is written to a service that is not enabled is a difference: it would be gone after
/// a reboot.
fn boot_difference(resolved: &ResolvedRoute) -> Option<Difference> {
    let ResolvedRoute { route, file } = resolved;
    let what = format!("route {} at boot", route.prefix);
    let present = file.routes.iter().find(|present| present.prefix == route.prefix);
    match present {
        Some(present) if present == route && !file.is_enabled() => {
            Some(Difference::new(what, "not enabled", route_service::NAME))
        }
        Some(present) if present == route => None,
        Some(present) => Some(Difference::new(what, present.next_hop(), route.next_hop())),
        None => Some(Difference::missing(what, route.next_hop())),
    }
}
