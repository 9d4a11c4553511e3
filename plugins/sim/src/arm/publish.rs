use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::arm::exposure::is_closed_to_ssh;
use crate::arm::json::{Object, field, objects, reference, text};
use crate::arm::network::{nics_of, prefixes_of, public_address, subnet_nets};
use crate::arm::store::{Arm, ArmResourceType, RoutesInForce, StoredResource, name_of, parent_id};
use crate::event::{Event, MachineSpec, Nic, Route};

/// Returns the events for everything that has changed since the last call: networks, NICs,
/// machines, routes, in this order.
pub(crate) fn unpublished_events(arm: &mut Arm) -> Vec<Event> {
    let mut events = networks(arm);
    let gone = nics(arm, &mut events);
    for id in std::mem::take(&mut arm.published.created) {
        events.extend(arm.find(&id).map(|machine| Event::MachineCreated(published_machine(arm, machine))));
    }
    events.append(&mut arm.published.pending);
    events.extend(gone.into_iter().map(|id| Event::NicDeleted { id }));
    routes(arm, &mut events);
    events
}

/// Returns the events of changed networks.
fn networks(arm: &mut Arm) -> Vec<Event> {
    let now: Vec<(String, String, Vec<String>)> = arm
        .of_kind(ArmResourceType::VirtualNetwork)
        .filter(|network| network.is_settled())
        .map(|network| (network.id.clone(), network.name.clone(), prefixes_of(network)))
        .collect();
    let mut events = Vec::new();
    for (id, name, prefixes) in now {
        if arm.published.networks.get(&id) != Some(&prefixes) {
            arm.published.networks.insert(id.clone(), prefixes.clone());
            events.push(Event::NetworkChanged { id, name, prefixes });
        }
    }
    let known = std::mem::take(&mut arm.published.networks);
    arm.published.networks = known.into_iter().filter(|(id, _)| arm.find(id).is_some()).collect();
    events
}

/// Adds the events of changed NICs, and returns the ids of those that are gone.
fn nics(arm: &mut Arm, events: &mut Vec<Event>) -> Vec<String> {
    let now: Vec<Nic> =
        arm.of_kind(ArmResourceType::NetworkInterface).filter_map(|nic| published_nic(arm, nic)).collect();
    for nic in now {
        if arm.published.nics.get(&nic.id) != Some(&nic) {
            events.push(Event::NicChanged(nic.clone()));
            arm.published.nics.insert(nic.id.clone(), nic);
        }
    }
    let gone: Vec<String> = arm.published.nics.keys().filter(|id| arm.find(id).is_none()).cloned().collect();
    arm.published.nics.retain(|id, _| !gone.contains(id));
    gone
}

/// Returns a NIC as events have it, or `None` while it is incomplete.
fn published_nic(arm: &Arm, nic: &StoredResource) -> Option<Nic> {
    let configurations = objects(&nic.properties, "ipConfigurations");
    let inner = configurations.first()?.get("properties")?.as_object()?;
    let subnet = arm.find(reference(inner, "subnet")?)?;
    let machine = arm
        .of_kind(ArmResourceType::VirtualMachine)
        .find(|machine| nics_of(machine).iter().any(|id| id.eq_ignore_ascii_case(&nic.id)));
    let was_closed = || arm.published.nics.get(&nic.id).is_some_and(|known| known.ssh_closed);
    Some(Nic {
        id: nic.id.clone(),
        machine: machine.map(|machine| machine.name.clone()),
        network: name_of(parent_id(&subnet.id)).to_owned(),
        subnet: subnet.name.clone(),
        subnet_prefix: subnet_prefix(subnet),
        private_ip: field(inner, "privateIPAddress")?.to_owned(),
        public_ip: public_address(arm, nic),
        ssh_closed: is_closed_to_ssh(arm, nic).unwrap_or_else(was_closed),
        ip_forwarding: nic.properties.get("enableIPForwarding") == Some(&Value::Bool(true)),
        mac: nic.hidden.get("mac").and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}

/// Returns the first prefix of a subnet, or the empty text.
fn subnet_prefix(subnet: &StoredResource) -> String {
    subnet_nets(subnet).first().map(ToString::to_string).unwrap_or_default()
}

/// Returns a machine as its first boot needs it.
fn published_machine(arm: &Arm, machine: &StoredResource) -> MachineSpec {
    let empty = Value::Object(Object::new());
    let profile = machine.properties.get("osProfile").unwrap_or(&empty);
    let data = machine.hidden.get("customData").and_then(Value::as_str).and_then(|data| STANDARD.decode(data).ok());
    let keys = profile.pointer("/linuxConfiguration/ssh/publicKeys").and_then(Value::as_array);
    MachineSpec {
        name: machine.name.clone(),
        id: machine.id.clone(),
        user_data: data.map(|data| String::from_utf8_lossy(&data).into_owned()).unwrap_or_default(),
        admin_user: text(profile, &["adminUsername"]).unwrap_or_default().to_owned(),
        admin_keys: keys.into_iter().flatten().filter_map(|key| text(key, &["keyData"])).map(str::to_owned).collect(),
        nics: nics_of(machine).iter().filter_map(|id| arm.find(id)).filter_map(|nic| published_nic(arm, nic)).collect(),
    }
}

/// Adds an event for every subnet whose routes changed. While one of them is being written, the
/// previous routes apply.
fn routes(arm: &mut Arm, events: &mut Vec<Event>) {
    let now: Vec<(String, Option<RoutesInForce>)> =
        arm.of_kind(ArmResourceType::Subnet).map(|subnet| (subnet.key(), in_force(arm, subnet))).collect();
    for (key, state) in now {
        let Some(state) = state else { continue };
        let known = arm.published.routes.get(&key);
        let differs = known.map_or(!state.routes.is_empty(), |known| *known != state);
        if differs {
            events.push(changed(&state));
            arm.published.routes.insert(key, state);
        }
    }
    let gone: Vec<String> =
        arm.published.routes.keys().filter(|key| !arm.resources.contains_key(*key)).cloned().collect();
    for key in gone {
        if let Some(last) = arm.published.routes.remove(&key).filter(|last| !last.routes.is_empty()) {
            events.push(changed(&RoutesInForce { routes: Vec::new(), ..last }));
        }
    }
}

/// Returns the event of a subnet's routes.
fn changed(state: &RoutesInForce) -> Event {
    Event::RoutesChanged {
        network: state.network.clone(),
        subnet: state.subnet.clone(),
        subnet_prefix: state.prefix.clone(),
        routes: state.routes.clone(),
    }
}

/// Returns the routes in force in a subnet, or `None` while it, its table or one of the routes is
/// being written.
fn in_force(arm: &Arm, subnet: &StoredResource) -> Option<RoutesInForce> {
    let settled = |resource: &StoredResource| resource.is_settled();
    let table = reference(&subnet.properties, "routeTable").and_then(|id| arm.find(id));
    let routes = table.map(|table| arm.below(&table.id, ArmResourceType::Route)).unwrap_or_default();
    if !settled(subnet) || !table.is_none_or(settled) || !routes.iter().all(|route| settled(route)) {
        return None;
    }
    let text = |route: &StoredResource, key: &str| field(&route.properties, key).map(str::to_owned);
    Some(RoutesInForce {
        network: name_of(parent_id(&subnet.id)).to_owned(),
        subnet: subnet.name.clone(),
        prefix: subnet_prefix(subnet),
        routes: routes
            .into_iter()
            .filter(|route| route.state == "Succeeded")
            .map(|route| Route {
                prefix: text(route, "addressPrefix").unwrap_or_default(),
                next_hop_type: text(route, "nextHopType").unwrap_or_default(),
                next_hop: text(route, "nextHopIpAddress"),
            })
            .collect(),
    })
}
