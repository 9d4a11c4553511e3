use std::net::IpAddr;

use azure_mgmt_network::package_2024_03::models::{Route, RouteNextHopType, RoutePropertiesFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_client::Prefix;
use stargate_sdk::{ActionContext, ActionError, Difference, Permission};

use crate::{
    actions::route_table::RouteTableInput,
    arm_resource::{ArmEnsure, ArmResource},
    client::{ArmClient, ArmObject, GroupName, NetworkName, Precondition, ResourceId, ResourceType, body},
    permission::{on, read_and_write},
};

/// Routes of route tables.
pub(crate) const ROUTE: ResourceType =
    ResourceType { kind: "Microsoft.Network/routeTables/routes", api_version: "2024-01-01", noun: "route" };

/// Next hop type of a route to a router that is a virtual machine.
const APPLIANCE: &str = "VirtualAppliance";

/// Desired state of a route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteInput {
    /// Resource group of the route table.
    resource_group: GroupName,
    /// Name of the route table.
    route_table: NetworkName,
    /// Name of the route, unless the prefix has one already; `stargate-` and the prefix by default.
    #[serde(default)]
    name: Option<NetworkName>,
    /// Destination prefix of the packets.
    prefix: Prefix,
    /// Private address of the router that is the next hop.
    next_hop_ip: IpAddr,
}

/// Route in its desired state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RouteOutput {
    /// Name of the route; that of an older one if the prefix had one.
    pub name: String,
    /// Destination prefix of the route.
    pub prefix: String,
    /// Address of the next hop.
    pub next_hop_ip: IpAddr,
}

impl RouteInput {
    fn table(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(RouteTableInput::TYPE, &self.route_table)
    }

    /// Name for a new route.
    ///
    /// # Errors
    /// `Permanent`, if Azure would refuse the default name.
    fn name(&self) -> Result<NetworkName, ActionError> {
        self.name.clone().map_or_else(|| default_name(self.prefix), Ok)
    }
}

impl ArmEnsure for RouteInput {
    type Actual = ArmObject;
    type Output = RouteOutput;
    const NAME: &'static str = "azure.route.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a route table sends a prefix to a router.";
    const TYPES: &'static [ResourceType] = &[ROUTE];

    fn permissions() -> Vec<Permission> {
        [on(RouteTableInput::TYPE, "read")].into_iter().chain(read_and_write(ROUTE)).collect()
    }

    /// Reads the route by prefix before name: ARM refuses two routes of one prefix.
    async fn read(&self, cx: &ActionContext, arm: &ArmClient) -> Result<Option<ArmObject>, ActionError> {
        let table = read_table(cx, arm, &self.table(arm)).await?;
        let routes = routes(&table);
        if let Some(route) = routes.iter().find(|route| prefix(route) == Some(self.prefix)) {
            return Ok(Some(route.clone()));
        }
        let name = self.name()?;
        match routes.iter().find(|route| route.name().eq_ignore_ascii_case(name.as_str())) {
            None => Ok(None),
            Some(other) => Err(name_conflict_error(self, other)),
        }
    }

    fn diff(&self, _: &ArmClient, actual: Option<&ArmObject>) -> Result<Vec<Difference>, ActionError> {
        let Some(route) = actual else {
            return Ok(vec![Difference::missing(format!("route {}", self.prefix), self.next_hop_ip.to_string())]);
        };
        let hop = route.text("/properties/nextHopIpAddress");
        let is_same_hop = hop.and_then(|hop| hop.parse().ok()) == Some(self.next_hop_ip);
        let hop = (!is_same_hop).then(|| Difference::new("next hop", hop, self.next_hop_ip.to_string()));
        let hop_type = Difference::between("next hop type", route.text("/properties/nextHopType"), APPLIANCE);
        Ok([hop_type, hop, route.failed_state()].into_iter().flatten().collect())
    }

    async fn apply(&self, cx: &ActionContext, arm: &ArmClient, _: Option<&ArmObject>) -> Result<(), ActionError> {
        let _guard = arm.lock_for_write(cx, &[&self.table(arm)]).await?;
        match self.read(cx, arm).await? {
            None => {
                let id = self.table(arm).child(ROUTE, self.name()?);
                let body = body(&Route { properties: Some(model(self.prefix, self.next_hop_ip)), ..Route::default() });
                arm.put(cx, &id, body, Some(Precondition::Absent)).await
            }
            Some(route) if self.diff(arm, Some(&route))?.is_empty() => Ok(()),
            Some(route) => {
                let body = with_next_hop(&route, self.next_hop_ip);
                arm.put(cx, &route.id, body, Precondition::unchanged(&route)).await
            }
        }
    }

    fn output(&self, _: &ActionContext, _: &ArmClient, route: &ArmObject) -> Result<RouteOutput, ActionError> {
        let (prefix, next_hop_ip) = (self.prefix.to_string(), self.next_hop_ip);
        Ok(RouteOutput { name: route.name().into(), prefix, next_hop_ip })
    }

    fn certain(&self, _: &ArmClient) -> Value {
        json!({ "prefix": self.prefix.to_string(), "next_hop_ip": self.next_hop_ip })
    }
}

/// Reads a route table once it is settled.
///
/// # Errors
/// Those of [`ArmClient::get_settled`]; `Permanent`, if the table does not exist.
pub(crate) async fn read_table(cx: &ActionContext, arm: &ArmClient, id: &ResourceId) -> Result<ArmObject, ActionError> {
    let table = arm.get_settled(cx, id).await?;
    table.ok_or_else(|| {
        ActionError::permanent("not found").context(id.label()).with_hint("create the route table first")
    })
}

/// Routes in the body of a route table.
pub(crate) fn routes(table: &ArmObject) -> Vec<ArmObject> {
    table.items("/properties/routes").iter().filter_map(|body| ArmObject::part(body, ROUTE)).collect()
}

/// Destination prefix of a route; `None` if it is a service tag.
pub(crate) fn prefix(route: &ArmObject) -> Option<Prefix> {
    route.text("/properties/addressPrefix")?.parse().ok()
}

/// True if the next hop of a route is the router with this address.
pub(crate) fn has_next_hop(route: &ArmObject, hop: IpAddr) -> bool {
    let address = route.text("/properties/nextHopIpAddress").and_then(|hop| hop.parse().ok());
    route.text("/properties/nextHopType") == Some(APPLIANCE) && address == Some(hop)
}

/// Name of a managed route: `stargate-10.50.0.0-16`.
///
/// # Errors
/// `Permanent`, if Azure would refuse the name.
pub(crate) fn default_name(prefix: Prefix) -> Result<NetworkName, ActionError> {
    NetworkName::parse(format!("stargate-{}", prefix.name_part()))
        .map_err(|e| ActionError::permanent(e.to_string()).with_hint("give the route a name"))
}

/// Model of a route to a router.
pub(crate) fn model(prefix: Prefix, next_hop: IpAddr) -> RoutePropertiesFormat {
    RoutePropertiesFormat {
        address_prefix: Some(prefix.to_string()),
        next_hop_ip_address: Some(next_hop.to_string()),
        ..RoutePropertiesFormat::new(RouteNextHopType::VirtualAppliance)
    }
}

/// Body of an existing route with another next hop.
pub(crate) fn with_next_hop(route: &ArmObject, hop: IpAddr) -> Value {
    let mut body = route.body.clone();
    body["properties"]["nextHopType"] = APPLIANCE.into();
    body["properties"]["nextHopIpAddress"] = hop.to_string().into();
    body
}

/// Error of a name that another prefix has. That route is not changed.
fn name_conflict_error(desired: &RouteInput, other: &ArmObject) -> ActionError {
    let prefix = other.text("/properties/addressPrefix").unwrap_or("another prefix");
    ActionError::permanent(format!("it is for {prefix}, so {} needs another name", desired.prefix))
        .context(other.id.label())
        .with_hint("give the route a name of its own")
}
