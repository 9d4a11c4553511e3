use serde_json::{Value, json};

use crate::arm::json::Object;
use crate::arm::network::address::used_in;
use crate::arm::network::attachments::{configurations_with, machine_of, nics_of};
use crate::arm::network::references::{references, subnets_with};
use crate::arm::network::security::default_rules;
use crate::arm::store::{Arm, ArmResourceType, StoredResource, parent_id};

/// Adds the ids of the IP configurations in a subnet.
pub(crate) fn subnet(arm: &Arm, subnet: &StoredResource, shown: &mut Object) {
    list(shown, "ipConfigurations", used_in(arm, &subnet.id).into_iter().map(|(id, _)| id));
}

/// Adds the ids of the subnets that are associated with a route table.
pub(crate) fn route_table(arm: &Arm, table: &StoredResource, shown: &mut Object) {
    list(shown, "subnets", subnets_with(arm, "routeTable", &table.id).into_iter());
}

/// Adds the ids of the subnets that use a NAT gateway.
pub(crate) fn nat_gateway(arm: &Arm, gateway: &StoredResource, shown: &mut Object) {
    list(shown, "subnets", subnets_with(arm, "natGateway", &gateway.id).into_iter());
}

/// Adds the ids as references under `key`; nothing if there are none.
fn list(shown: &mut Object, key: &str, ids: impl Iterator<Item = String>) {
    let ids: Vec<Value> = ids.map(|id| json!({ "id": id })).collect();
    if !ids.is_empty() {
        shown.insert(key.to_owned(), json!(ids));
    }
}

/// Adds the default rules and the ids of subnets and NICs that have the group.
pub(crate) fn security_group(arm: &Arm, group: &StoredResource, shown: &mut Object) {
    shown.insert("defaultSecurityRules".to_owned(), json!(default_rules(group)));
    list(shown, "subnets", subnets_with(arm, "networkSecurityGroup", &group.id).into_iter());
    let nics =
        arm.of_kind(ArmResourceType::NetworkInterface).filter(|nic| references(nic, "networkSecurityGroup", &group.id));
    list(shown, "networkInterfaces", nics.map(|nic| nic.id.clone()));
}

/// Adds the address, once it is written, and the configuration that has it.
pub(crate) fn public_ip(arm: &Arm, public: &StoredResource, shown: &mut Object) {
    let user = arm
        .of_kind(ArmResourceType::NetworkInterface)
        .find_map(|nic| configurations_with(nic, "publicIPAddress", &public.id).next());
    let settled = public.is_settled();
    if let Some(address) = public.hidden.get("address").filter(|_| settled) {
        shown.insert("ipAddress".to_owned(), address.clone());
    }
    if let Some(user) = user {
        shown.insert("ipConfiguration".to_owned(), json!({ "id": user }));
    }
}

/// Adds the parts of a NIC that the provider computes, and its machine.
pub(crate) fn interface(arm: &Arm, nic: &StoredResource, shown: &mut Object) {
    add_part_ids(nic, shown);
    if let Some(dns) = shown.get_mut("dnsSettings").and_then(Value::as_object_mut) {
        dns.insert("appliedDnsServers".to_owned(), json!([]));
        dns.insert("internalDomainNameSuffix".to_owned(), json!("stargatesimulation.cx.internal.cloudapp.net"));
    }
    for (key, value) in [
        ("vnetEncryptionSupported", json!(false)),
        ("hostedWorkloads", json!([])),
        ("tapConfigurations", json!([])),
        ("allowPort25Out", json!(true)),
        ("defaultOutboundConnectivityEnabled", json!(false)),
    ] {
        shown.insert(key.to_owned(), value);
    }
    if let Some(machine) = machine_of(arm, &nic.id) {
        let primary = nics_of(machine).first().is_some_and(|first| first.eq_ignore_ascii_case(&nic.id));
        shown.insert("macAddress".to_owned(), nic.hidden.get("mac").cloned().unwrap_or(Value::Null));
        shown.insert("primary".to_owned(), json!(primary));
        shown.insert("virtualMachine".to_owned(), json!({ "id": machine.id }));
    }
}

/// Adds ids, etags and states to IP configurations, which are not resources of their own.
pub(crate) fn add_part_ids(nic: &StoredResource, shown: &mut Object) {
    let Some(Value::Array(configurations)) = shown.get_mut("ipConfigurations") else { return };
    for configuration in configurations {
        let name = configuration.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut properties = json!({ "provisioningState": nic.state });
        if let (Some(inner), Some(all)) =
            (configuration.get("properties").and_then(Value::as_object), properties.as_object_mut())
        {
            all.extend(inner.clone());
        }
        let etag = format!("W/\"{}\"", nic.etag);
        *configuration = json!({
            "name": name,
            "id": format!("{}/ipConfigurations/{name}", nic.id),
            "etag": etag,
            "type": "Microsoft.Network/networkInterfaces/ipConfigurations",
            "properties": properties,
        });
    }
}

/// Adds the state of a peering: connected if the remote network has one back.
pub(crate) fn peering(arm: &Arm, peering: &StoredResource, shown: &mut Object) {
    let network = parent_id(&peering.id);
    let remote = crate::arm::json::reference(&peering.properties, "remoteVirtualNetwork").unwrap_or_default();
    let back = arm
        .below(remote, ArmResourceType::Peering)
        .into_iter()
        .any(|other| references(other, "remoteVirtualNetwork", network));
    let (state, level) = if back { ("Connected", "FullyInSync") } else { ("Initiated", "FullyInSync") };
    shown.insert("peeringState".to_owned(), json!(state));
    shown.insert("peeringSyncLevel".to_owned(), json!(level));
}
