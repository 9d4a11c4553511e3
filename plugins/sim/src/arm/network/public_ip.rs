use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use crate::arm::behaviour::{Draft, WriteTarget};
use crate::arm::error::ArmError;
use crate::arm::json::{Object, default, drop_keys, field};
use crate::arm::network::references::require_reference;
use crate::arm::store::{Arm, ArmResourceType, StoredResource};

/// Pool of public addresses: TEST-NET-3 of RFC 5737, which is assigned to no network.
const POOL: (Ipv4Addr, u8) = (Ipv4Addr::new(203, 0, 113, 0), 24);

/// Checks a public address. A static one gets its address now, a dynamic one with its NIC.
pub(crate) fn prepare(
    arm: &Arm,
    target: &WriteTarget,
    mut top: Object,
    mut properties: Object,
) -> Result<Draft, ArmError> {
    let sku = top.get("sku").and_then(|sku| sku.get("name")).and_then(Value::as_str).unwrap_or("Basic").to_owned();
    if !matches!(sku.as_str(), "Basic" | "Standard" | "StandardV2") {
        return Err(ArmError::invalid(
            "sku.name",
            format!("The value '{sku}' of the public IP address SKU is not valid."),
        ));
    }
    top.insert("sku".to_owned(), json!({ "name": sku, "tier": "Regional" }));
    drop_keys(&mut properties, &["ipAddress", "ipConfiguration", "natGateway"]);
    default(&mut properties, "publicIPAddressVersion", json!("IPv4"));
    default(&mut properties, "publicIPAllocationMethod", json!("Dynamic"));
    default(&mut properties, "idleTimeoutInMinutes", json!(4));
    default(&mut properties, "ipTags", json!([]));
    let is_static = field(&properties, "publicIPAllocationMethod") == Some("Static");
    if sku != "Basic" && !is_static {
        let message = format!("Standard sku publicIp {} must have AllocationMethod set to Static.", target.id);
        return Err(ArmError::network("StandardSkuPublicIPAddressMustBeStatic", message));
    }
    check_quota(arm, target)?;
    let mut hidden = Object::new();
    let has_address = target.existing.as_ref().is_some_and(|existing| existing.hidden.contains_key("address"));
    if is_static && !has_address {
        hidden.insert("address".to_owned(), json!(allocate(arm, &[])?));
    }
    Ok(Draft { top, properties, hidden, ..Draft::default() })
}

/// Refuses a new address beyond the quota of the region.
fn check_quota(arm: &Arm, target: &WriteTarget) -> Result<(), ArmError> {
    let Some(limit) = arm.quota.public_ips.filter(|_| target.existing.is_none()) else { return Ok(()) };
    let used =
        arm.of_kind(ArmResourceType::PublicIp).filter(|other| other.location() == target.location).count() as u64;
    if used < limit {
        return Ok(());
    }
    let message = format!("Cannot create more than {limit} public IP addresses for this subscription in this region.");
    Err(ArmError::network("PublicIPCountLimitReached", message))
}

/// Returns the next public address that no resource has, and that is not in `assigned`, pairs of id
/// and address.
pub(crate) fn allocate(arm: &Arm, assigned: &[(String, String)]) -> Result<String, ArmError> {
    let net = Ipv4Net::new_assert(POOL.0, POOL.1);
    let stored = arm.of_kind(ArmResourceType::PublicIp).filter_map(address);
    let taken: Vec<&str> = stored.chain(assigned.iter().map(|(_, address)| address.as_str())).collect();
    // The first hosts are for the servers of the simulated world itself.
    let free =
        net.hosts().skip(9).map(|address| address.to_string()).find(|address| !taken.contains(&address.as_str()));
    free.ok_or_else(|| ArmError::network("PublicIPAddressesExhausted", "There are no more public IP addresses."))
}

/// Returns the address that a public IP resource has.
fn address(public: &StoredResource) -> Option<&str> {
    public.hidden.get("address").and_then(Value::as_str)
}

/// Checks a NAT gateway and its public addresses.
pub(crate) fn prepare_nat_gateway(
    arm: &Arm,
    target: &WriteTarget,
    mut top: Object,
    mut properties: Object,
) -> Result<Draft, ArmError> {
    default(&mut top, "sku", json!({ "name": "Standard" }));
    drop_keys(&mut properties, &["subnets"]);
    default(&mut properties, "idleTimeoutInMinutes", json!(4));
    for public in crate::arm::json::objects(&properties, "publicIpAddresses") {
        let id = field(public, "id").ok_or_else(|| ArmError::missing("publicIpAddresses.id"))?;
        require_reference(arm, id, ArmResourceType::PublicIp, &target.id)?;
    }
    Ok(Draft { top, properties, ..Draft::default() })
}
