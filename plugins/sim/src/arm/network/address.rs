use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use serde_json::{Value, json};

use crate::arm::error::ArmError;
use crate::arm::json::{field, objects, reference};
use crate::arm::network::prefixes::{ipv4_of, subnet_nets};
use crate::arm::request::{ArmCall, ArmReply, ArmResult};
use crate::arm::store::{Arm, ArmResourceType};

/// Number of addresses that Azure reserves at the start of a subnet: network, gateway and two for
/// DNS.
const RESERVED: usize = 4;

/// Returns the addresses in use in a subnet, each with the id of its IP configuration, in order of
/// creation.
pub(crate) fn used_in(arm: &Arm, subnet: &str) -> Vec<(String, Ipv4Addr)> {
    let nics = arm.of_kind(ArmResourceType::NetworkInterface).chain(arm.of_kind(ArmResourceType::ScaleSetNic));
    let mut used: Vec<(u64, String, Ipv4Addr)> = Vec::new();
    for nic in nics {
        for configuration in objects(&nic.properties, "ipConfigurations") {
            let Some(inner) = configuration.get("properties").and_then(Value::as_object) else { continue };
            let here = reference(inner, "subnet").is_some_and(|id| id.eq_ignore_ascii_case(subnet));
            let address = field(inner, "privateIPAddress").and_then(|text| text.parse().ok());
            if let (true, Some(address)) = (here, address) {
                let name = field(configuration, "name").unwrap_or_default();
                used.push((nic.order, format!("{}/ipConfigurations/{name}", nic.id), address));
            }
        }
    }
    used.sort();
    used.into_iter().map(|(_, id, address)| (id, address)).collect()
}

/// Returns the first address of the subnet that is neither in use nor reserved by Azure.
pub(crate) fn first_free(net: Ipv4Net, taken: &[Ipv4Addr]) -> Option<Ipv4Addr> {
    // `hosts` leaves out the network's and the last address already.
    net.hosts().skip(RESERVED - 1).find(|address| !taken.contains(address))
}

/// Returns the requested address, or else the first free one.
///
/// # Errors
/// 400 if the subnet is unknown or full, or if the address is outside of it, reserved or in use.
pub(crate) fn assign(
    arm: &Arm,
    subnet: &str,
    asked: Option<&str>,
    owner: &str,
    also_taken: &[Ipv4Addr],
) -> Result<Ipv4Addr, ArmError> {
    let resource = arm.find(subnet).ok_or_else(|| ArmError::bad_reference(subnet, owner))?;
    let net = ipv4_of(resource)
        .ok_or_else(|| ArmError::network("SubnetHasNoIPv4Prefix", format!("Subnet {subnet} has no IPv4 prefix.")))?;
    let prefix = format!("{}/", owner.to_ascii_lowercase());
    let mut taken: Vec<Ipv4Addr> = used_in(arm, subnet)
        .into_iter()
        .filter(|(user, _)| !user.to_ascii_lowercase().starts_with(&prefix))
        .map(|(_, address)| address)
        .collect();
    taken.extend(also_taken);
    match asked {
        Some(text) => check_asked(text, net, &taken, subnet),
        None => first_free(net, &taken).ok_or_else(|| {
            ArmError::network(
                "SubnetIsFull",
                format!(
                    "Subnet {} with address prefix {net} does not have enough capacity for 1 IP addresses.",
                    resource.name
                ),
            )
        }),
    }
}

/// Checks a requested address against the subnet.
fn check_asked(text: &str, net: Ipv4Net, taken: &[Ipv4Addr], subnet: &str) -> Result<Ipv4Addr, ArmError> {
    let address: Ipv4Addr = text.parse().map_err(|_| {
        ArmError::network("InvalidIPAddressFormat", format!("IP address {text} is not formatted correctly."))
    })?;
    if !net.contains(&address) {
        let message =
            format!("IP configuration has private IP address {text} which is not in the range of subnet prefix {net}.");
        return Err(ArmError::network("PrivateIPAddressNotInSubnet", message));
    }
    let reserved = net.hosts().take(RESERVED - 1).any(|kept| kept == address)
        || address == net.network()
        || address == net.broadcast();
    if reserved {
        let message =
            format!("Private static IP address {text} falls within reserved IP range of subnet prefix {net}.");
        return Err(ArmError::network("PrivateIPAddressInReservedRange", message));
    }
    if taken.contains(&address) {
        let message = format!(
            "IP configuration is using the private IP address {text} which is already allocated to another resource in subnet {subnet}."
        );
        return Err(ArmError::network("PrivateIPAddressInUse", message));
    }
    Ok(address)
}

/// Answers whether an address of a network is free.
pub(crate) fn check_address(arm: &Arm, call: &ArmCall, network: &str) -> ArmResult {
    let text = call.query.get("ipaddress").ok_or_else(|| ArmError::missing("ipAddress"))?;
    let address: Ipv4Addr = text
        .parse()
        .map_err(|_| ArmError::invalid("ipAddress", format!("IP address {text} is not formatted correctly.")))?;
    let subnet = arm
        .below(network, ArmResourceType::Subnet)
        .into_iter()
        .find(|subnet| subnet_nets(subnet).iter().any(|net| net.contains(&std::net::IpAddr::V4(address))));
    let Some(subnet) = subnet else {
        return Err(ArmError::network(
            "PrivateIPAddressNotInAnySubnet",
            format!("Private static IP address {text} does not belong to the range of any subnet."),
        ));
    };
    let taken: Vec<Ipv4Addr> = used_in(arm, &subnet.id).into_iter().map(|(_, address)| address).collect();
    let free = ipv4_of(subnet).is_some_and(|net| check_asked(text, net, &taken, &subnet.id).is_ok());
    let others: Vec<String> = if free { Vec::new() } else { five_free(subnet, taken) };
    Ok(ArmReply::json(200, json!({ "available": free, "availableIPAddresses": others, "isPlatformReserved": false })))
}

/// Returns up to five free addresses, as many as Azure suggests.
fn five_free(subnet: &crate::arm::store::StoredResource, mut taken: Vec<Ipv4Addr>) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(address) = ipv4_of(subnet).and_then(|net| first_free(net, &taken)).filter(|_| found.len() < 5) {
        taken.push(address);
        found.push(address.to_string());
    }
    found
}

/// Answers with the number of used addresses in each subnet.
pub(crate) fn usages(arm: &Arm, network: &str) -> ArmReply {
    let value: Vec<Value> = arm
        .below(network, ArmResourceType::Subnet)
        .into_iter()
        .map(|subnet| {
            let limit = subnet_nets(subnet).iter().map(room).sum::<u64>();
            json!({
                "id": subnet.id,
                "currentValue": used_in(arm, &subnet.id).len(),
                "limit": limit,
                "name": { "localizedValue": "Subnet size and usage", "value": "SubnetSpace" },
                "unit": "Count",
            })
        })
        .collect();
    ArmReply::json(200, json!({ "value": value }))
}

/// Returns the number of addresses in a prefix that machines can have.
fn room(net: &IpNet) -> u64 {
    let bits = u32::from(net.max_prefix_len() - net.prefix_len()).min(62);
    (1_u64 << bits).saturating_sub(RESERVED as u64 + 1)
}
