use azure_mgmt_network::package_2024_03::models::{
    IpAllocationMethod, IpVersion, PublicIpAddress, PublicIpAddressPropertiesFormat, PublicIpAddressSku,
    public_ip_address_sku,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionError, Difference};

use crate::{
    arm_resource::{ArmResource, ResourceOutput},
    client::{ArmClient, ArmObject, GroupName, Location, NetworkName, Owner, ResourceId, ResourceType, body},
};

/// Desired state of a public address: of SKU Standard, and static.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublicIpInput {
    /// Resource group of the public address.
    resource_group: GroupName,
    /// Name of the public address.
    name: NetworkName,
    /// Region of the public address.
    location: Location,
    /// Owner of the resource, if this step creates it. `azure.resources.delete` deletes the
    /// resources of an owner.
    #[serde(default)]
    owner: Option<Owner>,
}

/// Public address in its desired state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PublicIpOutput {
    /// Id and name of the public address.
    #[serde(flatten)]
    pub resource: ResourceOutput,
    /// IPv4 address that Azure allocated.
    pub ip_address: String,
}

impl ArmResource for PublicIpInput {
    type Output = PublicIpOutput;
    const NAME: &'static str = "azure.public_ip.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that there is a static public address of SKU Standard.";
    const TYPE: ResourceType = ResourceType::new("Microsoft.Network/publicIPAddresses", "2024-01-01", "public address");

    fn id(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(Self::TYPE, &self.name)
    }

    fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    fn essence(&self) -> String {
        "Standard, Static".into()
    }

    fn diff(&self, actual: &ArmObject) -> Result<Vec<Difference>, ActionError> {
        actual.check_location(&self.location)?;
        actual.check_sku("Basic", "Standard")?;
        let method = actual.text("/properties/publicIPAllocationMethod").unwrap_or("Dynamic");
        Ok(Difference::between("allocation", method, "Static").into_iter().collect())
    }

    // ARM's own defaults are Basic and Dynamic.
    fn immutable(&self, actual: &ArmObject) -> Vec<Difference> {
        let sku = actual.text("/sku/name").unwrap_or("Basic");
        let sku = (!sku.eq_ignore_ascii_case("Standard")).then(|| Difference::new("SKU", sku, "Standard"));
        actual.location_difference(&self.location).into_iter().chain(sku).collect()
    }

    fn body(&self) -> Value {
        body(&PublicIpAddress {
            resource: body::in_location(&self.location),
            sku: Some(PublicIpAddressSku { name: Some(public_ip_address_sku::Name::Standard), tier: None }),
            properties: Some(Box::new(PublicIpAddressPropertiesFormat {
                public_ip_allocation_method: Some(IpAllocationMethod::Static),
                public_ip_address_version: Some(IpVersion::IPv4),
                ..PublicIpAddressPropertiesFormat::default()
            })),
            ..PublicIpAddress::default()
        })
    }

    fn update(&self, actual: &mut ArmObject) {
        actual.body["properties"]["publicIPAllocationMethod"] = "Static".into();
    }

    fn output(actual: &ArmObject) -> Result<PublicIpOutput, ActionError> {
        Ok(PublicIpOutput { resource: actual.into(), ip_address: actual.required("/properties/ipAddress")?.into() })
    }
}
