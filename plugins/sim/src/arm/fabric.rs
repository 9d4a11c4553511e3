use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;

use crate::arm::json::{field, objects, reference, text};
use crate::arm::network::{prefixes_of, subnet_nets};
use crate::arm::security_group::{Direction, PacketFlow, SecurityGroup};
use crate::arm::store::{Arm, ArmResourceType, StoredResource, group_of, name_of, parent_id};

/// The virtual networks as a packet meets them. Resources that are being written are left out.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetworkFabric {
    /// NICs with an address, of machines and of scale set instances.
    pub(crate) nics: Vec<FabricNic>,
    /// By lower-case id.
    pub(crate) subnets: BTreeMap<String, FabricSubnet>,
    /// By lower-case id: those of NICs and subnets.
    pub(crate) groups: BTreeMap<String, SecurityGroup>,
}

/// A NIC with an address.
#[derive(Debug, Clone)]
pub(crate) struct FabricNic {
    /// Lower-case id of the NIC.
    pub(crate) id: String,
    pub(crate) name: String,
    /// Lower-case id of its subnet.
    pub(crate) subnet: String,
    /// Private addresses, in the order of the IP configurations.
    pub(crate) addresses: Vec<Ipv4Addr>,
    /// Value of `enableIPForwarding`: the NIC may carry packets of others.
    pub(crate) forwards: bool,
    /// Lower-case id of its security group.
    pub(crate) group: Option<String>,
    /// The node of a cluster that it belongs to.
    pub(crate) node: Option<ClusterNode>,
}

/// An instance of a cluster's scale set.
#[derive(Debug, Clone)]
pub(crate) struct ClusterNode {
    pub(crate) name: String,
    /// Prefix from which the cluster's pods get addresses.
    pub(crate) pod_cidr: Option<Ipv4Net>,
}

/// A subnet with what routes its packets.
#[derive(Debug, Clone)]
pub(crate) struct FabricSubnet {
    pub(crate) name: String,
    /// Lower-case id of its network.
    pub(crate) network: String,
    /// The network's prefixes.
    pub(crate) space: Vec<Ipv4Net>,
    /// Name of the table that is associated.
    pub(crate) table: Option<String>,
    pub(crate) routes: Vec<FabricRoute>,
    /// Lower-case id of its security group.
    pub(crate) group: Option<String>,
}

/// Rule of a security group that drops a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupRefusal<'a> {
    /// Name of the NIC or subnet that has the group.
    pub(crate) at: &'a str,
    pub(crate) group: &'a str,
    /// Name of the rule.
    pub(crate) rule: &'a str,
}

/// A user-defined route.
#[derive(Debug, Clone)]
pub(crate) struct FabricRoute {
    /// Destination of the route.
    pub(crate) prefix: Ipv4Net,
    /// Type of the next hop, such as `VirtualAppliance`.
    pub(crate) kind: String,
    /// Address of the next hop; `None` unless the type has one.
    pub(crate) hop: Option<Ipv4Addr>,
}

/// Returns the configuration in force in all virtual networks.
pub(crate) fn fabric(arm: &Arm) -> NetworkFabric {
    let nics = || arm.of_kind(ArmResourceType::NetworkInterface).chain(arm.of_kind(ArmResourceType::ScaleSetNic));
    NetworkFabric {
        nics: nics().filter_map(|nic| fabric_nic(arm, nic)).collect(),
        groups: groups_of(arm, nics().chain(arm.of_kind(ArmResourceType::Subnet))),
        subnets: arm
            .of_kind(ArmResourceType::Subnet)
            .map(|subnet| (subnet.key(), fabric_subnet(arm, subnet)))
            .collect(),
    }
}

/// The security groups that NICs and subnets name, by lower-case id.
pub(crate) fn groups_of<'a>(
    arm: &Arm,
    owners: impl Iterator<Item = &'a StoredResource>,
) -> BTreeMap<String, SecurityGroup> {
    let keys: BTreeSet<String> = owners.filter_map(group_key).collect();
    let group = |key: String| {
        let group = arm.find_kind(&key, ArmResourceType::SecurityGroup)?;
        Some((key, SecurityGroup::of(arm, group)))
    };
    keys.into_iter().filter_map(group).collect()
}

/// Returns the lower-case id of the security group of a NIC or subnet.
fn group_key(owner: &StoredResource) -> Option<String> {
    reference(&owner.properties, "networkSecurityGroup").map(str::to_ascii_lowercase)
}

impl NetworkFabric {
    /// Returns the rule that drops the first packet of a connection at a NIC, or `None`. An inbound
    /// packet passes the group of the subnet first, an outbound one the group of the NIC.
    pub(crate) fn refusal<'a>(
        &'a self,
        nic: &'a FabricNic,
        direction: Direction,
        flow: &PacketFlow,
    ) -> Option<GroupRefusal<'a>> {
        let subnet = self.subnets.get(&nic.subnet);
        let of_subnet = subnet.and_then(|subnet| Some((subnet.name.as_str(), subnet.group.as_ref()?)));
        let of_nic = nic.group.as_ref().map(|group| (nic.name.as_str(), group));
        let order = match direction {
            Direction::Inbound => [of_subnet, of_nic],
            Direction::Outbound => [of_nic, of_subnet],
        };
        let network = subnet.map(|subnet| nic.virtual_network(subnet)).unwrap_or_default();
        order.into_iter().flatten().find_map(|(at, key)| {
            let group = self.groups.get(key)?;
            let rule = group.refusal(direction, flow, &network)?;
            Some(GroupRefusal { at, group: &group.name, rule })
        })
    }
}

impl FabricNic {
    /// Returns the prefixes of the tag `VirtualNetwork` in rules about this NIC: the network, the
    /// destinations of the subnet's own routes, and the pod CIDR of the cluster that it is a node
    /// of, which Azure carries between nodes without a rule.
    fn virtual_network(&self, subnet: &FabricSubnet) -> Vec<Ipv4Net> {
        let pods = self.node.as_ref().and_then(|node| node.pod_cidr);
        subnet.space.iter().copied().chain(subnet.routes.iter().map(|route| route.prefix)).chain(pods).collect()
    }
}

/// Returns `false` if a machine is stopped or deallocated. A machine that Azure does not know has
/// power.
pub(crate) fn has_power(arm: &Arm, machine: &str) -> bool {
    let power = arm.find(machine).and_then(|machine| machine.hidden.get("power")?.as_str());
    !matches!(power, Some("stopped" | "deallocated"))
}

/// Returns a NIC as a packet meets it, or `None` if no configuration has a subnet.
pub(crate) fn fabric_nic(arm: &Arm, nic: &StoredResource) -> Option<FabricNic> {
    let configurations = objects(&nic.properties, "ipConfigurations");
    let inner = configurations.iter().filter_map(|configuration| configuration.get("properties")?.as_object());
    let addresses = inner.clone().filter_map(|inner| field(inner, "privateIPAddress")?.parse().ok()).collect();
    Some(FabricNic {
        id: nic.key(),
        name: nic.name.clone(),
        subnet: inner.clone().find_map(|inner| reference(inner, "subnet"))?.to_ascii_lowercase(),
        addresses,
        forwards: nic.properties.get("enableIPForwarding") == Some(&Value::Bool(true)),
        group: group_key(nic),
        node: (nic.kind == ArmResourceType::ScaleSetNic).then(|| cluster_node(arm, nic)).flatten(),
    })
}

/// Returns the cluster node of a scale set's NIC. Its name in the cluster is its host name in lower
/// case.
fn cluster_node(arm: &Arm, nic: &StoredResource) -> Option<ClusterNode> {
    let machine = arm.find_kind(parent_id(&nic.id), ArmResourceType::ScaleSetVm)?;
    let name = text(machine.properties.get("osProfile")?, &["computerName"])?.to_ascii_lowercase();
    let group = group_of(&nic.id);
    let cluster = arm.of_kind(ArmResourceType::ManagedCluster).find(|cluster| {
        field(&cluster.properties, "nodeResourceGroup").is_some_and(|nodes| nodes.eq_ignore_ascii_case(group))
    });
    let profile = cluster.and_then(|cluster| cluster.properties.get("networkProfile"));
    let pod_cidr = profile.and_then(|profile| text(profile, &["podCidr"])).and_then(|text| text.parse().ok());
    Some(ClusterNode { name, pod_cidr })
}

/// Returns a subnet with its routes in force: those of its table that were written successfully.
pub(crate) fn fabric_subnet(arm: &Arm, subnet: &StoredResource) -> FabricSubnet {
    let network = parent_id(&subnet.id);
    let space = arm.find(network).map(prefixes_of).unwrap_or_default();
    let table = reference(&subnet.properties, "routeTable").and_then(|id| arm.find(id));
    let routes = table.map(|table| arm.below(&table.id, ArmResourceType::Route)).unwrap_or_default();
    let own = subnet_nets(subnet).into_iter().filter_map(|net| if let IpNet::V4(net) = net { Some(net) } else { None });
    FabricSubnet {
        name: subnet.name.clone(),
        network: network.to_ascii_lowercase(),
        space: space.iter().filter_map(|prefix| prefix.parse().ok()).chain(own).collect(),
        table: table.map(|table| name_of(&table.id).to_owned()),
        routes: routes.into_iter().filter(|route| route.state == "Succeeded").filter_map(fabric_route).collect(),
        group: group_key(subnet),
    }
}

/// Returns a route, or `None` if its destination is a service tag, which is not simulated.
fn fabric_route(route: &StoredResource) -> Option<FabricRoute> {
    let text = |key: &str| field(&route.properties, key);
    Some(FabricRoute {
        prefix: text("addressPrefix")?.parse().ok()?,
        kind: text("nextHopType")?.to_owned(),
        hop: text("nextHopIpAddress").and_then(|hop| hop.parse().ok()),
    })
}
