use azure_mgmt_network::package_2024_03::models::{
    IpAllocationMethod, IpVersion, PublicIpAddress, PublicIpAddressPropertiesFormat, PublicIpAddressSku, Resource,
    public_ip_address_sku,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionError, Difference};

use crate::{
    arm_resource::ArmResource,
    client::{ArmClient, ArmObject, GroupName, Location, NetworkName, ResourceId, body},
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
}

/// Public address in its desired state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PublicIpOutput {
    /// Id of the public address.
    pub id: String,
    /// Name of the public address.
    pub name: String,
    /// IPv4 address that Azure allocated.
    pub ip_address: String,
}

impl ArmResource for PublicIpInput {
    type Output = PublicIpOutput;
    const NAME: &'static str = "azure.public_ip.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that there is a static public address of SKU Standard.";
    const KIND: &'static str = "Microsoft.Network/publicIPAddresses";
    const API_VERSION: &'static str = "2024-01-01";
    const NOUN: &'static str = "public address";

    fn id(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(Self::TYPE, &self.name)
    }

    fn essence(&self) -> String {
        "Standard, Static".into()
    }

    fn diff(&self, actual: &ArmObject) -> Result<Vec<Difference>, ActionError> {
        actual.check_location(&self.location)?;
        check_sku(actual)?;
        let method = actual.text("/properties/publicIPAllocationMethod").unwrap_or("Dynamic");
        Ok(Difference::between("allocation", method, "Static").into_iter().collect())
    }

    // ARM's own defaults are Basic and Dynamic.
    fn body(&self) -> Value {
        body(&PublicIpAddress {
            resource: Resource { location: Some(self.location.to_string()), ..Resource::default() },
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
        Ok(PublicIpOutput {
            id: actual.id(),
            name: actual.name().into(),
            ip_address: actual.required("/properties/ipAddress")?.into(),
        })
    }
}

/// Checks the SKU, which cannot be changed. ARM's default is Basic.
///
/// # Errors
/// `Permanent` for another one than Standard.
fn check_sku(actual: &ArmObject) -> Result<(), ActionError> {
    match actual.text("/sku/name").unwrap_or("Basic") {
        sku if sku.eq_ignore_ascii_case("Standard") => Ok(()),
        sku => Err(ActionError::permanent(format!("it exists with SKU {sku}, not Standard"))
            .context(actual.id.label())
            .with_hint("delete it, or choose another name")),
    }
}
