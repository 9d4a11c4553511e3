use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::json;

use crate::arm::behaviour::NewResource;
use crate::arm::json::{object, text};
use crate::arm::network::{first_free, used_in};
use crate::arm::store::{Arm, ArmResourceType, StoredResource, name_of};

/// Digits of an instance's number in its host name.
const DIGITS: usize = 6;

/// Instance that a scale set gets.
pub(crate) struct NewInstance<'a> {
    /// Id of the scale set.
    pub(crate) set: &'a str,
    /// Name of the scale set.
    pub(crate) name: &'a str,
    /// Number of the instance within its scale set.
    pub(crate) index: u64,
    /// Id of the subnet.
    pub(crate) subnet: &'a str,
    /// Size of the machine, such as `Standard_D2ads_v5`.
    pub(crate) size: &'a str,
    pub(crate) location: &'a str,
}

impl NewInstance<'_> {
    /// Returns the host name that AKS gives to the instance.
    pub(crate) fn computer_name(&self) -> String {
        format!("{}{}", self.name, base36(self.index))
    }
}

/// Addresses of the nodes' subnet that no NIC has, in ascending order.
pub(crate) struct FreeAddresses {
    taken: Vec<Ipv4Addr>,
}

impl FreeAddresses {
    /// Returns the free addresses of a subnet, given its id.
    pub(crate) fn of(arm: &Arm, subnet: &str) -> Self {
        Self { taken: used_in(arm, subnet).into_iter().map(|(_, address)| address).collect() }
    }

    /// Takes the first free address, or `None` if the subnet is full.
    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        let net = Ipv4Net::new_assert(Ipv4Addr::new(10, 224, 0, 0), 16);
        let address = first_free(net, &self.taken)?;
        self.taken.push(address);
        Some(address)
    }
}

/// Returns the machine and the NIC of an instance with this host name and address.
pub(crate) fn new_instance(
    instance: &NewInstance<'_>,
    computer: &str,
    address: Ipv4Addr,
    created: Timestamp,
) -> [NewResource; 2] {
    let NewInstance { set, name, index, subnet, size, location } = instance;
    let id = format!("{set}/virtualMachines/{index}");
    let nic = format!("{id}/networkInterfaces/{name}");
    let machine = json!({
        "latestModelApplied": true,
        "modelDefinitionApplied": "VirtualMachineScaleSet",
        "hardwareProfile": { "vmSize": size },
        "osProfile": { "computerName": computer, "adminUsername": "azureuser" },
        "networkProfile": { "networkInterfaces": [{ "id": nic }] },
    });
    let interface = json!({
        "enableIPForwarding": true,
        "enableAcceleratedNetworking": true,
        "primary": true,
        "virtualMachine": { "id": id },
        "ipConfigurations": [{
            "name": "ipconfig1",
            "properties": {
                "privateIPAddress": address.to_string(),
                "privateIPAllocationMethod": "Dynamic",
                "subnet": { "id": subnet },
                "primary": true,
                "privateIPAddressVersion": "IPv4",
            },
        }],
    });
    let mut vm = NewResource::new(&id, ArmResourceType::ScaleSetVm, location, object(machine), created);
    vm.name = Some(format!("{name}_{index}"));
    vm.top.insert("instanceId".to_owned(), json!(index.to_string()));
    vm.top.insert("sku".to_owned(), json!({ "name": size, "tier": "Standard" }));
    [vm, NewResource::new(&nic, ArmResourceType::ScaleSetNic, location, object(interface), created)]
}

/// Formats a number as scale sets count the host names of their instances: six digits of base 36.
fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    for _ in 0..DIGITS {
        digits.push(
            char::from_digit(u32::try_from(number % 36).unwrap_or_default(), 36).unwrap_or('0').to_ascii_uppercase(),
        );
        number /= 36;
    }
    digits.iter().rev().collect()
}

/// Returns the scale set whose name the node's name begins with, or else the first one.
pub(crate) fn scale_set_of(arm: &Arm, node: &str) -> Option<StoredResource> {
    let mut sets = arm.of_kind(ArmResourceType::ScaleSet);
    let by_name = arm.of_kind(ArmResourceType::ScaleSet).find(|set| node.starts_with(&set.name));
    by_name.or_else(|| sets.next()).cloned()
}

/// Returns the id of the subnet that a scale set's NICs are in.
pub(crate) fn subnet_of(set: &StoredResource) -> Option<&str> {
    let configuration = set.properties.get("virtualMachineProfile")?.pointer(
        "/networkProfile/networkInterfaceConfigurations/0/properties/ipConfigurations/0/properties/subnet/id",
    )?;
    configuration.as_str()
}

/// Returns the instance with this host name.
pub(crate) fn instance_named(arm: &Arm, node: &str) -> Option<StoredResource> {
    let is_called = |machine: &&StoredResource| {
        let name = machine.properties.get("osProfile").and_then(|profile| text(profile, &["computerName"]));
        name.is_some_and(|name| name.eq_ignore_ascii_case(node))
    };
    arm.of_kind(ArmResourceType::ScaleSetVm).find(is_called).cloned()
}

/// Returns the number of a new instance: the one in its host name, or else the number after the
/// highest in use.
pub(crate) fn index_of(arm: &Arm, set: &StoredResource, node: &str) -> u64 {
    let number = |machine: &StoredResource| name_of(&machine.id).parse::<u64>().ok();
    let taken: Vec<u64> = arm.below(&set.id, ArmResourceType::ScaleSetVm).into_iter().filter_map(number).collect();
    let digits = node.strip_prefix(set.name.as_str()).filter(|digits| digits.len() == DIGITS);
    let named = digits.and_then(|digits| u64::from_str_radix(digits, 36).ok()).filter(|index| !taken.contains(index));
    named.unwrap_or_else(|| taken.iter().max().map_or(0, |highest| highest + 1))
}

/// Returns the number of instances of a scale set.
pub(crate) fn instance_count(arm: &Arm, set: &StoredResource) -> usize {
    arm.below(&set.id, ArmResourceType::ScaleSetVm).len()
}
