use ipnet::IpNet;
use serde_json::{Value, json};

use crate::arm::behaviour::{Draft, DraftChild, WriteTarget};
use crate::arm::error::ArmError;
use crate::arm::json::{Object, default, drop_keys, field, keep_only_id, objects, reference, texts};
use crate::arm::network::address::used_in;
use crate::arm::network::prefixes::{net, nets_of, prefixes_of, subnet_nets};
use crate::arm::network::references::{require_reference, require_settled};
use crate::arm::store::{Arm, ArmResourceType, StoredResource, name_of, parent_id};

/// Longest prefix of a subnet: a longer one would have no address besides the five that Azure
/// reserves.
const LONGEST_PREFIX: u8 = 29;

/// Checks a network with the subnets and peerings in its body.
pub(crate) fn prepare(arm: &Arm, target: &WriteTarget, top: Object, mut properties: Object) -> Result<Draft, ArmError> {
    let space = properties.get("addressSpace").and_then(Value::as_object).cloned().unwrap_or_default();
    let prefixes = texts(&space, "addressPrefixes");
    if prefixes.is_empty() {
        let message = format!("Virtual network {} must have at least one address prefix.", target.id);
        return Err(ArmError::network("InvalidAddressPrefixes", message));
    }
    let nets = prefixes.iter().map(|prefix| net(prefix, &target.id)).collect::<Result<Vec<_>, _>>()?;
    check_apart(&nets, &target.id)?;
    let subnets = objects(&properties, "subnets").into_iter().cloned().collect::<Vec<_>>();
    let mut children = Vec::new();
    let mut siblings: Vec<(String, Vec<IpNet>)> = Vec::new();
    for subnet in subnets {
        let name = field(&subnet, "name").ok_or_else(|| ArmError::missing("subnet.name"))?.to_owned();
        let inner = subnet.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let id = format!("{}/subnets/{name}", target.id);
        let inner = subnet_properties(arm, &id, inner, &nets, &siblings)?;
        siblings.push((name.clone(), nets_of(&inner, &id)?));
        children.push(DraftChild { kind: ArmResourceType::Subnet, name, properties: inner });
    }
    check_removed(arm, target, &children)?;
    children.extend(peerings(&properties)?);
    drop_keys(&mut properties, &["subnets", "virtualNetworkPeerings", "enableVmProtection"]);
    properties.insert("addressSpace".to_owned(), json!({ "addressPrefixes": prefixes }));
    default(&mut properties, "privateEndpointVNetPolicies", json!("Disabled"));
    default(&mut properties, "enableDdosProtection", json!(false));
    Ok(Draft { top, properties, children, ..Draft::default() })
}

/// Refuses a PUT that would remove a subnet in use.
fn check_removed(arm: &Arm, target: &WriteTarget, kept: &[DraftChild]) -> Result<(), ArmError> {
    for subnet in arm.below(&target.id, ArmResourceType::Subnet) {
        let stays = kept.iter().any(|child| child.name.eq_ignore_ascii_case(&subnet.name));
        if !stays {
            check_subnet_unused(arm, subnet)?;
        }
    }
    Ok(())
}

/// Refuses to delete a network if a NIC has an address in one of its subnets.
pub(crate) fn check_network_unused(arm: &Arm, network: &StoredResource) -> Result<(), ArmError> {
    let subnets = arm.below(&network.id, ArmResourceType::Subnet);
    subnets.into_iter().try_for_each(|subnet| check_subnet_unused(arm, subnet))
}

/// Refuses if a NIC has an address in the subnet.
pub(crate) fn check_subnet_unused(arm: &Arm, subnet: &StoredResource) -> Result<(), ArmError> {
    let users = used_in(arm, &subnet.id);
    let Some((first, _)) = users.first() else { return Ok(()) };
    let message = format!(
        "Subnet {} is in use by {first} and cannot be deleted. In order to delete the subnet, delete all the resources \
         within the subnet. See aka.ms/deletesubnet.",
        subnet.name
    );
    Err(ArmError::network("InUseSubnetCannotBeDeleted", message))
}

/// Reads the peerings in the body of a network.
fn peerings(properties: &Object) -> Result<Vec<DraftChild>, ArmError> {
    objects(properties, "virtualNetworkPeerings")
        .into_iter()
        .map(|peering| {
            let name =
                field(peering, "name").ok_or_else(|| ArmError::missing("virtualNetworkPeering.name"))?.to_owned();
            let mut inner = peering.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
            peering_properties(&mut inner);
            Ok(DraftChild { kind: ArmResourceType::Peering, name, properties: inner })
        })
        .collect()
}

/// Checks a subnet against its network and the other subnets.
pub(crate) fn prepare_subnet(arm: &Arm, target: &WriteTarget, properties: Object) -> Result<Draft, ArmError> {
    let network = arm.find(parent_id(&target.id)).ok_or_else(|| ArmError::child_not_found(&target.id))?;
    let space = prefixes_of(network).iter().map(|prefix| net(prefix, &network.id)).collect::<Result<Vec<_>, _>>()?;
    let siblings: Vec<(String, Vec<IpNet>)> = arm
        .below(&network.id, ArmResourceType::Subnet)
        .into_iter()
        .filter(|subnet| !subnet.id.eq_ignore_ascii_case(&target.id))
        .map(|subnet| (subnet.name.clone(), subnet_nets(subnet)))
        .collect();
    let properties = subnet_properties(arm, &target.id, properties, &space, &siblings)?;
    if let Some(existing) = &target.existing {
        check_prefix_kept(arm, existing, &nets_of(&properties, &target.id)?)?;
    }
    Ok(Draft { properties, ..Draft::default() })
}

/// Refuses a new prefix that leaves out an address in use.
fn check_prefix_kept(arm: &Arm, existing: &StoredResource, nets: &[IpNet]) -> Result<(), ArmError> {
    let outside = used_in(arm, &existing.id)
        .into_iter()
        .find(|(_, address)| !nets.iter().any(|net| net.contains(&std::net::IpAddr::V4(*address))));
    let Some((user, _)) = outside else { return Ok(()) };
    let message = format!("Subnet {} is in use by {user} and its address prefix cannot be updated.", existing.name);
    Err(ArmError::network("InUseSubnetCannotBeUpdated", message))
}

/// Checks the prefixes and references of a subnet and adds the defaults.
fn subnet_properties(
    arm: &Arm,
    id: &str,
    mut properties: Object,
    space: &[IpNet],
    siblings: &[(String, Vec<IpNet>)],
) -> Result<Object, ArmError> {
    let name = name_of(id);
    let network = name_of(parent_id(id));
    for net in nets_of(&properties, id)? {
        if matches!(net, IpNet::V4(v4) if v4.prefix_len() > LONGEST_PREFIX)
            || !space.iter().any(|wide| wide.contains(&net))
        {
            let message = format!(
                "Subnet '{name}' is not valid because its IP address range is outside the IP address range of virtual network '{network}'."
            );
            return Err(ArmError::network("NetcfgInvalidSubnet", message));
        }
        let overlapped =
            siblings.iter().find(|(_, nets)| nets.iter().any(|other| other.contains(&net) || net.contains(other)));
        if overlapped.is_some() {
            let message = format!(
                "Subnet '{name}' is not valid because its IP address range overlaps with that of an existing subnet in virtual network '{network}'."
            );
            return Err(ArmError::network("NetcfgSubnetRangesOverlap", message));
        }
    }
    for (key, kind) in [
        ("routeTable", ArmResourceType::RouteTable),
        ("networkSecurityGroup", ArmResourceType::SecurityGroup),
        ("natGateway", ArmResourceType::NatGateway),
    ] {
        keep_only_id(&mut properties, key);
        if let Some(referenced) = reference(&properties, key) {
            require_reference(arm, referenced, kind, id)?;
            require_settled(arm, referenced, id)?;
        }
    }
    drop_keys(
        &mut properties,
        &[
            "provisioningState",
            "ipConfigurations",
            "purpose",
            "privateEndpoints",
            "resourceNavigationLinks",
            "serviceAssociationLinks",
        ],
    );
    default(&mut properties, "delegations", json!([]));
    default(&mut properties, "privateEndpointNetworkPolicies", json!("Disabled"));
    default(&mut properties, "privateLinkServiceNetworkPolicies", json!("Enabled"));
    Ok(properties)
}

/// Refuses prefixes of a network that overlap.
fn check_apart(nets: &[IpNet], id: &str) -> Result<(), ArmError> {
    let overlap = nets
        .iter()
        .enumerate()
        .any(|(index, net)| nets[..index].iter().any(|other| other.contains(net) || net.contains(other)));
    if overlap {
        return Err(ArmError::network(
            "OverlappingAddressPrefixes",
            format!("The address prefixes of virtual network {id} overlap."),
        ));
    }
    Ok(())
}

/// Checks a peering, whose remote network must exist.
pub(crate) fn prepare_peering(arm: &Arm, target: &WriteTarget, mut properties: Object) -> Result<Draft, ArmError> {
    peering_properties(&mut properties);
    let remote =
        reference(&properties, "remoteVirtualNetwork").ok_or_else(|| ArmError::missing("remoteVirtualNetwork"))?;
    require_reference(arm, remote, ArmResourceType::VirtualNetwork, &target.id)?;
    Ok(Draft { properties, ..Draft::default() })
}

/// Adds the defaults of a peering and drops what the provider computes.
fn peering_properties(properties: &mut Object) {
    keep_only_id(properties, "remoteVirtualNetwork");
    drop_keys(
        properties,
        &[
            "provisioningState",
            "peeringState",
            "peeringSyncLevel",
            "remoteAddressSpace",
            "remoteVirtualNetworkAddressSpace",
        ],
    );
    for (key, value) in [
        ("allowVirtualNetworkAccess", true),
        ("allowForwardedTraffic", false),
        ("allowGatewayTransit", false),
        ("useRemoteGateways", false),
    ] {
        default(properties, key, json!(value));
    }
}
