use ipnet::IpNet;
use serde_json::{Value, json};

use crate::arm::behaviour::{Draft, DraftChild, WriteTarget};
use crate::arm::error::ArmError;
use crate::arm::json::{Object, default, drop_keys, field, objects};
use crate::arm::network::prefixes::net;
use crate::arm::store::{Arm, ArmResourceType, parent_id};

/// Maximum number of routes in a table unless the subscription has a higher limit, as Azure
/// documents it.
const LIMIT: usize = 400;

/// Types of next hops that the provider accepts.
const NEXT_HOPS: [&str; 5] = ["VirtualNetworkGateway", "VnetLocal", "Internet", "VirtualAppliance", "None"];

/// Checks a route table with the routes in its body.
pub(crate) fn prepare(arm: &Arm, target: &WriteTarget, top: Object, mut properties: Object) -> Result<Draft, ArmError> {
    let mut children: Vec<DraftChild> = Vec::new();
    for route in objects(&properties, "routes") {
        let name = field(route, "name").ok_or_else(|| ArmError::missing("route.name"))?.to_owned();
        let inner = route.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let id = format!("{}/routes/{name}", target.id);
        let inner = route_properties(&id, inner)?;
        check_conflict(&name, &inner, children.iter().map(|child| (child.name.as_str(), &child.properties)))?;
        children.push(DraftChild { kind: ArmResourceType::Route, name, properties: inner });
    }
    check_limit(arm, &target.id, children.len())?;
    drop_keys(&mut properties, &["routes", "subnets"]);
    default(&mut properties, "disableBgpRoutePropagation", json!(false));
    Ok(Draft { top, properties, children, ..Draft::default() })
}

/// Checks one route against the other routes of its table.
pub(crate) fn prepare_route(arm: &Arm, target: &WriteTarget, properties: Object) -> Result<Draft, ArmError> {
    let properties = route_properties(&target.id, properties)?;
    let table = parent_id(&target.id);
    let others = || {
        arm.below(table, ArmResourceType::Route).into_iter().filter(|route| !route.id.eq_ignore_ascii_case(&target.id))
    };
    check_limit(arm, table, others().count() + 1)?;
    let name = crate::arm::store::name_of(&target.id);
    check_conflict(name, &properties, others().map(|route| (route.name.as_str(), &route.properties)))?;
    Ok(Draft { properties, ..Draft::default() })
}

/// Refuses more routes than the limit. The error code follows those of the provider's other limits;
/// there is no recording of it.
fn check_limit(arm: &Arm, table: &str, routes: usize) -> Result<(), ArmError> {
    let limit = arm.quota.routes_per_table.unwrap_or(LIMIT);
    if routes <= limit {
        return Ok(());
    }
    let message = format!("Cannot create more than {limit} routes in route table {table}.");
    Err(ArmError::network("RouteCountLimitReached", message))
}

/// Checks the prefix and the next hop of a route.
fn route_properties(id: &str, mut properties: Object) -> Result<Object, ArmError> {
    let kind = field(&properties, "nextHopType").ok_or_else(|| ArmError::missing("nextHopType"))?;
    let Some(kind) = NEXT_HOPS.into_iter().find(|known| known.eq_ignore_ascii_case(kind)) else {
        return Err(ArmError::invalid(
            "nextHopType",
            format!("The value '{kind}' of nextHopType in route {id} is not valid."),
        ));
    };
    let prefix = field(&properties, "addressPrefix").ok_or_else(|| ArmError::missing("addressPrefix"))?;
    // Anything without a slash or a digit in front is a service tag.
    if prefix.contains('/') || prefix.starts_with(|first: char| first.is_ascii_digit()) {
        net(prefix, id)?;
    }
    let hop = field(&properties, "nextHopIpAddress").filter(|hop| !hop.is_empty());
    match (kind, hop) {
        ("VirtualAppliance", None) => {
            let message = format!("Route {id} with next hop type VirtualAppliance must have a next hop IP address.");
            return Err(ArmError::network("NextHopIpAddressMissing", message));
        }
        ("VirtualAppliance", Some(hop)) if hop.parse::<std::net::IpAddr>().is_err() => {
            let message = format!("Next hop IP address {hop} of route {id} is not a valid IP address.");
            return Err(ArmError::network("InvalidNextHopIpAddress", message));
        }
        ("VirtualAppliance", Some(_)) | (_, None) => {}
        (_, Some(_)) => {
            let message =
                format!("Route {id} can have a next hop IP address only with next hop type VirtualAppliance.");
            return Err(ArmError::network("NextHopIpAddressNotAllowed", message));
        }
    }
    drop_keys(&mut properties, &["hasBgpOverride", "provisioningState"]);
    properties.insert("nextHopType".to_owned(), json!(kind));
    Ok(properties)
}

/// Refuses two routes of a table with the same prefix.
fn check_conflict<'a>(
    name: &str,
    route: &Object,
    others: impl Iterator<Item = (&'a str, &'a Object)>,
) -> Result<(), ArmError> {
    let prefix = field(route, "addressPrefix").unwrap_or_default();
    let clash =
        others.into_iter().find(|(_, other)| same_prefix(prefix, field(other, "addressPrefix").unwrap_or_default()));
    match clash {
        None => Ok(()),
        Some((other, _)) => {
            let message = format!(
                "Route {name} cannot be added because its address prefix {prefix} conflicts with that of route {other}."
            );
            Err(ArmError::network("RouteConflict", message))
        }
    }
}

/// True if two destinations are equal: prefixes by value, service tags without case.
fn same_prefix(left: &str, right: &str) -> bool {
    match (left.parse::<IpNet>(), right.parse::<IpNet>()) {
        (Ok(left), Ok(right)) => left == right,
        _ => left.eq_ignore_ascii_case(right),
    }
}
