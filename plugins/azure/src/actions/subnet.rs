use std::net::IpAddr;

use azure_mgmt_network::package_2024_03::models::{NetworkSecurityGroup, Resource, Subnet, SubnetPropertiesFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_client::Prefix;
use stargate_sdk::{ActionContext, ActionError, Difference, Permission};

use crate::{
    actions::virtual_network::{VirtualNetworkInput, address_space},
    arm_resource::{ArmEnsure, ArmResource, id_and_name},
    client::{ArmClient, ArmObject, GroupName, NetworkName, Precondition, ResourceId, ResourceType, VnetName, body},
    permission::{arm, on, read_and_write},
};

/// Subnets of virtual networks.
pub(crate) const SUBNET: ResourceType =
    ResourceType { kind: "Microsoft.Network/virtualNetworks/subnets", api_version: "2024-01-01", noun: "subnet" };

/// Desired state of a subnet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubnetInput {
    /// Resource group of the virtual network.
    resource_group: GroupName,
    /// Name of the virtual network.
    virtual_network: VnetName,
    /// Name of the subnet.
    name: NetworkName,
    /// Prefix of the subnet, inside the network and apart from its other subnets.
    prefix: Prefix,
    /// Id of the security group of its machines; without it, the actual one is kept.
    #[serde(default)]
    network_security_group_id: Option<ResourceId>,
    /// Id of the NAT gateway for machines without a public address; without it, the actual one is
    /// kept.
    #[serde(default)]
    nat_gateway_id: Option<ResourceId>,
}

/// Subnet in its desired state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubnetEnsureOutput {
    /// Id of the subnet.
    pub id: String,
    /// Name of the subnet.
    pub name: String,
    /// Prefix of the subnet.
    pub prefix: String,
    /// First host address, at which Azure's own router answers.
    pub gateway: IpAddr,
}

impl SubnetInput {
    /// Id of the virtual network, which is read and locked as a whole.
    fn network(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(VirtualNetworkInput::TYPE, &self.virtual_network)
    }

    fn id(&self, arm: &ArmClient) -> ResourceId {
        self.network(arm).child(SUBNET, &self.name)
    }

    /// Desired references of the subnet: property, noun and id.
    fn references(&self) -> impl Iterator<Item = (&'static str, &'static str, &ResourceId)> {
        let group =
            self.network_security_group_id.iter().map(|id| ("networkSecurityGroup", "network security group", id));
        let gateway = self.nat_gateway_id.iter().map(|id| ("natGateway", "NAT gateway", id));
        group.chain(gateway)
    }

    /// Difference of a subnet that does not exist.
    fn missing(&self, id: &ResourceId) -> Difference {
        Difference::missing(id.label(), self.prefix.to_string())
    }
}

impl ArmEnsure for SubnetInput {
    /// The whole virtual network: all its prefixes and subnets decide whether the prefix fits.
    type Actual = ArmObject;
    type Output = SubnetEnsureOutput;
    const NAME: &'static str = "azure.subnet.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a virtual network has a subnet with a prefix.";
    const TYPES: &'static [ResourceType] = &[SUBNET];

    fn permissions() -> Vec<Permission> {
        let network = on(VirtualNetworkInput::TYPE, "read");
        [network].into_iter().chain(subnet_permissions()).collect()
    }

    async fn read(&self, cx: &ActionContext, arm: &ArmClient) -> Result<Option<ArmObject>, ActionError> {
        let id = self.network(arm);
        let network = arm.get_settled(cx, &id).await?;
        network.map(Some).ok_or_else(|| ActionError::permanent("not found").context(id.label()))
    }

    fn diff(&self, arm: &ArmClient, actual: Option<&ArmObject>) -> Result<Vec<Difference>, ActionError> {
        let id = self.id(arm);
        let Some(network) = actual else { return Ok(vec![self.missing(&id)]) };
        let (own, others): (Vec<_>, Vec<_>) = subnets(network).into_iter().partition(|subnet| subnet.id == id);
        let Some(subnet) = own.first() else {
            check_contained(self, network).map_err(|e| e.context(id.label()))?;
            check_apart(self, &others).map_err(|e| e.context(id.label()))?;
            return Ok(vec![self.missing(&id)]);
        };
        check_prefix(self, subnet)?;
        Ok(reference_differences(self, subnet)?.into_iter().chain(subnet.failed_state()).collect())
    }

    async fn apply(&self, cx: &ActionContext, arm: &ArmClient, _: Option<&ArmObject>) -> Result<(), ActionError> {
        let _guard = arm.lock_for_write(cx, &[&self.network(arm)]).await?;
        // Another step may have written to the network while this one waited for the lock.
        let network = self.read(cx, arm).await?;
        if self.diff(arm, network.as_ref())?.is_empty() {
            return Ok(());
        }
        let id = self.id(arm);
        match arm.get_settled(cx, &id).await? {
            Some(actual) => {
                let precondition = Precondition::unchanged(&actual);
                arm.put(cx, &id, with_references(self, actual.body), precondition).await
            }
            None => arm.put(cx, &id, new_body(self), Some(Precondition::Absent)).await,
        }
    }

    fn output(
        &self,
        _: &ActionContext,
        arm: &ArmClient,
        network: &ArmObject,
    ) -> Result<SubnetEnsureOutput, ActionError> {
        let id = self.id(arm);
        let subnet = subnets(network).into_iter().find(|subnet| subnet.id == id);
        let subnet = subnet.ok_or_else(|| ActionError::transient("not found").context(id.label()))?;
        let gateway = self.prefix.first_host();
        Ok(SubnetEnsureOutput {
            id: subnet.id(),
            name: subnet.name().into(),
            prefix: self.prefix.to_string(),
            gateway: gateway.ok_or_else(|| ActionError::permanent("its prefix has no host").context(id.label()))?,
        })
    }

    fn certain(&self, arm: &ArmClient) -> Value {
        let mut certain = id_and_name(&self.id(arm));
        certain["prefix"] = self.prefix.to_string().into();
        if let Some(gateway) = self.prefix.first_host() {
            certain["gateway"] = json!(gateway);
        }
        certain
    }
}

/// Permissions to write a subnet back, which refers to a security group, a NAT gateway and a route
/// table.
pub(crate) fn subnet_permissions() -> Vec<Permission> {
    let mut permissions = read_and_write(SUBNET);
    permissions.push(arm("Microsoft.Network/networkSecurityGroups/join/action"));
    permissions.push(arm("Microsoft.Network/natGateways/join/action"));
    permissions.push(arm("Microsoft.Network/routeTables/join/action"));
    permissions
}

/// Subnets in the body of a virtual network.
pub(crate) fn subnets(network: &ArmObject) -> Vec<ArmObject> {
    let bodies = network.items("/properties/subnets").iter();
    bodies.filter_map(|body| ArmObject::part(body, SUBNET)).collect()
}

/// Prefixes of a subnet, from `addressPrefix` or `addressPrefixes`.
pub(crate) fn prefixes_of(subnet: &ArmObject) -> Vec<Prefix> {
    if let Some(prefix) = subnet.text("/properties/addressPrefix") {
        return prefix.parse().into_iter().collect();
    }
    let prefixes = subnet.items("/properties/addressPrefixes").iter();
    prefixes.filter_map(|prefix| prefix.as_str()?.parse().ok()).collect()
}

/// Compares the desired references. References that the input does not name are kept.
///
/// # Errors
/// `Permanent`, with the command that detaches it, for a security group or NAT gateway other than
/// the desired one: it belongs to another party, whose packets depend on it.
fn reference_differences(desired: &SubnetInput, subnet: &ArmObject) -> Result<Vec<Difference>, ActionError> {
    let compare =
        |(property, noun, id): (&str, &str, &ResourceId)| match subnet.id_at(&format!("/properties/{property}/id")) {
            None => Some(Ok(Difference::missing(noun, id.to_string()))),
            Some(actual) if actual == *id => None,
            Some(other) => Some(Err(not_replaced(subnet, property, noun, &other, id))),
        };
    desired.references().filter_map(compare).collect()
}

fn not_replaced(subnet: &ArmObject, property: &str, noun: &str, other: &ResourceId, id: &ResourceId) -> ActionError {
    let flag = if property == "natGateway" { "--nat-gateway" } else { "--network-security-group" };
    let message = format!("it has the {noun} {:?}, which is not replaced by {:?}", other.name(), id.name());
    let hint = format!(
        "use another subnet, or detach it with `az network vnet subnet update --ids {} {flag} \"\"`",
        subnet.id
    );
    ActionError::permanent(message).with_hint(hint).context(subnet.id.label())
}

/// Body of an existing subnet with the desired references.
fn with_references(desired: &SubnetInput, mut body: Value) -> Value {
    for (property, _, id) in desired.references() {
        body["properties"][property] = json!({ "id": id });
    }
    body
}

fn new_body(desired: &SubnetInput) -> Value {
    let group = desired.network_security_group_id.as_ref().map(|id| NetworkSecurityGroup {
        resource: Resource { id: Some(id.to_string()), ..Resource::default() },
        ..NetworkSecurityGroup::default()
    });
    body(&Subnet {
        properties: Some(SubnetPropertiesFormat {
            address_prefix: Some(desired.prefix.to_string()),
            network_security_group: group,
            nat_gateway: desired.nat_gateway_id.as_ref().map(body::reference),
            ..SubnetPropertiesFormat::default()
        }),
        ..Subnet::default()
    })
}

/// Checks that the prefix of a new subnet is inside the network.
///
/// # Errors
/// `Permanent`, with the network's address space.
fn check_contained(desired: &SubnetInput, network: &ArmObject) -> Result<(), ActionError> {
    let (prefix, space) = (desired.prefix, address_space(network));
    if space.iter().any(|outer| outer.contains(prefix)) {
        return Ok(());
    }
    let space: Vec<String> = space.iter().map(Prefix::to_string).collect();
    Err(ActionError::permanent(format!("{prefix} is outside {} ({})", network.id.label(), space.join(", ")))
        .with_hint("choose a prefix inside the network's address space"))
}

/// Checks that the prefix of a new subnet overlaps no other subnet.
///
/// # Errors
/// `Permanent`, with the other subnet and its prefix.
fn check_apart(desired: &SubnetInput, others: &[ArmObject]) -> Result<(), ActionError> {
    let taken = others.iter().flat_map(|subnet| prefixes_of(subnet).into_iter().map(move |prefix| (subnet, prefix)));
    match taken.into_iter().find(|(_, prefix)| prefix.overlaps(desired.prefix)) {
        None => Ok(()),
        Some((subnet, prefix)) => {
            Err(ActionError::permanent(format!("{} overlaps {prefix} of {}", desired.prefix, subnet.id.label()))
                .with_hint("choose a prefix apart from the network's other subnets"))
        }
    }
}

/// Checks that an existing subnet has the desired prefix and no other one.
///
/// # Errors
/// `Permanent`: the prefix of a subnet in use cannot be changed.
fn check_prefix(desired: &SubnetInput, subnet: &ArmObject) -> Result<(), ActionError> {
    let actual = prefixes_of(subnet);
    if actual == [desired.prefix] {
        return Ok(());
    }
    let actual: Vec<String> = actual.iter().map(Prefix::to_string).collect();
    Err(ActionError::permanent(format!("it exists with {}, not {}", actual.join(", "), desired.prefix))
        .context(subnet.id.label())
        .with_hint("give its own prefix, or delete it first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str =
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.Network";

    #[test]
    fn the_body_of_a_new_subnet_has_its_prefix_and_the_desired_references() {
        let mut input = json!({"resource_group": "g", "virtual_network": "vn", "name": "s", "prefix": "10.50.1.0/24"});
        let desired = |input: &Value| serde_json::from_value::<SubnetInput>(input.clone()).expect("input");
        assert_eq!(new_body(&desired(&input)), json!({"properties": {"addressPrefix": "10.50.1.0/24"}}));
        let (nsg, nat) = (format!("{GROUP}/networkSecurityGroups/n"), format!("{GROUP}/natGateways/w"));
        input["network_security_group_id"] = json!(nsg);
        input["nat_gateway_id"] = json!(nat);
        let expected = json!({"properties": {"addressPrefix": "10.50.1.0/24",
            "networkSecurityGroup": {"id": nsg}, "natGateway": {"id": nat}}});
        assert_eq!(new_body(&desired(&input)), expected);
    }
}
