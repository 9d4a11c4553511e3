use serde_json::Value;

use crate::arm::error::ArmError;
use crate::arm::json::{objects, reference};
use crate::arm::network::attachments::{configurations_with, machine_of};
use crate::arm::retry_after::retry_after;
use crate::arm::store::{Arm, ArmResourceType, StoredResource, parent_id};

/// Refuses a reference to a missing resource or to one of another type.
pub(crate) fn require_reference(arm: &Arm, id: &str, kind: ArmResourceType, by: &str) -> Result<(), ArmError> {
    match arm.find_kind(id, kind) {
        Some(_) => Ok(()),
        None => Err(ArmError::bad_reference(id, by)),
    }
}

/// Refuses with a retryable 429 while the referenced resource is being written.
pub(crate) fn require_settled(arm: &Arm, id: &str, by: &str) -> Result<(), ArmError> {
    let Some(resource) = arm.find(id).filter(|resource| !resource.is_settled()) else { return Ok(()) };
    let operation = resource.kind.put_operation();
    let message = format!(
        "Cannot proceed with operation because resource {} used by resource {by} is not in Succeeded state. Resource is in \
         {} state and the last operation that updated/is updating the resource is {operation}.",
        resource.id, resource.state
    );
    let error = ArmError::new(429, "RetryableError", "A retryable error occurred.");
    Err(error
        .with_detail("ReferencedResourceNotProvisioned", message)
        .with_header("Retry-After", retry_after(1.0, arm.speed)))
}

/// Refuses to delete a route table that a subnet is associated with.
pub(crate) fn check_route_table(arm: &Arm, table: &StoredResource) -> Result<(), ArmError> {
    check_no_subnet(arm, table, "routeTable", "InUseRouteTableCannotBeDeleted", "Route table")
}

/// Refuses to delete a security group that a subnet or a NIC has.
pub(crate) fn check_security_group(arm: &Arm, group: &StoredResource) -> Result<(), ArmError> {
    let code = "InUseNetworkSecurityGroupCannotBeDeleted";
    check_no_subnet(arm, group, "networkSecurityGroup", code, "Network security group")?;
    check_no_nic(arm, group, code)
}

/// Refuses to delete a NAT gateway that a subnet uses.
pub(crate) fn check_nat_gateway(arm: &Arm, gateway: &StoredResource) -> Result<(), ArmError> {
    check_no_subnet(arm, gateway, "natGateway", "InUseNatGatewayCannotBeDeleted", "Nat gateway")
}

/// Refuses to delete a NIC that a machine has.
pub(crate) fn check_interface(arm: &Arm, nic: &StoredResource) -> Result<(), ArmError> {
    let Some(machine) = machine_of(arm, &nic.id) else { return Ok(()) };
    let message = format!(
        "Network Interface {} is used by existing resource {}. In order to delete the network interface, it must be dissociated from the resource.",
        nic.id, machine.id
    );
    Err(ArmError::network("NicInUse", message))
}

/// Refuses to delete a resource that the reference `key` of a subnet names.
fn check_no_subnet(arm: &Arm, resource: &StoredResource, key: &str, code: &str, word: &str) -> Result<(), ArmError> {
    match subnets_with(arm, key, &resource.id).first() {
        None => Ok(()),
        Some(subnet) => {
            let message = format!(
                "{word} {} cannot be deleted because it is in use by the following resources: {subnet}.",
                resource.name
            );
            Err(ArmError::network(code, message))
        }
    }
}

/// Refuses to delete a security group that a NIC has.
fn check_no_nic(arm: &Arm, group: &StoredResource, code: &str) -> Result<(), ArmError> {
    let user =
        arm.of_kind(ArmResourceType::NetworkInterface).find(|nic| references(nic, "networkSecurityGroup", &group.id));
    match user {
        None => Ok(()),
        Some(nic) => Err(ArmError::network(
            code,
            format!(
                "Network security group {} cannot be deleted because it is in use by the following resources: {}.",
                group.name, nic.id
            ),
        )),
    }
}

/// Refuses to delete a public address that a NIC has.
pub(crate) fn check_public_ip(arm: &Arm, public: &StoredResource) -> Result<(), ArmError> {
    let user = arm
        .of_kind(ArmResourceType::NetworkInterface)
        .find_map(|nic| configurations_with(nic, "publicIPAddress", &public.id).next());
    match user {
        None => Ok(()),
        Some(user) => {
            let message = format!(
                "Public IP address {} can not be deleted since it is still allocated to resource {user}.",
                public.id
            );
            Err(ArmError::network("PublicIPAddressCannotBeDeleted", message))
        }
    }
}

/// True if the reference `key` of the resource is `id`.
pub(crate) fn references(resource: &StoredResource, key: &str, id: &str) -> bool {
    reference(&resource.properties, key).is_some_and(|referenced| referenced.eq_ignore_ascii_case(id))
}

/// Returns the ids of the subnets whose reference `key` is `id`, in order of creation.
pub(crate) fn subnets_with(arm: &Arm, key: &str, id: &str) -> Vec<String> {
    let mut found: Vec<&StoredResource> =
        arm.of_kind(ArmResourceType::Subnet).filter(|subnet| references(subnet, key, id)).collect();
    found.sort_by_key(|subnet| subnet.order);
    found.into_iter().map(|subnet| subnet.id.clone()).collect()
}

/// Returns the ids of the tables, groups and gateways of every subnet of a network.
pub(crate) fn of_network(arm: &Arm, network: &StoredResource) -> Vec<String> {
    arm.below(&network.id, ArmResourceType::Subnet).into_iter().flat_map(|subnet| of_subnet(arm, subnet)).collect()
}

/// Returns the ids of a subnet's route table, security group and NAT gateway.
pub(crate) fn of_subnet(_: &Arm, subnet: &StoredResource) -> Vec<String> {
    let keys = ["routeTable", "networkSecurityGroup", "natGateway"];
    keys.into_iter().filter_map(|key| reference(&subnet.properties, key)).map(str::to_owned).collect()
}

/// Returns the ids of a NIC's security group, subnets and public addresses.
pub(crate) fn of_interface(_: &Arm, nic: &StoredResource) -> Vec<String> {
    let group = reference(&nic.properties, "networkSecurityGroup").map(str::to_owned);
    let mut ids: Vec<String> = group.into_iter().collect();
    for configuration in objects(&nic.properties, "ipConfigurations") {
        let inner = configuration.get("properties").and_then(Value::as_object);
        let keys = ["subnet", "publicIPAddress"].into_iter();
        ids.extend(keys.filter_map(|key| reference(inner?, key)).map(str::to_owned));
    }
    ids
}

/// Returns the id of the parent, which shows its children in itself.
pub(crate) fn of_child(_: &Arm, child: &StoredResource) -> Vec<String> {
    vec![parent_id(&child.id).to_owned()]
}
