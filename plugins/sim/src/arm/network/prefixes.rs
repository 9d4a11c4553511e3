use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;

use crate::arm::error::ArmError;
use crate::arm::json::{Object, field, texts};
use crate::arm::store::StoredResource;

/// Returns the prefixes in the properties of subnet `id`.
pub(crate) fn nets_of(properties: &Object, id: &str) -> Result<Vec<IpNet>, ArmError> {
    let mut prefixes = texts(properties, "addressPrefixes");
    prefixes.extend(field(properties, "addressPrefix").filter(|_| prefixes.is_empty()).map(str::to_owned));
    if prefixes.is_empty() {
        let message = format!("Subnet {id} must have an address prefix.");
        return Err(
            ArmError::network("SubnetAddressPrefixMissing", message).with_detail("InvalidParameter", "addressPrefix")
        );
    }
    prefixes.iter().map(|prefix| net(prefix, id)).collect()
}

/// Returns the prefixes of a stored subnet; none if they cannot be read.
pub(crate) fn subnet_nets(subnet: &StoredResource) -> Vec<IpNet> {
    nets_of(&subnet.properties, &subnet.id).unwrap_or_default()
}

/// Returns the address space of a stored network.
pub(crate) fn prefixes_of(network: &StoredResource) -> Vec<String> {
    network
        .properties
        .get("addressSpace")
        .and_then(Value::as_object)
        .map(|space| texts(space, "addressPrefixes"))
        .unwrap_or_default()
}

/// Reads a prefix.
///
/// # Errors
/// 400 if it is not in CIDR notation or has host bits set.
pub(crate) fn net(prefix: &str, id: &str) -> Result<IpNet, ArmError> {
    let parsed: IpNet = prefix.parse().map_err(|_| {
        ArmError::network("InvalidAddressPrefixFormat", format!("Address prefix {prefix} of resource {id} is not formatted correctly. It should follow CIDR notation, for example 10.0.0.0/24."))
    })?;
    if parsed.trunc() == parsed {
        return Ok(parsed);
    }
    let message = format!(
        "The address prefix {prefix} in resource {id} has an invalid CIDR notation. For the given prefix length, the address prefix should be {}.",
        parsed.trunc()
    );
    Err(ArmError::network("InvalidCIDRNotation", message))
}

/// Returns the first IPv4 prefix of a subnet, from which its machines get addresses.
pub(crate) fn ipv4_of(subnet: &StoredResource) -> Option<Ipv4Net> {
    subnet_nets(subnet).into_iter().find_map(|net| match net {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    })
}
