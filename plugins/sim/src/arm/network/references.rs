use serde_json::Value;

use crate::arm::error::ArmError;
use crate::arm::json::{objects, reference};
use crate::arm::kind::Kind;
use crate::arm::network::nic::{configurations_with, machine_of, nics_of};
use crate::arm::network::vnet::check_subnet_unused;
use crate::arm::operation::retry_after;
use crate::arm::store::{Arm, Resource, parent_id};

/// Refuses a reference to something that does not exist or is something else.
pub(crate) fn require_reference(arm: &Arm, id: &str, kind: Kind, by: &str) -> Result<(), ArmError> {
    match arm.find_kind(id, kind) {
        Some(_) => Ok(()),
        None => Err(ArmError::bad_reference(id, by)),
    }
}

/// Refuses, to be tried again, while what is referenced is being written.
pub(crate) fn require_settled(arm: &Arm, id: &str, by: &str) -> Result<(), ArmError> {
    let Some(resource) = arm.find(id).filter(|resource| !resource.is_settled()) else { return Ok(()) };
    let operation = match resource.kind {
        Kind::Subnet => "PutSubnetOperation",
        Kind::VirtualNetwork => "PutVirtualNetworkOperation",
        Kind::RouteTable => "PutRouteTableOperation",
        Kind::PublicIp => "PutPublicIpAddressOperation",
        _ => "PutNetworkSecurityGroupOperation",
    };
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

/// Refuses to delete a network resource that something uses.
pub(crate) fn check_unused(arm: &Arm, resource: &Resource) -> Result<(), ArmError> {
    match resource.kind {
        Kind::Subnet => check_subnet_unused(arm, resource),
        Kind::VirtualNetwork => {
            arm.below(&resource.id, Kind::Subnet).into_iter().try_for_each(|subnet| check_subnet_unused(arm, subnet))
        }
        Kind::RouteTable => {
            check_no_subnet(arm, resource, "routeTable", "InUseRouteTableCannotBeDeleted", "Route table")
        }
        Kind::SecurityGroup => {
            let code = "InUseNetworkSecurityGroupCannotBeDeleted";
            check_no_subnet(arm, resource, "networkSecurityGroup", code, "Network security group")?;
            check_no_nic(arm, resource, code)
        }
        Kind::NatGateway => {
            check_no_subnet(arm, resource, "natGateway", "InUseNatGatewayCannotBeDeleted", "Nat gateway")
        }
        Kind::PublicIp => check_public_ip(arm, resource),
        Kind::NetworkInterface => match machine_of(arm, &resource.id) {
            Some(machine) => Err(ArmError::network(
                "NicInUse",
                format!(
                    "Network Interface {} is used by existing resource {}. In order to delete the network interface, it must be dissociated from the resource.",
                    resource.id, machine.id
                ),
            )),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn check_no_subnet(arm: &Arm, resource: &Resource, key: &str, code: &str, word: &str) -> Result<(), ArmError> {
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

fn check_no_nic(arm: &Arm, group: &Resource, code: &str) -> Result<(), ArmError> {
    let user = arm.of_kind(Kind::NetworkInterface).find(|nic| references(nic, "networkSecurityGroup", &group.id));
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

fn check_public_ip(arm: &Arm, public: &Resource) -> Result<(), ArmError> {
    let user = arm
        .of_kind(Kind::NetworkInterface)
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

/// Whether the resource's reference `key` is `id`.
pub(crate) fn references(resource: &Resource, key: &str, id: &str) -> bool {
    reference(&resource.properties, key).is_some_and(|referenced| referenced.eq_ignore_ascii_case(id))
}

/// Ids of the subnets whose reference `key` is `id`.
pub(crate) fn subnets_with(arm: &Arm, key: &str, id: &str) -> Vec<String> {
    let mut found: Vec<&Resource> = arm.of_kind(Kind::Subnet).filter(|subnet| references(subnet, key, id)).collect();
    found.sort_by_key(|subnet| subnet.order);
    found.into_iter().map(|subnet| subnet.id.clone()).collect()
}

/// Ids of resources that show this one in themselves: their etags change with it.
pub(crate) fn related(arm: &Arm, resource: &Resource) -> Vec<String> {
    let own = |keys: &[&str]| -> Vec<String> {
        keys.iter().filter_map(|key| reference(&resource.properties, key)).map(str::to_owned).collect()
    };
    match resource.kind {
        Kind::Subnet => own(&["routeTable", "networkSecurityGroup", "natGateway"]),
        Kind::VirtualNetwork => {
            arm.below(&resource.id, Kind::Subnet).into_iter().flat_map(|subnet| related(arm, subnet)).collect()
        }
        Kind::NetworkInterface => {
            let mut ids = own(&["networkSecurityGroup"]);
            for configuration in objects(&resource.properties, "ipConfigurations") {
                let inner = configuration.get("properties").and_then(Value::as_object);
                ids.extend(
                    ["subnet", "publicIPAddress"].iter().filter_map(|key| reference(inner?, key)).map(str::to_owned),
                );
            }
            ids
        }
        Kind::VirtualMachine => nics_of(resource),
        Kind::Route | Kind::SecurityRule | Kind::Peering => vec![parent_id(&resource.id).to_owned()],
        _ => Vec::new(),
    }
}
