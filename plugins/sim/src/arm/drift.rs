use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use crate::arm::json::{field, reference};
use crate::arm::network::nics_of;
use crate::arm::read;
use crate::arm::store::{Arm, ArmResourceType, StoredResource, name_of, parent_id};

/// API version of requests that another party makes in the portal.
const VERSION: &str = "api-version=2024-01-01";

/// Request of another party to Azure Resource Manager.
pub(crate) struct DriftRequest {
    pub(crate) method: &'static str,
    /// Path with the API version.
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
}

/// Returns the request that sets IP forwarding of a machine's primary NIC.
///
/// # Errors
/// The text names the machine that has no NIC.
pub(crate) fn nic_forwarding(arm: &Arm, machine: &str, on: bool) -> Result<DriftRequest, String> {
    let owner = arm.of_kind(ArmResourceType::VirtualMachine).find(|found| found.name.eq_ignore_ascii_case(machine));
    let by_machine = owner.and_then(|owner| nics_of(owner).into_iter().next());
    // A NIC without its machine is found by the name that machines' NICs have.
    let named = || arm.of_kind(ArmResourceType::NetworkInterface).find(|nic| nic.name == format!("{machine}-nic"));
    let id = by_machine.or_else(|| named().map(|nic| nic.id.clone()));
    let nic = id.and_then(|id| arm.find(&id)).ok_or_else(|| format!("no machine {machine} has a NIC"))?;
    let mut body = read::body(arm, &nic.id);
    body["properties"]["enableIPForwarding"] = json!(on);
    Ok(put(&nic.id, body))
}

/// Returns the request that routes a prefix to a next hop in the table of a subnet, or that deletes
/// its route.
///
/// # Errors
/// The text names the missing subnet, table or route.
pub(crate) fn route(
    arm: &Arm,
    (network, subnet): (Option<&str>, &str),
    prefix: Ipv4Net,
    hop: Option<Ipv4Addr>,
) -> Result<DriftRequest, String> {
    let subnet = find_subnet(arm, network, subnet)?;
    let table = reference(&subnet.properties, "routeTable").and_then(|id| arm.find(id));
    let table = table.ok_or_else(|| format!("subnet {} has no route table", subnet.name))?;
    let is_for = |route: &&StoredResource| field(&route.properties, "addressPrefix") == Some(&prefix.to_string());
    let held = arm.below(&table.id, ArmResourceType::Route).into_iter().find(is_for).map(|route| route.id.clone());
    let Some(hop) = hop else {
        let id = held.ok_or_else(|| format!("route table {} has no route for {prefix}", table.name))?;
        return Ok(DriftRequest { method: "DELETE", path: format!("{id}?{VERSION}"), body: None });
    };
    let id =
        held.unwrap_or_else(|| format!("{}/routes/by-hand-{}", table.id, prefix.to_string().replace(['.', '/'], "-")));
    let properties = json!({ "addressPrefix": prefix, "nextHopType": "VirtualAppliance", "nextHopIpAddress": hop });
    Ok(put(&id, json!({ "properties": properties })))
}

/// Returns the request that associates a subnet with a table, given its name or id, or with none.
///
/// # Errors
/// The text names the missing subnet or table.
pub(crate) fn association(
    arm: &Arm,
    (network, subnet): (Option<&str>, &str),
    table: Option<&str>,
) -> Result<DriftRequest, String> {
    let subnet = find_subnet(arm, network, subnet)?;
    let mut body = read::body(arm, &subnet.id);
    match table {
        None => drop(body["properties"].as_object_mut().map(|properties| properties.remove("routeTable"))),
        Some(name) => {
            let is_named = |table: &&StoredResource| table.name == name || table.id.eq_ignore_ascii_case(name);
            let found = arm.of_kind(ArmResourceType::RouteTable).find(is_named);
            let found = found.ok_or_else(|| format!("there is no route table {name}"))?;
            body["properties"]["routeTable"] = json!({ "id": found.id });
        }
    }
    Ok(put(&subnet.id, body))
}

/// Returns a PUT of the whole resource.
fn put(id: &str, body: Value) -> DriftRequest {
    DriftRequest { method: "PUT", path: format!("{id}?{VERSION}"), body: Some(body) }
}

/// Returns the subnet with this name, in this network if one is named.
fn find_subnet<'a>(arm: &'a Arm, network: Option<&str>, name: &str) -> Result<&'a StoredResource, String> {
    let is_in = |subnet: &&StoredResource| network.is_none_or(|network| name_of(parent_id(&subnet.id)) == network);
    let mut found = arm.of_kind(ArmResourceType::Subnet).filter(|subnet| subnet.name == name).filter(is_in);
    match (found.next(), found.next()) {
        (Some(subnet), None) => Ok(subnet),
        (None, _) => Err(format!("there is no subnet {name}")),
        (Some(_), Some(_)) => Err(format!("there are several subnets {name}: name the network")),
    }
}
