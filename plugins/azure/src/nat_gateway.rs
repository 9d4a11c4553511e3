use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    ArmClient, ResourceId,
    arm::Condition,
    live::Live,
    name::{GroupName, Location, NetworkName},
    permission::{NETWORK_OPERATIONS, arm},
    public_ip::PUBLIC_ADDRESS,
};

pub(crate) const NAT_GATEWAY: &str = "Microsoft.Network/natGateways";

/// `azure.nat_gateway.ensure`.
pub(crate) struct NatGateway(pub(crate) ArmClient);

/// How a NAT gateway is to be: of SKU Standard, with a public address. A subnet is given to it by `azure.subnet.ensure`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NatGatewayInput {
    /// Resource group of the NAT gateway.
    resource_group: GroupName,
    /// Name of the NAT gateway.
    name: NetworkName,
    /// Its region.
    location: Location,
    /// A public address that it is to have, beside those it has.
    public_ip_id: ResourceId,
}

/// A NAT gateway.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NatGatewayOutput {
    /// Resource id.
    pub id: String,
    /// Name of the NAT gateway.
    pub name: String,
}

impl NatGateway {
    fn id(&self, wanted: &NatGatewayInput) -> ResourceId {
        self.0.group(&wanted.resource_group).resource(NAT_GATEWAY, &wanted.name)
    }
}

impl Resource for NatGateway {
    type Desired = NatGatewayInput;
    type Actual = Live;
    type Output = NatGatewayOutput;
    const NAME: &'static str = "azure.nat_gateway.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Makes sure that a NAT gateway has a public address: a way out for machines without one.";

    async fn read(&self, cx: &ActionContext, wanted: &NatGatewayInput) -> Result<Option<Live>, ActionError> {
        self.0.get_settled(cx, &self.id(wanted)).await
    }

    fn diff(&self, wanted: &NatGatewayInput, actual: Option<&Live>) -> Result<Vec<Difference>, ActionError> {
        if !wanted.public_ip_id.is(PUBLIC_ADDRESS) {
            return Err(ActionError::permanent(format!(
                "public_ip_id is {}, which is no public address",
                wanted.public_ip_id
            ))
            .context(self.id(wanted).label()));
        }
        let Some(live) = actual else {
            return Ok(vec![Difference::missing(self.id(wanted).label(), wanted.public_ip_id.to_string())]);
        };
        live.check_location(&wanted.location)?;
        let address = (!has(live, &wanted.public_ip_id))
            .then(|| Difference::missing("public address", wanted.public_ip_id.to_string()));
        Ok(address.into_iter().chain(live.failed_state()).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &NatGatewayInput,
        actual: Option<&Live>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let id = self.id(wanted);
        let Some(live) = actual else { return self.0.put(cx, &id, new(wanted), Some(Condition::Absent)).await };
        let mut addresses = addresses(live).to_vec();
        if !has(live, &wanted.public_ip_id) {
            addresses.push(json!({ "id": wanted.public_ip_id }));
        }
        let mut body = live.body.clone();
        body["properties"]["publicIpAddresses"] = addresses.into();
        self.0.put(cx, &id, body, Condition::unchanged(live)).await
    }

    fn output(&self, _: &ActionContext, _: &NatGatewayInput, live: &Live) -> Result<NatGatewayOutput, ActionError> {
        Ok(NatGatewayOutput { id: live.id(), name: live.name().into() })
    }

    async fn resume(&self, cx: &ActionContext, _: &NatGatewayInput, checkpoint: Value) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for NatGateway {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Network/natGateways/read"),
        arm("Microsoft.Network/natGateways/write"),
        arm("Microsoft.Network/publicIPAddresses/join/action"),
        NETWORK_OPERATIONS,
    ];
}

fn addresses(live: &Live) -> &[Value] {
    live.body.pointer("/properties/publicIpAddresses").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn has(live: &Live, address: &ResourceId) -> bool {
    addresses(live).iter().any(|it| it["id"].as_str().and_then(|id| id.parse().ok()).as_ref() == Some(address))
}

// ARM refuses one without a SKU; Standard is the one that needs no zone.
fn new(wanted: &NatGatewayInput) -> Value {
    json!({
        "location": wanted.location,
        "sku": { "name": "Standard" },
        "properties": { "publicIpAddresses": [{ "id": wanted.public_ip_id }] },
    })
}
