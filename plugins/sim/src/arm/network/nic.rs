use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::arm::behaviour::{Draft, WriteTarget};
use crate::arm::error::ArmError;
use crate::arm::json::{Object, default, drop_keys, field, keep_only_id, objects, reference, text};
use crate::arm::network::address::assign;
use crate::arm::network::attachments::configurations_with;
use crate::arm::network::public_ip::allocate;
use crate::arm::network::references::{require_reference, require_settled};
use crate::arm::store::{Arm, ArmResourceType, StoredResource, parent_id};

/// Checks a NIC, assigns its addresses and adds the defaults.
pub(crate) fn prepare(
    arm: &mut Arm,
    target: &WriteTarget,
    top: Object,
    mut properties: Object,
) -> Result<Draft, ArmError> {
    let configurations = objects(&properties, "ipConfigurations").into_iter().cloned().collect::<Vec<_>>();
    if configurations.is_empty() {
        let message = format!("Network interface {} must have one or more IP configurations.", target.id);
        return Err(ArmError::network("NetworkInterfaceMustHaveIpConfigurations", message));
    }
    let only = configurations.len() == 1;
    let mut prepared: Vec<Value> = Vec::new();
    let mut taken: Vec<Ipv4Addr> = Vec::new();
    for (index, configuration) in configurations.into_iter().enumerate() {
        let (value, address) = configuration_of(arm, target, &configuration, only || index == 0, &taken)?;
        taken.push(address);
        prepared.push(value);
    }
    keep_only_id(&mut properties, "networkSecurityGroup");
    if let Some(group) = reference(&properties, "networkSecurityGroup") {
        require_reference(arm, group, ArmResourceType::SecurityGroup, &target.id)?;
        require_settled(arm, group, &target.id)?;
    }
    let assigned_addresses = assign_public_addresses(arm, &prepared)?;
    properties.insert("ipConfigurations".to_owned(), json!(prepared));
    drop_keys(&mut properties, &READ_ONLY);
    let dns = properties.get("dnsSettings").and_then(|dns| dns.get("dnsServers")).cloned().unwrap_or_else(|| json!([]));
    properties.insert("dnsSettings".to_owned(), json!({ "dnsServers": dns }));
    for (key, value) in [
        ("enableAcceleratedNetworking", json!(false)),
        ("enableIPForwarding", json!(false)),
        ("disableTcpStateTracking", json!(false)),
    ] {
        default(&mut properties, key, value);
    }
    check_flags(&properties)?;
    for (key, value) in [("nicType", "Standard"), ("auxiliaryMode", "None"), ("auxiliarySku", "None")] {
        default(&mut properties, key, json!(value));
    }
    let mut hidden = Object::new();
    if target.existing.is_none() {
        hidden.insert("mac".to_owned(), json!(mac(arm)));
    }
    Ok(Draft { top, properties, hidden, assigned_addresses, ..Draft::default() })
}

/// Assigns an address to each referenced public address without one: a dynamic one gets it with its
/// NIC.
fn assign_public_addresses(arm: &Arm, configurations: &[Value]) -> Result<Vec<(String, String)>, ArmError> {
    let mut assigned: Vec<(String, String)> = Vec::new();
    for configuration in configurations {
        let id = text(configuration, &["properties", "publicIPAddress", "id"]);
        let unassigned = |id: &&str| arm.find(id).is_some_and(|public| !public.hidden.contains_key("address"));
        if let Some(id) = id.filter(unassigned) {
            assigned.push((id.to_owned(), allocate(arm, &assigned)?));
        }
    }
    Ok(assigned)
}

/// Properties that clients send back and that the provider computes.
const READ_ONLY: [&str; 9] = [
    "virtualMachine",
    "macAddress",
    "primary",
    "vnetEncryptionSupported",
    "hostedWorkloads",
    "tapConfigurations",
    "allowPort25Out",
    "defaultOutboundConnectivityEnabled",
    "privateEndpoint",
];

/// Refuses flags that are not boolean.
fn check_flags(properties: &Object) -> Result<(), ArmError> {
    for key in ["enableIPForwarding", "enableAcceleratedNetworking"] {
        if !properties.get(key).is_some_and(Value::is_boolean) {
            let message = format!("Cannot parse the request: the value of '{key}' is not a boolean.");
            return Err(ArmError::network("InvalidRequestFormat", message));
        }
    }
    Ok(())
}

/// Returns a MAC address as Azure's virtual NICs have it: 00-0D-3A is a prefix of Microsoft.
fn mac(arm: &mut Arm) -> String {
    let guid = arm.guid().to_ascii_uppercase();
    format!("00-0D-3A-{}-{}-{}", &guid[..2], &guid[2..4], &guid[4..6])
}

/// Checks one IP configuration; returns it as it is stored, and its address.
fn configuration_of(
    arm: &Arm,
    target: &WriteTarget,
    configuration: &Object,
    first: bool,
    taken: &[Ipv4Addr],
) -> Result<(Value, Ipv4Addr), ArmError> {
    let name = field(configuration, "name").ok_or_else(|| ArmError::missing("ipConfiguration.name"))?.to_owned();
    let mut inner = configuration.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    keep_only_id(&mut inner, "subnet");
    keep_only_id(&mut inner, "publicIPAddress");
    let Some(subnet) = reference(&inner, "subnet").map(str::to_owned) else {
        let message = format!("IP configuration {}/ipConfigurations/{name} does not have a subnet.", target.id);
        return Err(ArmError::network("SubnetMissingInIpConfiguration", message));
    };
    require_reference(arm, &subnet, ArmResourceType::Subnet, &target.id)?;
    require_settled(arm, &subnet, &target.id)?;
    require_settled(arm, parent_id(&subnet), &target.id)?;
    if let Some(public) = reference(&inner, "publicIPAddress") {
        require_reference(arm, public, ArmResourceType::PublicIp, &target.id)?;
        require_settled(arm, public, &target.id)?;
        check_public_free(arm, public, &target.id)?;
    }
    let address = private_address(arm, target, &name, &inner, &subnet, taken)?;
    drop_keys(&mut inner, &["provisioningState", "privateIPAddress"]);
    let mut shown = Object::new();
    shown.insert("privateIPAddress".to_owned(), json!(address.to_string()));
    shown.append(&mut inner);
    default(&mut shown, "privateIPAllocationMethod", json!("Dynamic"));
    default(&mut shown, "primary", json!(first));
    default(&mut shown, "privateIPAddressVersion", json!("IPv4"));
    Ok((json!({ "name": name, "properties": shown }), address))
}

/// Returns the private address of a configuration: a static one as requested, a dynamic one as
/// before while the NIC stays in its subnet.
fn private_address(
    arm: &Arm,
    target: &WriteTarget,
    name: &str,
    inner: &Object,
    subnet: &str,
    taken: &[Ipv4Addr],
) -> Result<Ipv4Addr, ArmError> {
    let is_static =
        field(inner, "privateIPAllocationMethod").is_some_and(|method| method.eq_ignore_ascii_case("Static"));
    let asked = field(inner, "privateIPAddress").filter(|_| is_static);
    if is_static && asked.is_none() {
        let message = format!("Static allocation of IP configuration {name} needs a private IP address.");
        return Err(ArmError::network("PrivateIPAddressMissing", message));
    }
    let held = target.existing.as_ref().and_then(|nic| held_address(nic, name, subnet));
    assign(arm, subnet, asked.or(held.as_deref()), &target.id, taken)
}

/// Returns the address that the configuration had before in this subnet.
fn held_address(nic: &StoredResource, name: &str, subnet: &str) -> Option<String> {
    let configuration =
        objects(&nic.properties, "ipConfigurations").into_iter().find(|each| field(each, "name") == Some(name))?;
    let inner = configuration.get("properties")?.as_object()?;
    let same = reference(inner, "subnet").is_some_and(|id| id.eq_ignore_ascii_case(subnet));
    field(inner, "privateIPAddress").filter(|_| same).map(str::to_owned)
}

/// Refuses a public address that another NIC has.
fn check_public_free(arm: &Arm, public: &str, nic: &str) -> Result<(), ArmError> {
    let user = arm.of_kind(ArmResourceType::NetworkInterface).find(|other| {
        !other.id.eq_ignore_ascii_case(nic) && configurations_with(other, "publicIPAddress", public).next().is_some()
    });
    match user {
        None => Ok(()),
        Some(user) => {
            let message = format!(
                "Resource {nic} is referencing public IP address {public} that is already allocated to resource {}.",
                user.id
            );
            Err(ArmError::network("PublicIPAddressInUse", message))
        }
    }
}
