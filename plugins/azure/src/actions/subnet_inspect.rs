use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::Prefix;
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    actions::{
        network_interface::NETWORK_INTERFACE,
        route_table::RouteTableInput,
        security_group::SecurityGroupInput,
        subnet::{SUBNET, prefixes_of, subnets},
        virtual_network::{VirtualNetworkInput, address_space},
        virtual_network_discover::{SCALE_SET, SCALE_SET_NICS_VERSION, subnets_of_nic},
    },
    arm_resource::ArmResource,
    client::{ArmClient, ArmObject, ClusterName, GroupName, NetworkName, ResourceId, VnetName},
    permission::arm,
    route_owner::{RouteOwner, cluster_in_name, has_managed_name},
};

/// Pointers to the prefixes of a peered network, of current and of older API versions.
const PEERED: [&str; 2] =
    ["/properties/remoteAddressSpace/addressPrefixes", "/properties/remoteVirtualNetworkAddressSpace/addressPrefixes"];

/// Action `azure.subnet.inspect`: reads all that decides about the packets of a subnet's machines.
pub(crate) struct SubnetInspect(pub(crate) ArmClient);

/// Subnet to inspect.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubnetInspectInput {
    /// Resource group of the virtual network.
    resource_group: GroupName,
    /// Name of the virtual network.
    virtual_network: VnetName,
    /// Name of the subnet.
    subnet: NetworkName,
    /// Resource group of the machines in the subnet.
    machines: GroupName,
    /// True if some of the machines are instances of scale sets.
    #[serde(default)]
    scale_sets: bool,
    /// Cluster whose routes are managed [default: those of each cluster are].
    #[serde(default)]
    cluster: Option<ClusterName>,
    /// Subnets that the next hops of its routes are in, as for `azure.routes.sync`.
    #[serde(default)]
    next_hops: Option<Vec<Prefix>>,
}

/// Subnet with its security groups and its routes, in the form of the input of `routes.path.check`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InspectedSubnet {
    /// Name of the subnet.
    pub name: String,
    /// Prefixes that belong to the virtual network: its own, and those of peered networks.
    pub network: Vec<String>,
    /// Security groups of the subnet and of the interfaces in it.
    pub security_groups: Vec<InspectedGroup>,
    /// Route table of the subnet; `null` if it has none.
    pub route_table: Option<InspectedTable>,
    /// Interfaces in the subnet.
    #[serde(default)]
    pub interfaces: Vec<InspectedInterface>,
}

/// Network interface of a machine in Azure.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InspectedInterface {
    /// Name of the interface.
    pub name: String,
    /// Its private addresses.
    pub addresses: Vec<String>,
    /// True if IP forwarding is on.
    pub forwards: bool,
}

/// Security group with all its rules.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InspectedGroup {
    /// Name of the security group.
    pub name: String,
    /// Name of its resource group.
    pub resource_group: String,
    /// True if it is the group of the subnet.
    pub of_subnet: bool,
    /// Addresses of the interfaces in the subnet whose group it is.
    pub addresses: Vec<String>,
    /// Rules of both directions, the default rules included.
    pub rules: Vec<InspectedRule>,
}

/// Rule of a security group, as Azure returns it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InspectedRule {
    /// Name of the rule.
    pub name: String,
    /// Priority of the rule: the lowest one that matches decides.
    pub priority: u32,
    /// `Inbound` or `Outbound`.
    pub direction: String,
    /// `Allow` or `Deny`.
    pub access: String,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `*`.
    pub protocol: String,
    /// Prefixes and service tags of the source.
    pub sources: Vec<String>,
    /// Ports and ranges of the source.
    pub source_ports: Vec<String>,
    /// Prefixes and service tags of the destination.
    pub destinations: Vec<String>,
    /// Ports and ranges of the destination.
    pub destination_ports: Vec<String>,
    /// True if the rule names application security groups, whose members are interfaces.
    pub by_application: bool,
}

/// Route table with all its routes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InspectedTable {
    /// Name of the route table.
    pub name: String,
    /// Name of its resource group.
    pub resource_group: String,
    /// All routes for prefixes.
    pub routes: Vec<InspectedRoute>,
}

/// Route of a route table.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InspectedRoute {
    /// Name of the route.
    pub name: String,
    /// Destination of the packets.
    pub prefix: String,
    /// Type of the next hop, such as `VirtualAppliance`.
    pub next_hop_type: String,
    /// Address of the next hop; `null` if its type has none.
    pub next_hop_ip: Option<String>,
    /// True if the route is a managed one of the cluster.
    pub managed: bool,
    /// Other cluster whose deployment has the route, if its name has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_cluster: Option<String>,
}

impl Action for SubnetInspect {
    type Input = SubnetInspectInput;
    type Output = InspectedSubnet;
    const NAME: &'static str = "azure.subnet.inspect";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads the security groups and the routes that decide about a subnet's packets.";

    async fn run(&self, cx: &ActionContext, input: &SubnetInspectInput) -> Result<InspectedSubnet, ActionError> {
        let network = self.0.group(&input.resource_group).resource(VirtualNetworkInput::TYPE, &input.virtual_network);
        let network = self.found(cx, &network).await?;
        let id = network.id.child(SUBNET, &input.subnet);
        let subnet = subnets(&network).into_iter().find(|subnet| subnet.id == id);
        let subnet = subnet.ok_or_else(|| ActionError::permanent("not found").context(id.label()))?;
        let nics = self.interfaces(cx, input, &id).await?;
        Ok(InspectedSubnet {
            name: subnet.name().into(),
            network: network_prefixes(&network, &subnet),
            security_groups: self.groups(cx, &subnet, &nics).await?,
            route_table: self.route_table(cx, input, &subnet).await?,
            interfaces: nics.iter().map(interface).collect(),
        })
    }

    async fn preview(&self, cx: &ActionContext, input: &SubnetInspectInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for SubnetInspect {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Network/virtualNetworks/read"),
        arm("Microsoft.Network/networkInterfaces/read"),
        arm("Microsoft.Network/networkSecurityGroups/read"),
        arm("Microsoft.Network/routeTables/read"),
        arm("Microsoft.Compute/virtualMachineScaleSets/read"),
        arm("Microsoft.Compute/virtualMachineScaleSets/networkInterfaces/read"),
    ];
}

impl SubnetInspect {
    async fn found(&self, cx: &ActionContext, id: &ResourceId) -> Result<ArmObject, ActionError> {
        let object = self.0.get_settled(cx, id).await?;
        object.ok_or_else(|| ActionError::permanent("not found").context(id.label()))
    }

    /// Reads the interfaces of the machines that are in the subnet.
    async fn interfaces(
        &self,
        cx: &ActionContext,
        input: &SubnetInspectInput,
        subnet: &ResourceId,
    ) -> Result<Vec<Value>, ActionError> {
        let group = self.0.group(&input.machines);
        let mut nics: Vec<Value> =
            self.0.list_in(cx, &group, NETWORK_INTERFACE).await?.into_iter().map(|nic| nic.body).collect();
        if input.scale_sets {
            for scale_set in self.0.list_in(cx, &group, SCALE_SET).await? {
                let path = format!("{}/networkInterfaces", scale_set.id.path());
                let own = self.0.list(cx, &path, SCALE_SET_NICS_VERSION).await;
                nics.extend(own.map_err(|e| e.context(scale_set.id.label()))?);
            }
        }
        nics.retain(|nic| subnets_of_nic(nic).contains(subnet));
        Ok(nics)
    }

    /// Reads the security groups of a subnet and of the interfaces in it, each once.
    async fn groups(
        &self,
        cx: &ActionContext,
        subnet: &ArmObject,
        nics: &[Value],
    ) -> Result<Vec<InspectedGroup>, ActionError> {
        let of_subnet = group_id(&subnet.body);
        let mut ids: Vec<ResourceId> = of_subnet.iter().cloned().collect();
        for id in nics.iter().filter_map(group_id) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let mut groups = Vec::with_capacity(ids.len());
        for id in ids {
            let group = self.found(cx, &id.with_type(SecurityGroupInput::TYPE)).await?;
            let has_group = |nic: &&Value| group_id(nic).is_some_and(|id| id == group.id);
            groups.push(InspectedGroup {
                name: group.name().into(),
                resource_group: group.id.group().to_string(),
                of_subnet: of_subnet.as_ref() == Some(&group.id),
                addresses: nics.iter().filter(has_group).flat_map(addresses).collect(),
                rules: rules(&group),
            });
        }
        Ok(groups)
    }

    async fn route_table(
        &self,
        cx: &ActionContext,
        input: &SubnetInspectInput,
        subnet: &ArmObject,
    ) -> Result<Option<InspectedTable>, ActionError> {
        let Some(id) = subnet.id_at("/properties/routeTable/id") else { return Ok(None) };
        let table = self.found(cx, &id.with_type(RouteTableInput::TYPE)).await?;
        let routes = crate::actions::route::routes(&table);
        Ok(Some(InspectedTable {
            name: table.name().into(),
            resource_group: table.id.group().to_string(),
            routes: routes.iter().filter_map(|route| input.route(route)).collect(),
        }))
    }
}

/// Prefixes of a network, of its peered networks and of the subnet itself.
fn network_prefixes(network: &ArmObject, subnet: &ArmObject) -> Vec<String> {
    let own = address_space(network).into_iter().chain(prefixes_of(subnet)).map(|prefix: Prefix| prefix.to_string());
    let peerings = network.items("/properties/virtualNetworkPeerings").iter();
    let peered = peerings.flat_map(|peering| PEERED.iter().filter_map(|pointer| peering.pointer(pointer)?.as_array()));
    let peered = peered.flatten().filter_map(Value::as_str).map(str::to_owned);
    let mut prefixes: Vec<String> = own.chain(peered).collect();
    prefixes.sort();
    prefixes.dedup();
    prefixes
}

/// Id of the security group of a subnet or an interface.
fn group_id(owner: &Value) -> Option<ResourceId> {
    owner.pointer("/properties/networkSecurityGroup/id")?.as_str()?.parse().ok()
}

fn interface(nic: &Value) -> InspectedInterface {
    InspectedInterface {
        name: nic["name"].as_str().unwrap_or_default().to_owned(),
        addresses: addresses(nic),
        forwards: nic.pointer("/properties/enableIPForwarding").and_then(Value::as_bool).unwrap_or_default(),
    }
}

/// Private addresses of an interface.
fn addresses(nic: &Value) -> Vec<String> {
    let configurations = nic.pointer("/properties/ipConfigurations").and_then(Value::as_array);
    let address = |it: &Value| it.pointer("/properties/privateIPAddress")?.as_str().map(str::to_owned);
    configurations.into_iter().flatten().filter_map(address).collect()
}

fn rules(group: &ArmObject) -> Vec<InspectedRule> {
    let lists = ["/properties/securityRules", "/properties/defaultSecurityRules"];
    lists.iter().flat_map(|list| group.items(list)).filter_map(rule).collect()
}

/// A rule, or `None` if it lacks a property that each rule has.
fn rule(body: &Value) -> Option<InspectedRule> {
    let properties = &body["properties"];
    let text = |name: &str| properties[name].as_str().map(str::to_owned);
    let both = |one: &str, many: &str| {
        let one = text(one).filter(|text| !text.is_empty());
        let many = properties[many].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        one.into_iter().chain(many).collect::<Vec<_>>()
    };
    let names_any = |list: &str| properties[list].as_array().is_some_and(|items| !items.is_empty());
    Some(InspectedRule {
        name: body["name"].as_str()?.to_owned(),
        priority: u32::try_from(properties["priority"].as_u64()?).ok()?,
        direction: text("direction")?,
        access: text("access")?,
        protocol: text("protocol")?,
        sources: both("sourceAddressPrefix", "sourceAddressPrefixes"),
        source_ports: both("sourcePortRange", "sourcePortRanges"),
        destinations: both("destinationAddressPrefix", "destinationAddressPrefixes"),
        destination_ports: both("destinationPortRange", "destinationPortRanges"),
        by_application: names_any("sourceApplicationSecurityGroups")
            || names_any("destinationApplicationSecurityGroups"),
    })
}

impl SubnetInspectInput {
    fn route(&self, route: &ArmObject) -> Option<InspectedRoute> {
        let owner = RouteOwner { cluster: self.cluster.as_ref(), next_hops: self.next_hops.as_deref() };
        let managed = has_managed_name(route) && owner.owns(route);
        Some(InspectedRoute {
            name: route.name().into(),
            prefix: route.text("/properties/addressPrefix")?.into(),
            next_hop_type: route.text("/properties/nextHopType")?.into(),
            next_hop_ip: route.text("/properties/nextHopIpAddress").map(str::to_owned),
            managed,
            other_cluster: cluster_in_name(route).filter(|_| !managed).map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_has_its_single_values_and_its_lists() {
        let body = json!({"name": "r", "properties": {"priority": 200, "direction": "Inbound", "access": "Deny",
            "protocol": "Tcp", "sourceAddressPrefix": "", "sourceAddressPrefixes": ["10.0.0.0/8", "VirtualNetwork"],
            "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRanges": ["80", "443"],
            "destinationApplicationSecurityGroups": [{"id": "x"}]}});
        let rule = rule(&body).expect("a rule");
        assert_eq!(rule.sources, ["10.0.0.0/8", "VirtualNetwork"]);
        assert_eq!((rule.source_ports, rule.destinations), (vec!["*".to_owned()], vec!["*".to_owned()]));
        assert_eq!(rule.destination_ports, ["80", "443"]);
        assert!(rule.by_application);
    }
}
