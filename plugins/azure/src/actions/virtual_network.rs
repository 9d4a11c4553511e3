use azure_mgmt_network::package_2024_03::models::{AddressSpace, VirtualNetwork, VirtualNetworkPropertiesFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_client::Prefix;
use stargate_sdk::{ActionError, Difference};

use crate::{
    arm_resource::ArmResource,
    client::{ArmClient, ArmObject, GroupName, Location, Owner, ResourceId, ResourceType, VnetName, body},
};

/// JSON pointer to the prefixes of a virtual network.
const ADDRESS_PREFIXES: &str = "/properties/addressSpace/addressPrefixes";

/// Desired state of a virtual network. Its subnets are resources of their own and are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VirtualNetworkInput {
    /// Resource group of the virtual network.
    resource_group: GroupName,
    /// Name of the virtual network.
    name: VnetName,
    /// Region of the virtual network.
    location: Location,
    /// Prefixes that the address space must contain; others are kept.
    prefixes: Vec<Prefix>,
    /// Owner of the resource, if this step creates it. `azure.resources.delete` deletes the
    /// resources of an owner.
    #[serde(default)]
    owner: Option<Owner>,
}

/// Virtual network in its desired state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct VirtualNetworkOutput {
    /// Id of the virtual network.
    pub id: String,
    /// Name of the virtual network.
    pub name: String,
    /// Resource group of the virtual network.
    pub resource_group: String,
    /// Region of the virtual network.
    pub location: String,
    /// Prefixes of the address space.
    pub prefixes: Vec<String>,
}

impl VirtualNetworkInput {
    /// Desired prefixes that the address space does not contain, compared for equality.
    fn missing_prefixes(&self, actual: &[Prefix]) -> Vec<Prefix> {
        self.prefixes.iter().filter(|prefix| !actual.contains(prefix)).copied().collect()
    }
}

impl ArmResource for VirtualNetworkInput {
    type Output = VirtualNetworkOutput;
    const NAME: &'static str = "azure.virtual_network.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a virtual network has some prefixes, and leaves its subnets alone.";
    const TYPE: ResourceType = ResourceType::new("Microsoft.Network/virtualNetworks", "2024-01-01", "virtual network");

    fn id(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(Self::TYPE, &self.name)
    }

    // A PUT of a virtual network replaces its subnets.
    fn lock(&self, id: &ResourceId) -> Option<ResourceId> {
        Some(id.clone())
    }

    fn check(&self) -> Result<(), ActionError> {
        check_prefixes(&self.prefixes)
    }

    fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    fn essence(&self) -> String {
        texts(&self.prefixes).join(", ")
    }

    fn diff(&self, actual: &ArmObject) -> Result<Vec<Difference>, ActionError> {
        actual.check_location(&self.location)?;
        let space = address_space(actual);
        let missing = self.missing_prefixes(&space);
        if let Some((new, old)) = first_overlap(&missing, &space) {
            let error = ActionError::permanent(format!("{new} overlaps {old}, which it has already"));
            return Err(error.context(actual.id.label()));
        }
        Ok(missing.iter().map(|prefix| Difference::missing("prefix", prefix.to_string())).collect())
    }

    fn immutable(&self, actual: &ArmObject) -> Vec<Difference> {
        actual.location_difference(&self.location).into_iter().collect()
    }

    fn certain(&self) -> Value {
        json!({ "resource_group": self.resource_group.to_string() })
    }

    fn body(&self) -> Value {
        body(&VirtualNetwork {
            resource: body::in_location(&self.location),
            properties: Some(VirtualNetworkPropertiesFormat {
                address_space: Some(AddressSpace { address_prefixes: texts(&self.prefixes) }),
                ..VirtualNetworkPropertiesFormat::default()
            }),
            ..VirtualNetwork::default()
        })
    }

    fn update(&self, actual: &mut ArmObject) {
        let mut space = address_space(actual);
        space.extend(self.missing_prefixes(&space));
        actual.body["properties"]["addressSpace"]["addressPrefixes"] = json!(space);
    }

    fn output(actual: &ArmObject) -> Result<VirtualNetworkOutput, ActionError> {
        Ok(VirtualNetworkOutput {
            id: actual.id(),
            name: actual.name().into(),
            resource_group: actual.id.group().to_string(),
            location: actual.required("/location")?.into(),
            prefixes: texts(&address_space(actual)),
        })
    }
}

/// Prefixes of a virtual network's address space, without unreadable ones.
pub(crate) fn address_space(network: &ArmObject) -> Vec<Prefix> {
    network.items(ADDRESS_PREFIXES).iter().filter_map(|prefix| prefix.as_str()?.parse().ok()).collect()
}

/// Checks that there is a prefix and that no two overlap, which ARM would refuse.
///
/// # Errors
/// `Permanent`, with the two prefixes.
fn check_prefixes(prefixes: &[Prefix]) -> Result<(), ActionError> {
    if prefixes.is_empty() {
        return Err(ActionError::permanent("no prefix is given"));
    }
    let mut rest = prefixes;
    while let Some((prefix, others)) = rest.split_first() {
        if let Some(other) = others.iter().find(|other| other.overlaps(*prefix)) {
            return Err(ActionError::permanent(format!("the prefixes {prefix} and {other} overlap")));
        }
        rest = others;
    }
    Ok(())
}

/// First new prefix that overlaps an old one, with that one.
fn first_overlap(new: &[Prefix], old: &[Prefix]) -> Option<(Prefix, Prefix)> {
    new.iter().find_map(|new| Some((*new, *old.iter().find(|old| old.overlaps(*new))?)))
}

fn texts(prefixes: &[Prefix]) -> Vec<String> {
    prefixes.iter().map(Prefix::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_a_new_network_has_its_region_and_prefixes_only() {
        let input = json!({"resource_group": "g", "name": "vn", "location": "westeurope",
            "prefixes": ["10.50.0.0/16", "fd00::/48"]});
        let desired: VirtualNetworkInput = serde_json::from_value(input).expect("input");
        let expected = json!({"location": "westeurope", "properties": {
            "addressSpace": {"addressPrefixes": ["10.50.0.0/16", "fd00::/48"]}}});
        assert_eq!(desired.body(), expected);
    }
}
