use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arm::exposure::is_closed_to_ssh;
use crate::arm::json::{Object, field, objects, reference, text};
use crate::arm::kind::Kind;
use crate::arm::network::{nics_of, prefixes_of, public_address, subnet_nets};
use crate::arm::store::{Arm, Resource, name_of, parent_id};
use crate::event::{Event, Machine, Nic, Route};

/// What the stream of events was told, so that only differences are told again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Announced {
    networks: BTreeMap<String, Vec<String>>,
    nics: BTreeMap<String, Nic>,
    routes: BTreeMap<String, InForce>,
    /// Machines whose creation finished, by id, since the last telling.
    created: Vec<String>,
    /// Other things that happened to machines since the last telling.
    pub(crate) pending: Vec<Event>,
}

/// The routes in force in a subnet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct InForce {
    network: String,
    subnet: String,
    prefix: String,
    routes: Vec<Route>,
}

impl Announced {
    pub(crate) fn machine_created(&mut self, machine: &Resource) {
        self.created.push(machine.id.clone());
    }
}

/// The events that the resources call for and that were not told yet: networks, NICs, machines, routes, in this order.
pub(crate) fn announcements(arm: &mut Arm) -> Vec<Event> {
    let mut events = networks(arm);
    let gone = nics(arm, &mut events);
    for id in std::mem::take(&mut arm.announced.created) {
        events.extend(arm.find(&id).map(|machine| Event::MachineCreated(machine_of(arm, machine))));
    }
    events.append(&mut arm.announced.pending);
    events.extend(gone.into_iter().map(|id| Event::NicDeleted { id }));
    routes(arm, &mut events);
    events
}

fn networks(arm: &mut Arm) -> Vec<Event> {
    let now: Vec<(String, String, Vec<String>)> = arm
        .of_kind(Kind::VirtualNetwork)
        .filter(|network| network.is_settled())
        .map(|network| (network.id.clone(), network.name.clone(), prefixes_of(network)))
        .collect();
    let mut events = Vec::new();
    for (id, name, prefixes) in now {
        if arm.announced.networks.get(&id) != Some(&prefixes) {
            arm.announced.networks.insert(id.clone(), prefixes.clone());
            events.push(Event::NetworkChanged { id, name, prefixes });
        }
    }
    let known = std::mem::take(&mut arm.announced.networks);
    arm.announced.networks = known.into_iter().filter(|(id, _)| arm.find(id).is_some()).collect();
    events
}

/// Tells changed NICs and gives the ids of those that are gone.
fn nics(arm: &mut Arm, events: &mut Vec<Event>) -> Vec<String> {
    let now: Vec<Nic> = arm.of_kind(Kind::NetworkInterface).filter_map(|nic| nic_of(arm, nic)).collect();
    for nic in now {
        if arm.announced.nics.get(&nic.id) != Some(&nic) {
            events.push(Event::NicChanged(nic.clone()));
            arm.announced.nics.insert(nic.id.clone(), nic);
        }
    }
    let gone: Vec<String> = arm.announced.nics.keys().filter(|id| arm.find(id).is_none()).cloned().collect();
    arm.announced.nics.retain(|id, _| !gone.contains(id));
    gone
}

fn nic_of(arm: &Arm, nic: &Resource) -> Option<Nic> {
    let configurations = objects(&nic.properties, "ipConfigurations");
    let inner = configurations.first()?.get("properties")?.as_object()?;
    let subnet = arm.find(reference(inner, "subnet")?)?;
    let machine = arm
        .of_kind(Kind::VirtualMachine)
        .find(|machine| nics_of(machine).iter().any(|id| id.eq_ignore_ascii_case(&nic.id)));
    let was_closed = || arm.announced.nics.get(&nic.id).is_some_and(|known| known.ssh_closed);
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

fn subnet_prefix(subnet: &Resource) -> String {
    subnet_nets(subnet).first().map(ToString::to_string).unwrap_or_default()
}

fn machine_of(arm: &Arm, machine: &Resource) -> Machine {
    let empty = Value::Object(Object::new());
    let profile = machine.properties.get("osProfile").unwrap_or(&empty);
    let data = machine.hidden.get("customData").and_then(Value::as_str).and_then(|data| STANDARD.decode(data).ok());
    let keys = profile.pointer("/linuxConfiguration/ssh/publicKeys").and_then(Value::as_array);
    Machine {
        name: machine.name.clone(),
        id: machine.id.clone(),
        user_data: data.map(|data| String::from_utf8_lossy(&data).into_owned()).unwrap_or_default(),
        admin_user: text(profile, &["adminUsername"]).unwrap_or_default().to_owned(),
        admin_keys: keys.into_iter().flatten().filter_map(|key| text(key, &["keyData"])).map(str::to_owned).collect(),
        nics: nics_of(machine).iter().filter_map(|id| arm.find(id)).filter_map(|nic| nic_of(arm, nic)).collect(),
    }
}

/// Tells every subnet whose routes are others than before. While something about them is being written, the old ones hold.
fn routes(arm: &mut Arm, events: &mut Vec<Event>) {
    let now: Vec<(String, Option<InForce>)> =
        arm.of_kind(Kind::Subnet).map(|subnet| (subnet.key(), in_force(arm, subnet))).collect();
    for (key, state) in now {
        let Some(state) = state else { continue };
        let known = arm.announced.routes.get(&key);
        let differs = known.map_or(!state.routes.is_empty(), |known| *known != state);
        if differs {
            events.push(changed(&state));
            arm.announced.routes.insert(key, state);
        }
    }
    let gone: Vec<String> =
        arm.announced.routes.keys().filter(|key| !arm.resources.contains_key(*key)).cloned().collect();
    for key in gone {
        if let Some(last) = arm.announced.routes.remove(&key).filter(|last| !last.routes.is_empty()) {
            events.push(changed(&InForce { routes: Vec::new(), ..last }));
        }
    }
}

fn changed(state: &InForce) -> Event {
    Event::RoutesChanged {
        network: state.network.clone(),
        subnet: state.subnet.clone(),
        subnet_prefix: state.prefix.clone(),
        routes: state.routes.clone(),
    }
}

/// `None` while the subnet, its table or one of the routes is being written.
fn in_force(arm: &Arm, subnet: &Resource) -> Option<InForce> {
    let settled = |resource: &Resource| resource.is_settled();
    let table = reference(&subnet.properties, "routeTable").and_then(|id| arm.find(id));
    let routes = table.map(|table| arm.below(&table.id, Kind::Route)).unwrap_or_default();
    if !settled(subnet) || !table.is_none_or(settled) || !routes.iter().all(|route| settled(route)) {
        return None;
    }
    let text = |route: &Resource, key: &str| field(&route.properties, key).map(str::to_owned);
    Some(InForce {
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
