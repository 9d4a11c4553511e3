use azure_mgmt_network::package_2024_03::models::{
    NatGateway, NatGatewayPropertiesFormat, NatGatewaySku, nat_gateway_sku,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use stargate_sdk::{ActionError, Difference, Permission};

use crate::{
    actions::public_ip::PublicIpInput,
    arm_resource::{ArmResource, ResourceOutput},
    client::{ArmClient, ArmObject, GroupName, Location, NetworkName, Owner, ResourceId, ResourceType, body},
    permission::arm,
};

/// JSON pointer to a gateway's public addresses.
const ADDRESSES: &str = "/properties/publicIpAddresses";

/// Desired state of a NAT gateway: of SKU Standard, with a public address. `azure.subnet.ensure`
/// connects a subnet to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NatGatewayInput {
    /// Resource group of the NAT gateway.
    resource_group: GroupName,
    /// Name of the NAT gateway.
    name: NetworkName,
    /// Region of the NAT gateway.
    location: Location,
    /// Id of a public address that the gateway must have; others are kept.
    public_ip_id: ResourceId,
    /// Owner of the resource, if this step creates it. `azure.resources.delete` deletes the
    /// resources of an owner.
    #[serde(default)]
    owner: Option<Owner>,
}

impl ArmResource for NatGatewayInput {
    type Output = ResourceOutput;
    const NAME: &'static str = "azure.nat_gateway.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a NAT gateway has a public address, for machines without one.";
    const TYPE: ResourceType = ResourceType::new("Microsoft.Network/natGateways", "2024-01-01", "NAT gateway");
    const MORE_PERMISSIONS: &'static [Permission] = &[arm("Microsoft.Network/publicIPAddresses/join/action")];

    fn id(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(Self::TYPE, &self.name)
    }

    fn check(&self) -> Result<(), ActionError> {
        self.public_ip_id.check_type("public_ip_id", PublicIpInput::TYPE)
    }

    fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    fn essence(&self) -> String {
        self.public_ip_id.to_string()
    }

    fn diff(&self, actual: &ArmObject) -> Result<Vec<Difference>, ActionError> {
        actual.check_location(&self.location)?;
        let is_missing = !actual.has_reference(ADDRESSES, &self.public_ip_id);
        Ok(is_missing.then(|| Difference::missing("public address", self.essence())).into_iter().collect())
    }

    // ARM refuses a gateway without a SKU; Standard is the one that needs no zone.
    fn immutable(&self, actual: &ArmObject) -> Vec<Difference> {
        actual.location_difference(&self.location).into_iter().collect()
    }

    fn body(&self) -> Value {
        body(&NatGateway {
            resource: body::in_location(&self.location),
            sku: Some(NatGatewaySku { name: Some(nat_gateway_sku::Name::Standard) }),
            properties: Some(NatGatewayPropertiesFormat {
                public_ip_addresses: vec![body::reference(&self.public_ip_id)],
                ..NatGatewayPropertiesFormat::default()
            }),
            ..NatGateway::default()
        })
    }

    fn update(&self, actual: &mut ArmObject) {
        actual.add_reference(ADDRESSES, &self.public_ip_id);
    }

    fn output(actual: &ArmObject) -> Result<ResourceOutput, ActionError> {
        Ok(actual.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_body_of_a_new_gateway_has_its_sku_and_address() {
        let address = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.Network/publicIPAddresses/p";
        let input = json!({"resource_group": "g", "name": "nat", "location": "westeurope", "public_ip_id": address});
        let desired: NatGatewayInput = serde_json::from_value(input).expect("input");
        let expected = json!({"location": "westeurope", "sku": {"name": "Standard"},
            "properties": {"publicIpAddresses": [{"id": address}]}});
        assert_eq!(desired.body(), expected);
    }
}
