use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    ArmClient, ResourceId,
    arm::Condition,
    live::Live,
    name::{GroupName, NetworkName},
    permission::{NETWORK_OPERATIONS, arm},
    prefix::Prefix,
    route::{APPLIANCE, is_hop, name_of, prefix, routes},
    route_table::ROUTE_TABLE,
};

/// What the names of routes begin with that are ours to change and to remove.
const OURS: &str = "stargate-";

/// `azure.routes.sync`.
pub(crate) struct RoutesSync(pub(crate) ArmClient);

/// Which routes of ours a table is to have. Routes whose names do not begin with `stargate-` are left alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoutesSyncInput {
    /// Resource group of the route table.
    resource_group: GroupName,
    /// Name of the route table.
    route_table: NetworkName,
    /// Every route that is to be there; matched by prefix.
    routes: Vec<WantedRoute>,
    /// Whether routes of ours for other prefixes are removed.
    #[serde(default)]
    prune: bool,
    /// The largest share of the routes of ours that one run may remove.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    max_prune_share: f64,
    /// Whether an empty list of routes is what is wanted, and no listing that failed: all routes of ours are removed then,
    /// whatever `max_prune_share` says. It says nothing of a list that is not empty.
    #[serde(default)]
    empty_is_meant: bool,
}

/// One route that is to be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedRoute {
    /// Where packets go that the route is for.
    prefix: Prefix,
    /// The address of the router that takes them.
    next_hop_ip: IpAddr,
}

/// The routes in force.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RoutesSyncOutput {
    /// Every wanted prefix.
    pub prefixes: Vec<String>,
    /// How many routes the table has in all.
    pub count: usize,
}

/// What is to be done to one route.
enum Change {
    Add(WantedRoute),
    Turn(Live, IpAddr),
    Remove(Live),
}

/// The routes of a table, found by what they are for and by name.
struct Present {
    routes: Vec<Live>,
    by_prefix: HashMap<Prefix, usize>,
    by_name: HashMap<String, usize>,
}

impl Present {
    fn of(table: &Live) -> Self {
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

    fn leading_to(&self, prefix: &Prefix) -> Option<&Live> {
        self.by_prefix.get(prefix).map(|at| &self.routes[*at])
    }

    fn named(&self, name: &NetworkName) -> Option<&Live> {
        self.by_name.get(&name.as_str().to_ascii_lowercase()).map(|at| &self.routes[*at])
    }
}

fn half() -> f64 {
    0.5
}

impl RoutesSync {
    fn table(&self, wanted: &RoutesSyncInput) -> ResourceId {
        self.0.group(&wanted.resource_group).resource(ROUTE_TABLE, &wanted.route_table)
    }

    /// One route is written by itself, which leaves the others of the table to others meanwhile.
    async fn alone(&self, cx: &ActionContext, table: &Live, change: &Change) -> Result<(), ActionError> {
        match change {
            Change::Add(route) => {
                let id = table.id.child("routes", name_of(&route.prefix)?);
                self.0.put(cx, &id, body(route)?, Some(Condition::Absent)).await
            }
            Change::Turn(route, hop) => {
                self.0.put(cx, &route.id, turned(route, *hop), Condition::unchanged(route)).await
            }
            Change::Remove(route) => self.0.delete(cx, &route.id, Condition::unchanged(route)).await,
        }
    }

    /// However many routes change, they are one write of the table.
    async fn at_once(&self, cx: &ActionContext, table: &Live, changes: Vec<Change>) -> Result<(), ActionError> {
        let mut body = table.body.clone();
        let mut all: Vec<Value> = routes(table).into_iter().map(|route| route.body).collect();
        for change in changes {
            match change {
                Change::Add(route) => all.push(self::body(&route)?),
                Change::Turn(route, hop) => {
                    all.iter_mut().filter(|it| it["id"] == route.body["id"]).for_each(|it| *it = turned(&route, hop));
                }
                Change::Remove(route) => all.retain(|it| it["id"] != route.body["id"]),
            }
        }
        body["properties"]["routes"] = all.into();
        self.0.put(cx, &table.id, body, Condition::unchanged(table)).await
    }
}

impl Resource for RoutesSync {
    type Desired = RoutesSyncInput;
    type Actual = Live;
    type Output = RoutesSyncOutput;
    const NAME: &'static str = "azure.routes.sync";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Makes sure that a route table has exactly the wanted routes of ours, changing only the difference.";

    async fn read(&self, cx: &ActionContext, wanted: &RoutesSyncInput) -> Result<Option<Live>, ActionError> {
        let id = self.table(wanted);
        let table = self.0.get_settled(cx, &id).await?;
        table.map(Some).ok_or_else(|| {
            ActionError::permanent("not found").context(id.label()).with_hint("make the route table first")
        })
    }

    fn diff(&self, wanted: &RoutesSyncInput, actual: Option<&Live>) -> Result<Vec<Difference>, ActionError> {
        let Some(table) = actual else {
            return Ok(vec![Difference::missing(self.table(wanted).label(), wanted.routes.len())]);
        };
        let changes = changes(wanted, table).map_err(|e| e.context(table.id.label()))?;
        Ok(changes.iter().map(difference).chain(table.failed_state()).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &RoutesSyncInput,
        _: Option<&Live>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let _writer = self.0.hold(cx, &[&self.table(wanted)]).await?;
        let Some(table) = self.read(cx, wanted).await? else { return Ok(()) };
        let changes = changes(wanted, &table).map_err(|e| e.context(table.id.label()))?;
        match changes.as_slice() {
            [change] if !table.has_failed() => self.alone(cx, &table, change).await,
            [] if !table.has_failed() => Ok(()),
            _ => self.at_once(cx, &table, changes).await,
        }
    }

    fn output(
        &self,
        _: &ActionContext,
        wanted: &RoutesSyncInput,
        table: &Live,
    ) -> Result<RoutesSyncOutput, ActionError> {
        let prefixes = wanted.routes.iter().map(|route| route.prefix.to_string()).collect();
        Ok(RoutesSyncOutput { prefixes, count: routes(table).len() })
    }

    async fn resume(&self, cx: &ActionContext, _: &RoutesSyncInput, checkpoint: Value) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for RoutesSync {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Network/routeTables/read"),
        arm("Microsoft.Network/routeTables/write"),
        arm("Microsoft.Network/routeTables/routes/read"),
        arm("Microsoft.Network/routeTables/routes/write"),
        arm("Microsoft.Network/routeTables/routes/delete"),
        NETWORK_OPERATIONS,
    ];
}

/// What is to be done, removals last: no prefix is without a route meanwhile.
fn changes(wanted: &RoutesSyncInput, table: &Live) -> Result<Vec<Change>, ActionError> {
    let wanted_routes = without_repetition(&wanted.routes)?;
    let present = Present::of(table);
    let mut changes = Vec::new();
    for route in &wanted_routes {
        changes.extend(change(route, &present)?);
    }
    if wanted.prune {
        changes.extend(removals(wanted, &wanted_routes, &present.routes)?);
    }
    Ok(changes)
}

fn without_repetition(routes: &[WantedRoute]) -> Result<Vec<WantedRoute>, ActionError> {
    let mut once: Vec<WantedRoute> = Vec::with_capacity(routes.len());
    let mut hops: HashMap<Prefix, IpAddr> = HashMap::with_capacity(routes.len());
    for route in routes {
        match hops.insert(route.prefix, route.next_hop_ip) {
            None => once.push(route.clone()),
            Some(hop) if hop == route.next_hop_ip => {}
            Some(hop) => {
                let another = route.next_hop_ip;
                return Err(ActionError::permanent(format!(
                    "{} is wanted by way of {hop} and of {another}",
                    route.prefix
                )));
            }
        }
    }
    Ok(once)
}

fn change(wanted: &WantedRoute, present: &Present) -> Result<Option<Change>, ActionError> {
    let Some(route) = present.leading_to(&wanted.prefix) else {
        return match present.named(&name_of(&wanted.prefix)?) {
            None => Ok(Some(Change::Add(wanted.clone()))),
            Some(other) => Err(taken(wanted, other)),
        };
    };
    match is_hop(route, wanted.next_hop_ip) && !route.has_failed() {
        true => Ok(None),
        false if is_ours(route) => Ok(Some(Change::Turn(route.clone(), wanted.next_hop_ip))),
        false => Err(foreign(wanted, route)),
    }
}

fn removals(
    wanted: &RoutesSyncInput,
    wanted_routes: &[WantedRoute],
    actual: &[Live],
) -> Result<Vec<Change>, ActionError> {
    let ours: Vec<&Live> = actual.iter().filter(|route| is_ours(route)).collect();
    let prefixes: HashSet<Prefix> = wanted_routes.iter().map(|it| it.prefix).collect();
    let is_wanted = |route: &Live| prefix(route).is_some_and(|prefix| prefixes.contains(&prefix));
    let stale: Vec<Change> =
        ours.iter().filter(|route| !is_wanted(route)).map(|route| Change::Remove((*route).clone())).collect();
    if wanted_routes.is_empty() && wanted.empty_is_meant {
        return Ok(stale);
    }
    if wanted_routes.is_empty() && !stale.is_empty() {
        return Err(ActionError::permanent(format!("no route is wanted, so the {} that are there stay", stale.len()))
            .with_hint(
                "an empty list is more likely a listing that failed; say `empty_is_meant: true` if it is none",
            ));
    }
    if share(stale.len(), ours.len()) > wanted.max_prune_share {
        return Err(too_many(wanted, stale.len(), ours.len()));
    }
    Ok(stale)
}

fn share(part: usize, whole: usize) -> f64 {
    let count = |n: usize| u32::try_from(n).map_or(f64::from(u32::MAX), f64::from);
    if whole == 0 { 0.0 } else { count(part) / count(whole) }
}

fn is_ours(route: &Live) -> bool {
    route.name().get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}

fn too_many(wanted: &RoutesSyncInput, stale: usize, ours: usize) -> ActionError {
    let share = wanted.max_prune_share;
    ActionError::permanent(format!("{stale} of its {ours} routes would be removed, more than the share {share}"))
        .with_hint("look why so many prefixes are gone; raise `max_prune_share` if it is meant")
}

fn taken(wanted: &WantedRoute, other: &Live) -> ActionError {
    let prefix = other.text("/properties/addressPrefix").unwrap_or("another prefix");
    ActionError::permanent(format!("the name {:?}, which {} needs, is that of {prefix}", other.name(), wanted.prefix))
        .with_hint("rename or remove that route")
}

fn foreign(wanted: &WantedRoute, route: &Live) -> ActionError {
    let hop = route.text("/properties/nextHopIpAddress").unwrap_or("elsewhere");
    ActionError::permanent(format!(
        "route {:?} is not ours and sends {} to {hop}, not to {}",
        route.name(),
        wanted.prefix,
        wanted.next_hop_ip
    ))
    .with_hint("change or remove that route by hand")
}

fn difference(change: &Change) -> Difference {
    let hop = |route: &Live| route.text("/properties/nextHopIpAddress").map(str::to_owned);
    let what = |route: &Live| format!("route {}", route.text("/properties/addressPrefix").unwrap_or("?"));
    match change {
        Change::Add(route) => Difference::missing(format!("route {}", route.prefix), route.next_hop_ip.to_string()),
        Change::Turn(route, to) => Difference::new(what(route), hop(route), to.to_string()),
        Change::Remove(route) => Difference::new(what(route), hop(route).unwrap_or_default(), Value::Null),
    }
}

fn turned(route: &Live, hop: IpAddr) -> Value {
    let mut body = route.body.clone();
    body["properties"]["nextHopType"] = APPLIANCE.into();
    body["properties"]["nextHopIpAddress"] = hop.to_string().into();
    body
}

fn body(route: &WantedRoute) -> Result<Value, ActionError> {
    Ok(json!({
        "name": name_of(&route.prefix)?,
        "properties": {
            "addressPrefix": route.prefix,
            "nextHopType": APPLIANCE,
            "nextHopIpAddress": route.next_hop_ip,
        },
    }))
}
