use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use azure_mgmt_network::package_2024_03::models::Route;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_client::Prefix;
use stargate_sdk::{ActionContext, ActionError, Difference, Permission};

use crate::{
    actions::{
        route::{ROUTE, has_next_hop, model, prefix, read_table, routes, with_next_hop},
        route_table::RouteTableInput,
    },
    arm_resource::{ArmEnsure, ArmResource},
    client::{ArmClient, ArmObject, ClusterName, GroupName, NetworkName, Precondition, ResourceId, ResourceType, body},
    permission::{on, read_and_write},
    route_owner::RouteOwner,
};

/// Desired managed routes of a route table. Routes of other clusters and of other parties are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoutesSyncInput {
    /// Resource group of the route table.
    resource_group: GroupName,
    /// Name of the route table.
    route_table: NetworkName,
    /// Routes that the table must have, matched by prefix.
    routes: Vec<DesiredRoute>,
    /// Cluster whose routes these are; its name is a part of theirs. If absent, each route whose
    /// name begins with `stargate-` is managed.
    #[serde(default)]
    cluster: Option<ClusterName>,
    /// Subnets that the next hops are in. A route without a cluster in its name, as earlier
    /// versions created it, is managed only if its next hop is in one of them. If absent, any next
    /// hop is.
    #[serde(default)]
    next_hops: Option<Vec<Prefix>>,
    /// True if managed routes for other prefixes are deleted.
    #[serde(default)]
    prune: bool,
    /// Largest share of the managed routes that one run may delete, from 0 to 1.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    max_prune_share: f64,
    /// True if an empty list of routes is intended and not the result of a failed listing.
    ///
    /// All managed routes are deleted then, regardless of `max_prune_share`. Ignored if the list is
    /// not empty.
    #[serde(default)]
    empty_is_meant: bool,
}

/// Desired state of one managed route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DesiredRoute {
    /// Destination prefix of the packets.
    prefix: Prefix,
    /// Private address of the router that is the next hop.
    next_hop_ip: IpAddr,
}

/// Route table with the desired routes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RoutesSyncOutput {
    /// Prefixes of the desired routes.
    pub prefixes: Vec<String>,
    /// Number of all routes in the table.
    pub count: usize,
}

/// Change to one route of a table.
enum RouteChange {
    /// A new route, with its name.
    Add(DesiredRoute, NetworkName),
    SetNextHop(ArmObject, IpAddr),
    /// A route of an earlier version that gets the name of the cluster. One write of the table does
    /// it, because Azure refuses two routes for one prefix.
    Rename(ArmObject, NetworkName),
    Delete(ArmObject),
}

/// Routes of a table, indexed by prefix and by name in lower case.
struct RouteIndex {
    routes: Vec<ArmObject>,
    by_prefix: HashMap<Prefix, usize>,
    by_name: HashMap<String, usize>,
}

impl RouteIndex {
    /// Indexes the routes of a table. Of two routes with one key, the first one counts.
    fn of(table: &ArmObject) -> Self {
        let routes = routes(table);
        let (mut by_prefix, mut by_name) = (HashMap::new(), HashMap::new());
        for (at, route) in routes.iter().enumerate() {
            by_name.entry(route.name().to_ascii_lowercase()).or_insert(at);
            if let Some(prefix) = prefix(route) {
                by_prefix.entry(prefix).or_insert(at);
            }
        }
        Self { routes, by_prefix, by_name }
    }

    fn with_prefix(&self, prefix: Prefix) -> Option<&ArmObject> {
        self.by_prefix.get(&prefix).map(|at| &self.routes[*at])
    }

    fn with_name(&self, name: &NetworkName) -> Option<&ArmObject> {
        self.by_name.get(&name.as_str().to_ascii_lowercase()).map(|at| &self.routes[*at])
    }
}

fn half() -> f64 {
    0.5
}

impl RoutesSyncInput {
    fn table(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(RouteTableInput::TYPE, &self.route_table)
    }

    fn owner(&self) -> RouteOwner<'_> {
        RouteOwner { cluster: self.cluster.as_ref(), next_hops: self.next_hops.as_deref() }
    }
}

impl ArmEnsure for RoutesSyncInput {
    type Actual = ArmObject;
    type Output = RoutesSyncOutput;
    const NAME: &'static str = "azure.routes.sync";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str =
        "Makes sure that a route table has exactly the desired managed routes, changing only the difference.";
    const TYPES: &'static [ResourceType] = &[RouteTableInput::TYPE, ROUTE];

    fn permissions() -> Vec<Permission> {
        let mut permissions = read_and_write(RouteTableInput::TYPE);
        permissions.extend([on(ROUTE, "read"), on(ROUTE, "write"), on(ROUTE, "delete")]);
        permissions
    }

    async fn read(&self, cx: &ActionContext, arm: &ArmClient) -> Result<Option<ArmObject>, ActionError> {
        read_table(cx, arm, &self.table(arm)).await.map(Some)
    }

    fn diff(&self, arm: &ArmClient, actual: Option<&ArmObject>) -> Result<Vec<Difference>, ActionError> {
        let Some(table) = actual else {
            return Ok(vec![Difference::missing(self.table(arm).label(), self.routes.len())]);
        };
        let changes = changes(self, table).map_err(|e| e.context(table.id.label()))?;
        Ok(changes.iter().map(difference).chain(table.failed_state()).collect())
    }

    async fn apply(&self, cx: &ActionContext, arm: &ArmClient, _: Option<&ArmObject>) -> Result<(), ActionError> {
        let id = self.table(arm);
        let _guard = arm.lock_for_write(cx, &[&id]).await?;
        let table = read_table(cx, arm, &id).await?;
        let changes = changes(self, &table).map_err(|e| e.context(id.label()))?;
        match changes.as_slice() {
            [change] if !table.has_failed() && !matches!(change, RouteChange::Rename(..)) => {
                write_route(cx, arm, &id, change).await
            }
            [] if !table.has_failed() => Ok(()),
            _ => write_table(cx, arm, &table, changes).await,
        }
    }

    fn output(&self, _: &ActionContext, _: &ArmClient, table: &ArmObject) -> Result<RoutesSyncOutput, ActionError> {
        let prefixes = self.routes.iter().map(|route| route.prefix.to_string()).collect();
        Ok(RoutesSyncOutput { prefixes, count: routes(table).len() })
    }
}

/// Writes one route alone, so that other clients can write the table's other routes meanwhile.
async fn write_route(
    cx: &ActionContext,
    arm: &ArmClient,
    table: &ResourceId,
    change: &RouteChange,
) -> Result<(), ActionError> {
    match change {
        RouteChange::Add(route, name) => {
            arm.put(cx, &table.child(ROUTE, name), new_body(route, name), Some(Precondition::Absent)).await
        }
        RouteChange::Rename(..) => Ok(()), // written with the table
        RouteChange::SetNextHop(route, hop) => {
            arm.put(cx, &route.id, with_next_hop(route, *hop), Precondition::unchanged(route)).await
        }
        RouteChange::Delete(route) => arm.delete(cx, &route.id, Precondition::unchanged(route)).await,
    }
}

/// Writes the table with all changes: any number of them takes one request.
async fn write_table(
    cx: &ActionContext,
    arm: &ArmClient,
    table: &ArmObject,
    changes: Vec<RouteChange>,
) -> Result<(), ActionError> {
    let mut bodies: Vec<Value> = routes(table).into_iter().map(|route| route.body).collect();
    for change in changes {
        match change {
            RouteChange::Add(route, name) => bodies.push(new_body(&route, &name)),
            RouteChange::Rename(route, name) => {
                bodies.retain(|it| it["id"] != route.body["id"]);
                bodies.push(json!({ "name": name.to_string(), "properties": route.body["properties"] }));
            }
            RouteChange::SetNextHop(route, hop) => {
                let own = bodies.iter_mut().filter(|it| it["id"] == route.body["id"]);
                own.for_each(|it| *it = with_next_hop(&route, hop));
            }
            RouteChange::Delete(route) => bodies.retain(|it| it["id"] != route.body["id"]),
        }
    }
    let mut body = table.body.clone();
    body["properties"]["routes"] = bodies.into();
    arm.put(cx, &table.id, body, Precondition::unchanged(table)).await
}

/// Computes the changes, deletions last, so that no desired prefix is without a route meanwhile.
fn changes(desired: &RoutesSyncInput, table: &ArmObject) -> Result<Vec<RouteChange>, ActionError> {
    let desired_routes = without_duplicates(&desired.routes)?;
    let actual = RouteIndex::of(table);
    let mut changes = Vec::new();
    let owner = desired.owner();
    for route in &desired_routes {
        changes.extend(change(route, &actual, &owner)?);
    }
    if desired.prune {
        changes.extend(deletions(desired, &desired_routes, &actual.routes)?);
    }
    Ok(changes)
}

/// Desired routes, each once.
///
/// # Errors
/// `Permanent` for a prefix with two next hops.
fn without_duplicates(routes: &[DesiredRoute]) -> Result<Vec<DesiredRoute>, ActionError> {
    let mut unique: Vec<DesiredRoute> = Vec::with_capacity(routes.len());
    let mut hops: HashMap<Prefix, IpAddr> = HashMap::with_capacity(routes.len());
    for route in routes {
        match hops.insert(route.prefix, route.next_hop_ip) {
            None => unique.push(route.clone()),
            Some(hop) if hop == route.next_hop_ip => {}
            Some(hop) => {
                let (prefix, other) = (route.prefix, route.next_hop_ip);
                return Err(ActionError::permanent(format!("{prefix} has two desired next hops: {hop} and {other}")));
            }
        }
    }
    Ok(unique)
}

/// Computes the change for one desired route; `None` if it exists as desired.
///
/// # Errors
/// `Permanent`, if an unmanaged route has the prefix or the name.
fn change(
    desired: &DesiredRoute,
    actual: &RouteIndex,
    owner: &RouteOwner<'_>,
) -> Result<Option<RouteChange>, ActionError> {
    let name = owner.name(desired.prefix)?;
    let Some(route) = actual.with_prefix(desired.prefix) else {
        return match actual.with_name(&name) {
            None => Ok(Some(RouteChange::Add(desired.clone(), name))),
            Some(other) => Err(name_conflict_error(desired, &name, other)),
        };
    };
    match has_next_hop(route, desired.next_hop_ip) && !route.has_failed() {
        true if owner.cluster.is_some() && owner.has_earlier_name(route) => {
            Ok(Some(RouteChange::Rename(route.clone(), name)))
        }
        true => Ok(None),
        false if owner.owns(route) => Ok(Some(RouteChange::SetNextHop(route.clone(), desired.next_hop_ip))),
        false => Err(not_managed_error(desired, route)),
    }
}

/// Computes the deletions of managed routes that are no longer desired.
///
/// # Errors
/// `Permanent`, if the list is empty without `empty_is_meant`, or if the share is too large: a
/// listing that failed must not remove the routes of running nodes.
fn deletions(
    desired: &RoutesSyncInput,
    desired_routes: &[DesiredRoute],
    actual: &[ArmObject],
) -> Result<Vec<RouteChange>, ActionError> {
    let prefixes: HashSet<Prefix> = desired_routes.iter().map(|it| it.prefix).collect();
    let is_stale = |route: &ArmObject| prefix(route).is_none_or(|prefix| !prefixes.contains(&prefix));
    let managed: Vec<&ArmObject> = actual.iter().filter(|route| desired.owner().owns(route)).collect();
    let stale: Vec<&ArmObject> = managed.iter().copied().filter(|route| is_stale(route)).collect();
    if desired_routes.is_empty() && !desired.empty_is_meant && !stale.is_empty() {
        return Err(empty_list_error(stale.len()));
    }
    let is_emptied = desired_routes.is_empty() && desired.empty_is_meant;
    if !is_emptied && share(stale.len(), managed.len()) > desired.max_prune_share {
        return Err(too_many_error(desired, stale.len(), managed.len()));
    }
    Ok(stale.into_iter().cloned().map(RouteChange::Delete).collect())
}

/// Share of `part` in `whole`, from 0 to 1; 0 if `whole` is 0.
fn share(part: usize, whole: usize) -> f64 {
    let count = |n: usize| u32::try_from(n).map_or(f64::from(u32::MAX), f64::from);
    if whole == 0 { 0.0 } else { count(part) / count(whole) }
}

fn empty_list_error(stale: usize) -> ActionError {
    ActionError::permanent(format!("the list of desired routes is empty, so its {stale} managed routes are kept"))
        .with_hint("check the listing that the routes come from; set `empty_is_meant: true` if the list is correct")
}

fn too_many_error(desired: &RoutesSyncInput, stale: usize, managed: usize) -> ActionError {
    let share = desired.max_prune_share;
    ActionError::permanent(format!(
        "{stale} of its {managed} managed routes would be deleted, more than the share {share}"
    ))
    .with_hint("check why these prefixes are no longer desired; raise `max_prune_share` if they are not")
}

fn name_conflict_error(desired: &DesiredRoute, name: &NetworkName, other: &ArmObject) -> ActionError {
    let prefix = other.text("/properties/addressPrefix").unwrap_or("another prefix");
    ActionError::permanent(format!("the name \"{name}\", which {} needs, is that of {prefix}", desired.prefix))
        .with_hint("rename or remove that route")
}

fn not_managed_error(desired: &DesiredRoute, route: &ArmObject) -> ActionError {
    let hop = route.text("/properties/nextHopIpAddress").unwrap_or("elsewhere");
    let DesiredRoute { prefix, next_hop_ip } = desired;
    ActionError::permanent(format!(
        "route {:?} is not managed and sends {prefix} to {hop}, not to {next_hop_ip}",
        route.name()
    ))
    .with_hint("change or remove that route by hand")
}

/// Difference that a change removes, for preview and progress.
fn difference(change: &RouteChange) -> Difference {
    let hop = |route: &ArmObject| route.text("/properties/nextHopIpAddress").map(str::to_owned);
    let what = |route: &ArmObject| format!("route {}", route.text("/properties/addressPrefix").unwrap_or("?"));
    match change {
        RouteChange::Add(route, _) => {
            Difference::missing(format!("route {}", route.prefix), route.next_hop_ip.to_string())
        }
        RouteChange::SetNextHop(route, to) => Difference::new(what(route), hop(route), to.to_string()),
        RouteChange::Rename(route, name) => {
            Difference::new(format!("name of {}", what(route)), route.name(), name.to_string())
        }
        RouteChange::Delete(route) => Difference::new(what(route), hop(route).unwrap_or_default(), Value::Null),
    }
}

/// Body of a new route, alone or in the body of its table, where the name identifies it.
fn new_body(route: &DesiredRoute, name: &NetworkName) -> Value {
    let properties = Some(model(route.prefix, route.next_hop_ip));
    body(&Route { name: Some(name.to_string()), properties, ..Route::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_a_new_route_has_name_prefix_and_next_hop() {
        let route: DesiredRoute =
            serde_json::from_value(json!({"prefix": "10.50.0.0/16", "next_hop_ip": "10.237.0.4"})).expect("route");
        let expected = json!({"name": "stargate-10.50.0.0-16", "properties": {"addressPrefix": "10.50.0.0/16",
            "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.237.0.4"}});
        let name = NetworkName::parse("stargate-10.50.0.0-16").expect("a name");
        assert_eq!(new_body(&route, &name), expected);
    }
}
