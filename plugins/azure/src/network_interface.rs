use std::net::IpAddr;

use azure_mgmt_network::package_2024_03::models::{
    IpAllocationMethod, NetworkInterface as NicModel, NetworkInterfaceIpConfiguration,
    NetworkInterfaceIpConfigurationPropertiesFormat, NetworkInterfacePropertiesFormat, PublicIpAddress,
    Resource as NetworkResource, SubResource, Subnet,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    ArmClient, ResourceId,
    arm::Condition,
    body::body,
    live::Live,
    name::{GroupName, Location, NetworkName},
    permission::INTERFACE_WRITES,
};

pub(crate) const NIC: &str = "Microsoft.Network/networkInterfaces";
const SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets";
const PUBLIC_ADDRESS: &str = crate::public_ip::PUBLIC_ADDRESS;

/// `azure.network_interface.ensure`.
pub(crate) struct NetworkInterface(pub(crate) ArmClient);

/// How a network interface is to be. Its private address is made static, because routes will name it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkInterfaceInput {
    /// Resource group of the network interface.
    resource_group: GroupName,
    /// Name of the network interface.
    name: NetworkName,
    /// Its region.
    location: Location,
    /// The subnet it is in. It cannot be changed later.
    subnet_id: ResourceId,
    /// Its public address; without this, whatever it has is left alone.
    #[serde(default)]
    public_ip_id: Option<ResourceId>,
    /// Its private address; without this, Azure chooses one and it is kept.
    #[serde(default)]
    private_ip: Option<IpAddr>,
    /// Whether it lets through packets that are not its own: a router needs it.
    ip_forwarding: bool,
}

/// A network interface.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NetworkInterfaceOutput {
    /// Resource id.
    pub id: String,
    /// Name of the network interface.
    pub name: String,
    /// Its private address.
    pub private_ip: IpAddr,
    /// Its hardware address, in Azure's form; absent until it belongs to a machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

impl NetworkInterface {
    fn id(&self, wanted: &NetworkInterfaceInput) -> ResourceId {
        self.0.group(&wanted.resource_group).resource(NIC, &wanted.name)
    }

    /// Changes only what is different; everything else goes back as it came.
    async fn mend(&self, cx: &ActionContext, wanted: &NetworkInterfaceInput, live: &Live) -> Result<(), ActionError> {
        if self.diff(wanted, Some(live))?.is_empty() {
            return Ok(());
        }
        let mut body = live.body.clone();
        body["properties"]["enableIPForwarding"] = wanted.ip_forwarding.into();
        let address = wanted.private_ip.map(|ip| ip.to_string());
        let address = address.or_else(|| primary(live).text("/properties/privateIPAddress").map(str::to_owned));
        let configuration = &mut body["properties"]["ipConfigurations"][primary_index(live)]["properties"];
        if let Some(address) = address {
            configuration["privateIPAddress"] = address.into();
            configuration["privateIPAllocationMethod"] = "Static".into();
        }
        if let Some(id) = &wanted.public_ip_id {
            configuration["publicIPAddress"] = json!({ "id": id });
        }
        self.0.put(cx, &live.id, body, Condition::unchanged(live)).await
    }
}

impl Resource for NetworkInterface {
    type Desired = NetworkInterfaceInput;
    type Actual = Live;
    type Output = NetworkInterfaceOutput;
    const NAME: &'static str = "azure.network_interface.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a network interface has its addresses and its forwarding flag.";

    async fn read(&self, cx: &ActionContext, wanted: &NetworkInterfaceInput) -> Result<Option<Live>, ActionError> {
        self.0.get_settled(cx, &self.id(wanted)).await
    }

    fn diff(&self, wanted: &NetworkInterfaceInput, actual: Option<&Live>) -> Result<Vec<Difference>, ActionError> {
        check_ids(wanted).map_err(|e| e.context(self.id(wanted).label()))?;
        let Some(live) = actual else {
            return Ok(vec![Difference::missing(self.id(wanted).label(), wanted.subnet_id.to_string())]);
        };
        live.check_location(&wanted.location)?;
        check_subnet(wanted, live)?;
        Ok(differences(wanted, live))
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &NetworkInterfaceInput,
        actual: Option<&Live>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let _writer = self.0.hold(cx, &[&wanted.subnet_id.parent()]).await?;
        if actual.is_none() {
            self.0.put(cx, &self.id(wanted), new(wanted), Some(Condition::Absent)).await?;
        }
        match self.read(cx, wanted).await? {
            Some(live) => self.mend(cx, wanted, &live).await,
            None => Ok(()), // not seen yet: the read back waits for it, and the next attempt mends it
        }
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &NetworkInterfaceInput,
        live: &Live,
    ) -> Result<NetworkInterfaceOutput, ActionError> {
        let configuration = primary(live);
        let address = configuration.required("/properties/privateIPAddress")?;
        let unreadable =
            |_| ActionError::permanent(format!("azure gave it the address {address:?}")).context(live.id.label());
        Ok(NetworkInterfaceOutput {
            id: live.id(),
            name: live.name().into(),
            private_ip: address.parse().map_err(unreadable)?,
            mac: live.text("/properties/macAddress").filter(|mac| !mac.is_empty()).map(str::to_owned),
        })
    }

    async fn resume(
        &self,
        cx: &ActionContext,
        _: &NetworkInterfaceInput,
        checkpoint: Value,
    ) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for NetworkInterface {
    const PERMISSIONS: &'static [Permission] = INTERFACE_WRITES;
}

fn check_ids(wanted: &NetworkInterfaceInput) -> Result<(), ActionError> {
    let expect = |what: &str, id: &ResourceId, kind: &str| {
        let refused = || ActionError::permanent(format!("{what} is {id}, which is not of type {kind}"));
        if id.is(kind) { Ok(()) } else { Err(refused()) }
    };
    expect("subnet_id", &wanted.subnet_id, SUBNET)?;
    wanted.public_ip_id.as_ref().map_or(Ok(()), |id| expect("public_ip_id", id, PUBLIC_ADDRESS))
}

fn check_subnet(wanted: &NetworkInterfaceInput, live: &Live) -> Result<(), ActionError> {
    let actual = primary(live).id_at("/properties/subnet/id");
    if actual.as_ref() == Some(&wanted.subnet_id) {
        return Ok(());
    }
    let actual = actual.map_or("no subnet".into(), |id| id.to_string());
    Err(ActionError::permanent(format!("it is in {actual}, not in {}", wanted.subnet_id))
        .context(live.id.label())
        .with_hint("delete it, or choose another name"))
}

fn differences(wanted: &NetworkInterfaceInput, live: &Live) -> Vec<Difference> {
    let configuration = primary(live);
    let forwarding = live.body.pointer("/properties/enableIPForwarding").and_then(Value::as_bool).unwrap_or(false);
    let address = configuration.text("/properties/privateIPAddress");
    let method = configuration.text("/properties/privateIPAllocationMethod").unwrap_or("Dynamic");
    let public = configuration.id_at("/properties/publicIPAddress/id");
    let wanted_public = wanted.public_ip_id.as_ref().filter(|id| public.as_ref() != Some(id));
    [
        Difference::between("ip forwarding", forwarding, wanted.ip_forwarding),
        wanted.private_ip.and_then(|ip| Difference::between("private address", address, ip.to_string())),
        Difference::between("private address allocation", method, "Static"),
        wanted_public.map(|id| Difference::new("public address", public.map(|id| id.to_string()), id.to_string())),
        live.failed_state(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn configurations(live: &Live) -> &[Value] {
    live.body.pointer("/properties/ipConfigurations").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn primary_index(live: &Live) -> usize {
    configurations(live)
        .iter()
        .position(|it| it.pointer("/properties/primary") == Some(&Value::Bool(true)))
        .unwrap_or(0)
}

/// Its private address.
pub(crate) fn private_address(live: &Live) -> Option<String> {
    primary(live).text("/properties/privateIPAddress").map(str::to_owned)
}

/// The primary address configuration; the first where none is marked.
fn primary(live: &Live) -> Live {
    let configuration = configurations(live).get(primary_index(live));
    Live::part(live.id.clone(), configuration.unwrap_or(&Value::Null))
}

fn new(wanted: &NetworkInterfaceInput) -> Value {
    let reference = |id: &ResourceId| SubResource { id: Some(id.to_string()) };
    let allocation = if wanted.private_ip.is_some() { IpAllocationMethod::Static } else { IpAllocationMethod::Dynamic };
    let configuration = NetworkInterfaceIpConfigurationPropertiesFormat {
        primary: Some(true),
        private_ip_address: wanted.private_ip.map(|ip| ip.to_string()),
        private_ip_allocation_method: Some(allocation),
        subnet: Some(Subnet { sub_resource: reference(&wanted.subnet_id), ..Subnet::default() }),
        public_ip_address: wanted.public_ip_id.as_ref().map(|id| PublicIpAddress {
            resource: NetworkResource { id: Some(id.to_string()), ..NetworkResource::default() },
            ..PublicIpAddress::default()
        }),
        ..NetworkInterfaceIpConfigurationPropertiesFormat::default()
    };
    body(&NicModel {
        resource: NetworkResource { location: Some(wanted.location.to_string()), ..NetworkResource::default() },
        properties: Some(NetworkInterfacePropertiesFormat {
            enable_ip_forwarding: Some(wanted.ip_forwarding),
            ip_configurations: vec![NetworkInterfaceIpConfiguration {
                name: Some("primary".into()),
                properties: Some(configuration),
                ..NetworkInterfaceIpConfiguration::default()
            }],
            ..NetworkInterfacePropertiesFormat::default()
        }),
        ..NicModel::default()
    })
}
