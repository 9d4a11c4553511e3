use std::net::IpAddr;

use azure_mgmt_network::package_2024_03::models::{
    IpAllocationMethod, NetworkInterface, NetworkInterfaceIpConfiguration,
    NetworkInterfaceIpConfigurationPropertiesFormat, NetworkInterfacePropertiesFormat, PublicIpAddress, Resource,
    Subnet,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission};

use crate::{
    actions::{public_ip::PublicIpInput, subnet::SUBNET},
    arm_resource::{ArmEnsure, ArmResource, id_and_name},
    client::{
        ArmClient, ArmObject, GroupName, Location, NetworkName, Owner, Precondition, ResourceId, ResourceType, body,
        with_owner,
    },
    permission::{arm, read_and_write},
};

/// Network interfaces of machines.
pub(crate) const NETWORK_INTERFACE: ResourceType =
    ResourceType { kind: "Microsoft.Network/networkInterfaces", api_version: "2024-01-01", noun: "network interface" };

/// Desired state of a network interface.
///
/// Its private address is static, because routes refer to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkInterfaceInput {
    /// Resource group of the network interface.
    resource_group: GroupName,
    /// Name of the network interface.
    name: NetworkName,
    /// Region of the network interface.
    location: Location,
    /// Id of its subnet, which cannot be changed later.
    subnet_id: ResourceId,
    /// Id of its public address; without it, the actual one is kept.
    #[serde(default)]
    public_ip_id: Option<ResourceId>,
    /// Private address; without it, the one that Azure allocates is kept.
    #[serde(default)]
    private_ip: Option<IpAddr>,
    /// True if the interface forwards packets for other addresses, as a router must.
    ip_forwarding: bool,
    /// Owner of the resource, if this step creates it. `azure.resources.delete` deletes the
    /// resources of an owner.
    #[serde(default)]
    owner: Option<Owner>,
}

/// Network interface in its desired state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NetworkInterfaceOutput {
    /// Id of the network interface.
    pub id: String,
    /// Name of the network interface.
    pub name: String,
    /// Private address of the primary configuration.
    pub private_ip: IpAddr,
    /// Hardware address in Azure's form, such as `00-0D-3A-1B-2C-3D`; absent until the interface
    /// belongs to a machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

impl NetworkInterfaceInput {
    fn id(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(NETWORK_INTERFACE, &self.name)
    }

    /// Writes the desired properties into the actual body, if they differ.
    async fn update(&self, cx: &ActionContext, arm: &ArmClient, actual: ArmObject) -> Result<(), ActionError> {
        if self.diff(arm, Some(&actual))?.is_empty() {
            return Ok(());
        }
        let precondition = Precondition::unchanged(&actual);
        let address = self.private_ip.map(|ip| ip.to_string()).or_else(|| private_address(&actual));
        let index = primary_index(&actual);
        let ArmObject { id, mut body, .. } = actual;
        body["properties"]["enableIPForwarding"] = self.ip_forwarding.into();
        let configuration = &mut body["properties"]["ipConfigurations"][index]["properties"];
        if let Some(address) = address {
            configuration["privateIPAddress"] = address.into();
            configuration["privateIPAllocationMethod"] = "Static".into();
        }
        if let Some(id) = &self.public_ip_id {
            configuration["publicIPAddress"] = json!({ "id": id });
        }
        arm.put(cx, &id, body, precondition).await
    }
}

impl ArmEnsure for NetworkInterfaceInput {
    type Actual = ArmObject;
    type Output = NetworkInterfaceOutput;
    const NAME: &'static str = "azure.network_interface.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a network interface has its addresses and its forwarding flag.";
    const TYPES: &'static [ResourceType] = &[NETWORK_INTERFACE];

    fn permissions() -> Vec<Permission> {
        interface_permissions()
    }

    async fn read(&self, cx: &ActionContext, arm: &ArmClient) -> Result<Option<ArmObject>, ActionError> {
        arm.get_settled(cx, &self.id(arm)).await
    }

    fn diff(&self, arm: &ArmClient, actual: Option<&ArmObject>) -> Result<Vec<Difference>, ActionError> {
        let label = self.id(arm).label();
        check_ids(self).map_err(|e| e.context(&label))?;
        let Some(actual) = actual else { return Ok(vec![Difference::missing(label, self.subnet_id.to_string())]) };
        actual.check_location(&self.location)?;
        check_subnet(self, actual)?;
        Ok(differences(self, actual))
    }

    /// Creates the interface with an address of Azure's choice if none is desired, and then makes
    /// it static.
    async fn apply(&self, cx: &ActionContext, arm: &ArmClient, actual: Option<&ArmObject>) -> Result<(), ActionError> {
        let _guard = arm.lock_for_write(cx, &[&self.subnet_id.parent()]).await?;
        if actual.is_none() {
            let body = with_owner(new_body(self), self.owner.as_ref());
            arm.put(cx, &self.id(arm), body, Some(Precondition::Absent)).await?;
        }
        match self.read(cx, arm).await? {
            Some(actual) => self.update(cx, arm, actual).await,
            None => Ok(()), // not visible yet: it is read back until it is, and the next attempt updates it
        }
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &ArmClient,
        actual: &ArmObject,
    ) -> Result<NetworkInterfaceOutput, ActionError> {
        let configuration = primary(actual);
        let address = configuration.required("/properties/privateIPAddress")?;
        let unreadable =
            |_| ActionError::permanent(format!("azure gave it the address {address:?}")).context(actual.id.label());
        Ok(NetworkInterfaceOutput {
            id: actual.id(),
            name: actual.name().into(),
            private_ip: address.parse().map_err(unreadable)?,
            mac: actual.text("/properties/macAddress").filter(|mac| !mac.is_empty()).map(str::to_owned),
        })
    }

    fn immutable(&self, actual: &ArmObject) -> Vec<Difference> {
        let subnet = primary(actual).id_at("/properties/subnet/id");
        let other = (subnet.as_ref() != Some(&self.subnet_id))
            .then(|| Difference::new("subnet", subnet.map(|id| id.to_string()), self.subnet_id.to_string()));
        actual.location_difference(&self.location).into_iter().chain(other).collect()
    }

    fn certain(&self, arm: &ArmClient) -> Value {
        let mut certain = id_and_name(&self.id(arm));
        if let Some(ip) = self.private_ip {
            certain["private_ip"] = json!(ip);
        }
        certain
    }
}

/// Permissions to write a network interface back, which refers to a subnet and a public address.
pub(crate) fn interface_permissions() -> Vec<Permission> {
    let mut permissions = read_and_write(NETWORK_INTERFACE);
    permissions.push(arm("Microsoft.Network/virtualNetworks/subnets/join/action"));
    permissions.push(arm("Microsoft.Network/publicIPAddresses/join/action"));
    permissions
}

/// Private address of an interface's primary configuration.
pub(crate) fn private_address(interface: &ArmObject) -> Option<String> {
    primary(interface).text("/properties/privateIPAddress").map(str::to_owned)
}

/// Checks that the ids of the input are those of a subnet and a public address.
///
/// # Errors
/// `Permanent`, with the id.
fn check_ids(desired: &NetworkInterfaceInput) -> Result<(), ActionError> {
    desired.subnet_id.check_type("subnet_id", SUBNET)?;
    let public_ip_id = desired.public_ip_id.as_ref();
    public_ip_id.map_or(Ok(()), |id| id.check_type("public_ip_id", PublicIpInput::TYPE))
}

/// Checks that the interface is in the desired subnet.
///
/// # Errors
/// `Permanent` for another one: an interface cannot be moved.
fn check_subnet(desired: &NetworkInterfaceInput, actual: &ArmObject) -> Result<(), ActionError> {
    let subnet = primary(actual).id_at("/properties/subnet/id");
    if subnet.as_ref() == Some(&desired.subnet_id) {
        return Ok(());
    }
    let subnet = subnet.map_or("no subnet".into(), |id| id.to_string());
    Err(ActionError::permanent(format!("it is in {subnet}, not in {}", desired.subnet_id))
        .context(actual.id.label())
        .with_hint("delete it, or choose another name"))
}

/// Compares the properties that the input names, and that the private address is static.
fn differences(desired: &NetworkInterfaceInput, actual: &ArmObject) -> Vec<Difference> {
    let configuration = primary(actual);
    let forwarding = actual.body.pointer("/properties/enableIPForwarding").and_then(Value::as_bool).unwrap_or(false);
    let address = configuration.text("/properties/privateIPAddress");
    let method = configuration.text("/properties/privateIPAllocationMethod").unwrap_or("Dynamic");
    let public = configuration.id_at("/properties/publicIPAddress/id");
    let new_public = desired.public_ip_id.as_ref().filter(|id| public.as_ref() != Some(id));
    [
        Difference::between("ip forwarding", forwarding, desired.ip_forwarding),
        desired.private_ip.and_then(|ip| Difference::between("private address", address, ip.to_string())),
        Difference::between("private address allocation", method, "Static"),
        new_public.map(|id| Difference::new("public address", public.map(|id| id.to_string()), id.to_string())),
        actual.failed_state(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Index of the configuration that is marked as primary; of the first one if none is.
fn primary_index(interface: &ArmObject) -> usize {
    let is_primary = |it: &Value| it.pointer("/properties/primary") == Some(&Value::Bool(true));
    interface.items("/properties/ipConfigurations").iter().position(is_primary).unwrap_or(0)
}

/// Primary address configuration of an interface; empty if there is none.
fn primary(interface: &ArmObject) -> ArmObject {
    interface.section(interface.items("/properties/ipConfigurations").get(primary_index(interface)))
}

/// Body of the PUT that creates the interface, with one address configuration.
fn new_body(desired: &NetworkInterfaceInput) -> Value {
    let is_static = desired.private_ip.is_some();
    let allocation = if is_static { IpAllocationMethod::Static } else { IpAllocationMethod::Dynamic };
    let configuration = NetworkInterfaceIpConfigurationPropertiesFormat {
        primary: Some(true),
        private_ip_address: desired.private_ip.map(|ip| ip.to_string()),
        private_ip_allocation_method: Some(allocation),
        subnet: Some(Subnet { sub_resource: body::reference(&desired.subnet_id), ..Subnet::default() }),
        public_ip_address: desired.public_ip_id.as_ref().map(|id| PublicIpAddress {
            resource: Resource { id: Some(id.to_string()), ..Resource::default() },
            ..PublicIpAddress::default()
        }),
        ..NetworkInterfaceIpConfigurationPropertiesFormat::default()
    };
    body(&NetworkInterface {
        resource: body::in_location(&desired.location),
        properties: Some(NetworkInterfacePropertiesFormat {
            enable_ip_forwarding: Some(desired.ip_forwarding),
            ip_configurations: vec![NetworkInterfaceIpConfiguration {
                name: Some("primary".into()),
                properties: Some(configuration),
                ..NetworkInterfaceIpConfiguration::default()
            }],
            ..NetworkInterfacePropertiesFormat::default()
        }),
        ..NetworkInterface::default()
    })
}
