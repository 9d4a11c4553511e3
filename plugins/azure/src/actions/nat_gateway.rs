use azure_mgmt_network::package_2024_03::models::{
    NatGateway, NatGatewayPropertiesFormat, NatGatewaySku, Resource, SubResource, nat_gateway_sku,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionError, Difference, Permission};

use crate::{
    actions::public_ip::PublicIpInput,
    arm_resource::ArmResource,
    client::{ArmClient, ArmObject, GroupName, Location, NetworkName, ResourceId, body},
    permission::arm,
};

/// Desired state of a NAT gateway: of SKU Standard, with a public address.
///
/// `azure.subnet.ensure` connects a subnet to it.
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
}

/// NAT gateway in its desired state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NatGatewayOutput {
    /// Id of the NAT gateway.
    pub id: String,
    /// Name of the NAT gateway.
    pub name: String,
}

impl ArmResource for NatGatewayInput {
    type Output = NatGatewayOutput;
    const NAME: &'static str = "azure.nat_gateway.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Makes sure that a NAT gateway has a public address, through which machines without one reach the internet.";
    const KIND: &'static str = "Microsoft.Network/natGateways";
    const API_VERSION: &'static str = "2024-01-01";
    const NOUN: &'static str = "NAT gateway";
    const MORE_PERMISSIONS: &'static [Permission] = &[arm("Microsoft.Network/publicIPAddresses/join/action")];

    fn id(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(Self::TYPE, &self.name)
    }

    fn check(&self) -> Result<(), ActionError> {
        self.public_ip_id.check_type("public_ip_id", PublicIpInput::TYPE)
    }

    fn essence(&self) -> String {
        self.public_ip_id.to_string()
    }

    fn diff(&self, actual: &ArmObject) -> Result<Vec<Difference>, ActionError> {
        actual.check_location(&self.location)?;
        let id = &self.public_ip_id;
        let is_missing = !has_address(actual, id);
        Ok(is_missing.then(|| Difference::missing("public address", id.to_string())).into_iter().collect())
    }

    // ARM refuses a gateway without a SKU; Standard is the one that needs no zone.
    fn body(&self) -> Value {
        body(&NatGateway {
            resource: Resource { location: Some(self.location.to_string()), ..Resource::default() },
            sku: Some(NatGatewaySku { name: Some(nat_gateway_sku::Name::Standard) }),
            properties: Some(NatGatewayPropertiesFormat {
                public_ip_addresses: vec![SubResource { id: Some(self.public_ip_id.to_string()) }],
                ..NatGatewayPropertiesFormat::default()
            }),
            ..NatGateway::default()
        })
    }

    fn update(&self, actual: &mut ArmObject) {
        let mut addresses = addresses(actual).to_vec();
        if !has_address(actual, &self.public_ip_id) {
            addresses.push(json!({ "id": self.public_ip_id }));
        }
        actual.body["properties"]["publicIpAddresses"] = addresses.into();
    }

    fn output(actual: &ArmObject) -> Result<NatGatewayOutput, ActionError> {
        Ok(NatGatewayOutput { id: actual.id(), name: actual.name().into() })
    }
}

/// Public addresses of a gateway, each as `{"id": …}`.
fn addresses(gateway: &ArmObject) -> &[Value] {
    gateway.items("/properties/publicIpAddresses")
}

/// True if the gateway has the public address, in any spelling of its id.
fn has_address(gateway: &ArmObject, address: &ResourceId) -> bool {
    addresses(gateway).iter().any(|it| it["id"].as_str().and_then(|id| id.parse().ok()).as_ref() == Some(address))
}

#[cfg(test)]
mod tests {
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
