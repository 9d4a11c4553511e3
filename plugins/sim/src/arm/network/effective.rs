use serde_json::{Value, json};

use crate::arm::error::ArmError;
use crate::arm::json::{field, objects, reference};
use crate::arm::network::attachments::machine_of;
use crate::arm::network::prefixes::prefixes_of;
use crate::arm::request::{ArmReply, ArmResult};
use crate::arm::store::{Arm, ArmResourceType, StoredResource, parent_id};

/// Prefixes that Azure drops unless a route covers them.
const DROPPED: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];

/// Answers with the routes in force on a NIC: those of its network, of Azure, and of its subnet's
/// table.
///
/// The answer is immediate, which the API allows, and only for a machine that runs.
pub(crate) fn effective_routes(arm: &Arm, nic: &str) -> ArmResult {
    let running = machine_of(arm, nic).is_some_and(|machine| machine.hidden.get("power") == Some(&json!("running")));
    if !running {
        let message = format!("Network interface {nic} must be attached to a running virtual machine.");
        return Err(ArmError::network("NicMustBeAttachedToRunningVm", message));
    }
    let subnet = arm.find(nic).and_then(subnet_of).and_then(|id| arm.find(id));
    let Some(subnet) = subnet else { return Ok(ArmReply::json(200, json!({ "value": [] }))) };
    let user = user_routes(arm, subnet);
    let mut value: Vec<Value> = Vec::new();
    if let Some(network) = arm.find(parent_id(&subnet.id)) {
        value.push(route("Default", &prefixes_of(network), "VnetLocal", None, &user));
    }
    value.push(route("Default", &["0.0.0.0/0".to_owned()], "Internet", None, &user));
    value.extend(DROPPED.iter().map(|prefix| route("Default", &[(*prefix).to_owned()], "None", None, &user)));
    value.extend(
        user.iter().map(|(prefix, kind, hop)| route("User", std::slice::from_ref(prefix), kind, hop.as_deref(), &[])),
    );
    Ok(ArmReply::json(200, json!({ "value": value })))
}

/// Returns the id of the subnet of a NIC.
fn subnet_of(nic: &StoredResource) -> Option<&str> {
    objects(&nic.properties, "ipConfigurations")
        .into_iter()
        .find_map(|configuration| reference(configuration.get("properties")?.as_object()?, "subnet"))
}

/// Prefix, type of next hop and address of next hop of a user-defined route.
type UserRoute = (String, String, Option<String>);

/// Returns the routes of a subnet's table that are not being written.
fn user_routes(arm: &Arm, subnet: &StoredResource) -> Vec<UserRoute> {
    let Some(table) = reference(&subnet.properties, "routeTable") else { return Vec::new() };
    let routes = arm.below(table, ArmResourceType::Route).into_iter().filter(|route| route.is_settled());
    routes
        .map(|route| {
            let text = |key: &str| field(&route.properties, key).map(str::to_owned);
            (
                text("addressPrefix").unwrap_or_default(),
                text("nextHopType").unwrap_or_default(),
                text("nextHopIpAddress"),
            )
        })
        .collect()
}

/// Returns an effective route. A default route is invalid if a user route has the same prefix.
fn route(source: &str, prefixes: &[String], kind: &str, hop: Option<&str>, user: &[UserRoute]) -> Value {
    let replaced = prefixes.iter().any(|prefix| user.iter().any(|(other, _, _)| other == prefix));
    json!({
        "source": source,
        "state": if replaced { "Invalid" } else { "Active" },
        "addressPrefix": prefixes,
        "nextHopType": kind,
        "nextHopIpAddress": hop.into_iter().collect::<Vec<&str>>(),
        "disableBgpRoutePropagation": false,
    })
}
