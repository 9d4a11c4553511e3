use azure_mgmt_network::package_2024_03::models::{
    IpAllocationMethod, IpVersion, PublicIpAddress, PublicIpAddressPropertiesFormat, PublicIpAddressSku,
    Resource as NetworkResource, public_ip_address_sku,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    ArmClient, ResourceId,
    arm::Condition,
    body::body,
    live::Live,
    name::{GroupName, Location, NetworkName},
    permission::{NETWORK_OPERATIONS, arm},
};

pub(crate) const PUBLIC_ADDRESS: &str = "Microsoft.Network/publicIPAddresses";

/// `azure.public_ip.ensure`.
pub(crate) struct PublicIp(pub(crate) ArmClient);

/// How a public address is to be: of SKU Standard, and static.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublicIpInput {
    /// Resource group of the public address.
    resource_group: GroupName,
    /// Name of the public address.
    name: NetworkName,
    /// Its region.
    location: Location,
}

/// A public address.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PublicIpOutput {
    /// Resource id.
    pub id: String,
    /// Name of the public address.
    pub name: String,
    /// The address itself.
    pub ip_address: String,
}

impl PublicIp {
    fn id(&self, wanted: &PublicIpInput) -> ResourceId {
        self.0.group(&wanted.resource_group).resource(PUBLIC_ADDRESS, &wanted.name)
    }
}

impl Resource for PublicIp {
    type Desired = PublicIpInput;
    type Actual = Live;
    type Output = PublicIpOutput;
    const NAME: &'static str = "azure.public_ip.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that there is a static public address of SKU Standard.";

    async fn read(&self, cx: &ActionContext, wanted: &PublicIpInput) -> Result<Option<Live>, ActionError> {
        self.0.get_settled(cx, &self.id(wanted)).await
    }

    fn diff(&self, wanted: &PublicIpInput, actual: Option<&Live>) -> Result<Vec<Difference>, ActionError> {
        let Some(live) = actual else {
            return Ok(vec![Difference::missing(self.id(wanted).label(), "Standard, Static")]);
        };
        live.check_location(&wanted.location)?;
        check_sku(live)?;
        let method = live.text("/properties/publicIPAllocationMethod").unwrap_or("Dynamic");
        let allocation = Difference::between("allocation", method, "Static");
        Ok(allocation.into_iter().chain(live.failed_state()).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &PublicIpInput,
        actual: Option<&Live>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let id = self.id(wanted);
        let Some(live) = actual else { return self.0.put(cx, &id, new(wanted), Some(Condition::Absent)).await };
        let mut body = live.body.clone();
        body["properties"]["publicIPAllocationMethod"] = "Static".into();
        self.0.put(cx, &id, body, Condition::unchanged(live)).await
    }

    fn output(&self, _: &ActionContext, _: &PublicIpInput, live: &Live) -> Result<PublicIpOutput, ActionError> {
        Ok(PublicIpOutput {
            id: live.id(),
            name: live.name().into(),
            ip_address: live.required("/properties/ipAddress")?.into(),
        })
    }

    async fn resume(&self, cx: &ActionContext, _: &PublicIpInput, checkpoint: Value) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for PublicIp {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Network/publicIPAddresses/read"),
        arm("Microsoft.Network/publicIPAddresses/write"),
        NETWORK_OPERATIONS,
    ];
}

fn check_sku(live: &Live) -> Result<(), ActionError> {
    match live.text("/sku/name").unwrap_or("Basic") {
        sku if sku.eq_ignore_ascii_case("Standard") => Ok(()),
        sku => Err(ActionError::permanent(format!("it exists with SKU {sku}, not Standard"))
            .context(live.id.label())
            .with_hint("delete it, or choose another name")),
    }
}

// ARM's own defaults are Basic and Dynamic.
fn new(wanted: &PublicIpInput) -> Value {
    body(&PublicIpAddress {
        resource: NetworkResource { location: Some(wanted.location.to_string()), ..NetworkResource::default() },
        sku: Some(PublicIpAddressSku { name: Some(public_ip_address_sku::Name::Standard), tier: None }),
        properties: Some(Box::new(PublicIpAddressPropertiesFormat {
            public_ip_allocation_method: Some(IpAllocationMethod::Static),
            public_ip_address_version: Some(IpVersion::IPv4),
            ..PublicIpAddressPropertiesFormat::default()
        })),
        ..PublicIpAddress::default()
    })
}
