use std::net::IpAddr;

use azure_mgmt_network::package_2024_03::models::{Route as RouteModel, RouteNextHopType, RoutePropertiesFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    ArmClient, ResourceId,
    arm::Condition,
    body::body,
    live::Live,
    name::{GroupName, NetworkName},
    permission::{NETWORK_OPERATIONS, arm},
    prefix::Prefix,
    route_table::ROUTE_TABLE,
};

/// The kind of next hop that a router of ours is.
pub(crate) const APPLIANCE: &str = "VirtualAppliance";

/// `azure.route.ensure`.
pub(crate) struct Route(pub(crate) ArmClient);

/// How a route is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteInput {
    /// Resource group of the route table.
    resource_group: GroupName,
    /// Name of the route table.
    route_table: NetworkName,
    /// Name for the route if there is none for the prefix yet; `stargate-` and the prefix by default.
    #[serde(default)]
    name: Option<NetworkName>,
    /// Where packets go that the route is for.
    prefix: Prefix,
    /// The address of the router that takes them.
    next_hop_ip: IpAddr,
}

/// A route.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RouteOutput {
    /// Name of the route, which is an older one's where the prefix had one.
    pub name: String,
    /// Its prefix.
    pub prefix: String,
    /// The address of the next hop.
    pub next_hop_ip: IpAddr,
}

impl Route {
    fn table(&self, wanted: &RouteInput) -> ResourceId {
        self.0.group(&wanted.resource_group).resource(ROUTE_TABLE, &wanted.route_table)
    }

    async fn read_table(&self, cx: &ActionContext, wanted: &RouteInput) -> Result<Live, ActionError> {
        let id = self.table(wanted);
        let table = self.0.get_settled(cx, &id).await?;
        table.ok_or_else(|| {
            ActionError::permanent("not found").context(id.label()).with_hint("make the route table first")
        })
    }
}

impl Resource for Route {
    type Desired = RouteInput;
    type Actual = Live;
    type Output = RouteOutput;
    const NAME: &'static str = "azure.route.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a route table sends a prefix to a router.";

    async fn read(&self, cx: &ActionContext, wanted: &RouteInput) -> Result<Option<Live>, ActionError> {
        let table = self.read_table(cx, wanted).await?;
        // By prefix before name: two routes of one prefix are a conflict, whatever they are called.
        let routes = routes(&table);
        if let Some(route) = routes.iter().find(|route| prefix(route) == Some(wanted.prefix)) {
            return Ok(Some(route.clone()));
        }
        let name = name(wanted)?;
        match routes.iter().find(|route| route.name().eq_ignore_ascii_case(name.as_str())) {
            None => Ok(None),
            Some(other) => Err(name_is_taken(wanted, other)),
        }
    }

    fn diff(&self, wanted: &RouteInput, actual: Option<&Live>) -> Result<Vec<Difference>, ActionError> {
        let Some(route) = actual else {
            return Ok(vec![Difference::missing(format!("route {}", wanted.prefix), wanted.next_hop_ip.to_string())]);
        };
        let kind = route.text("/properties/nextHopType");
        let hop = route.text("/properties/nextHopIpAddress");
        let same_hop = hop.and_then(|hop| hop.parse().ok()) == Some(wanted.next_hop_ip);
        let hop = (!same_hop).then(|| Difference::new("next hop", hop, wanted.next_hop_ip.to_string()));
        let kind = Difference::between("next hop type", kind, APPLIANCE);
        Ok([kind, hop, route.failed_state()].into_iter().flatten().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &RouteInput,
        _: Option<&Live>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let _writer = self.0.hold(cx, &[&self.table(wanted)]).await?;
        match self.read(cx, wanted).await? {
            None => {
                let id = self.table(wanted).child("routes", name(wanted)?);
                self.0.put(cx, &id, new(wanted), Some(Condition::Absent)).await
            }
            Some(route) if self.diff(wanted, Some(&route))?.is_empty() => Ok(()),
            Some(route) => {
                let mut body = route.body.clone();
                body["properties"]["nextHopType"] = APPLIANCE.into();
                body["properties"]["nextHopIpAddress"] = wanted.next_hop_ip.to_string().into();
                self.0.put(cx, &route.id, body, Condition::unchanged(&route)).await
            }
        }
    }

    fn output(&self, _: &ActionContext, wanted: &RouteInput, route: &Live) -> Result<RouteOutput, ActionError> {
        let (prefix, next_hop_ip) = (wanted.prefix.to_string(), wanted.next_hop_ip);
        Ok(RouteOutput { name: route.name().into(), prefix, next_hop_ip })
    }

    async fn resume(&self, cx: &ActionContext, _: &RouteInput, checkpoint: Value) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for Route {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Network/routeTables/read"),
        arm("Microsoft.Network/routeTables/routes/read"),
        arm("Microsoft.Network/routeTables/routes/write"),
        NETWORK_OPERATIONS,
    ];
}

/// The routes in a table's body.
pub(crate) fn routes(table: &Live) -> Vec<Live> {
    let bodies = table.body.pointer("/properties/routes").and_then(Value::as_array).into_iter().flatten();
    bodies.filter_map(|body| Some(Live::part(body["id"].as_str()?.parse().ok()?, body))).collect()
}

/// What a route is for; `None` for a service tag.
pub(crate) fn prefix(route: &Live) -> Option<Prefix> {
    route.text("/properties/addressPrefix")?.parse().ok()
}

/// Whether a route leads to the router with this address.
pub(crate) fn is_hop(route: &Live, hop: IpAddr) -> bool {
    let address = route.text("/properties/nextHopIpAddress").and_then(|hop| hop.parse().ok());
    route.text("/properties/nextHopType") == Some(APPLIANCE) && address == Some(hop)
}

/// The name of our route for a prefix.
pub(crate) fn name_of(prefix: &Prefix) -> Result<NetworkName, ActionError> {
    NetworkName::parse(format!("stargate-{}", prefix.name_part()))
        .map_err(|e| ActionError::permanent(e.to_string()).with_hint("give the route a name"))
}

fn name(wanted: &RouteInput) -> Result<NetworkName, ActionError> {
    match &wanted.name {
        Some(name) => Ok(name.clone()),
        None => name_of(&wanted.prefix),
    }
}

fn name_is_taken(wanted: &RouteInput, other: &Live) -> ActionError {
    let taken = other.text("/properties/addressPrefix").unwrap_or("another prefix");
    ActionError::permanent(format!("it is for {taken}, so {} needs another name", wanted.prefix))
        .context(other.id.label())
        .with_hint("give the route a name of its own")
}

fn new(wanted: &RouteInput) -> Value {
    body(&RouteModel {
        properties: Some(RoutePropertiesFormat {
            address_prefix: Some(wanted.prefix.to_string()),
            next_hop_ip_address: Some(wanted.next_hop_ip.to_string()),
            ..RoutePropertiesFormat::new(RouteNextHopType::VirtualAppliance)
        }),
        ..RouteModel::default()
    })
}
