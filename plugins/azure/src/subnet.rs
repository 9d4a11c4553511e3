use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    ArmClient, ResourceId,
    arm::Condition,
    live::Live,
    name::{GroupName, NetworkName, VnetName},
    permission::{NETWORK_OPERATIONS, arm},
    prefix::Prefix,
    virtual_network::{NETWORK, address_space, prefixes_of, subnets},
};

/// `azure.subnet.ensure`.
pub(crate) struct Subnet(pub(crate) ArmClient);

/// How a subnet is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubnetInput {
    /// Resource group of the virtual network.
    resource_group: GroupName,
    /// Name of the virtual network.
    virtual_network: VnetName,
    /// Name of the subnet.
    name: NetworkName,
    /// Its prefix, inside the network and apart from its other subnets.
    prefix: Prefix,
    /// The security group of its machines; without this, whatever it has is left alone.
    #[serde(default)]
    network_security_group_id: Option<ResourceId>,
    /// The way out of its machines that have no public address; without this, whatever it has is left alone.
    #[serde(default)]
    nat_gateway_id: Option<ResourceId>,
}

impl SubnetInput {
    /// What the subnet is to refer to, by property, with the words for it.
    fn references(&self) -> impl Iterator<Item = (&'static str, &'static str, &ResourceId)> {
        let group = self.network_security_group_id.as_ref();
        let gateway = self.nat_gateway_id.as_ref();
        let group = group.map(|id| ("networkSecurityGroup", "network security group", id));
        let gateway = gateway.map(|id| ("natGateway", "NAT gateway", id));
        group.into_iter().chain(gateway)
    }
}

/// A subnet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubnetOutput {
    /// Resource id.
    pub id: String,
    /// Name of the subnet.
    pub name: String,
    /// Its prefix.
    pub prefix: String,
    /// The first host address, where Azure's own router answers.
    pub gateway: IpAddr,
}

impl Subnet {
    fn network(&self, wanted: &SubnetInput) -> ResourceId {
        self.0.group(&wanted.resource_group).resource(NETWORK, &wanted.virtual_network)
    }

    fn id(&self, wanted: &SubnetInput) -> ResourceId {
        self.network(wanted).child("subnets", &wanted.name)
    }
}

impl Resource for Subnet {
    type Desired = SubnetInput;
    /// The whole network: whether the prefix fits depends on all of it.
    type Actual = Live;
    type Output = SubnetOutput;
    const NAME: &'static str = "azure.subnet.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a virtual network has a subnet with a prefix.";

    async fn read(&self, cx: &ActionContext, wanted: &SubnetInput) -> Result<Option<Live>, ActionError> {
        let id = self.network(wanted);
        let network = self.0.get_settled(cx, &id).await?;
        network.map(Some).ok_or_else(|| ActionError::permanent("not found").context(id.label()))
    }

    fn diff(&self, wanted: &SubnetInput, actual: Option<&Live>) -> Result<Vec<Difference>, ActionError> {
        let id = self.id(wanted);
        let Some(network) = actual else { return Ok(vec![missing(&id, wanted)]) };
        let subnets = subnets(network);
        let (own, others): (Vec<Live>, Vec<Live>) = subnets.into_iter().partition(|subnet| subnet.id == id);
        let Some(subnet) = own.first() else {
            check_contained(wanted, network).map_err(|e| e.context(id.label()))?;
            check_apart(wanted, &others).map_err(|e| e.context(id.label()))?;
            return Ok(vec![missing(&id, wanted)]);
        };
        check_prefix(wanted, subnet)?;
        Ok(references(wanted, subnet).chain(subnet.failed_state()).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &SubnetInput,
        _: Option<&Live>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let _writer = self.0.hold(cx, &[&self.network(wanted)]).await?;
        // Another step may have written to the network while this one waited.
        let network = self.read(cx, wanted).await?;
        if self.diff(wanted, network.as_ref())?.is_empty() {
            return Ok(());
        }
        let id = self.id(wanted);
        if let Some(live) = self.0.get_settled(cx, &id).await? {
            let condition = Condition::unchanged(&live);
            return self.0.put(cx, &id, referring(wanted, live.body), condition).await;
        }
        let body = referring(wanted, json!({ "properties": { "addressPrefix": wanted.prefix } }));
        self.0.put(cx, &id, body, Some(Condition::Absent)).await
    }

    fn output(&self, _: &ActionContext, wanted: &SubnetInput, network: &Live) -> Result<SubnetOutput, ActionError> {
        let id = self.id(wanted);
        let gateway = wanted.prefix.gateway();
        let subnet = subnets(network).into_iter().find(|subnet| subnet.id == id);
        let subnet = subnet.ok_or_else(|| ActionError::transient("not found").context(id.label()))?;
        Ok(SubnetOutput {
            id: subnet.id(),
            name: subnet.name().into(),
            prefix: wanted.prefix.to_string(),
            gateway: gateway.ok_or_else(|| ActionError::permanent("its prefix has no host").context(id.label()))?,
        })
    }

    async fn resume(&self, cx: &ActionContext, _: &SubnetInput, checkpoint: Value) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for Subnet {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Network/virtualNetworks/read"),
        arm("Microsoft.Network/virtualNetworks/subnets/read"),
        arm("Microsoft.Network/virtualNetworks/subnets/write"),
        arm("Microsoft.Network/networkSecurityGroups/join/action"),
        arm("Microsoft.Network/natGateways/join/action"),
        arm("Microsoft.Network/routeTables/join/action"),
        NETWORK_OPERATIONS,
    ];
}

fn references(wanted: &SubnetInput, subnet: &Live) -> impl Iterator<Item = Difference> {
    wanted.references().filter_map(|(property, what, id)| {
        let actual = subnet.id_at(&format!("/properties/{property}/id"));
        let differs = actual.as_ref() != Some(id);
        differs.then(|| Difference::new(what, actual.map(|id| id.to_string()), id.to_string()))
    })
}

fn referring(wanted: &SubnetInput, mut body: Value) -> Value {
    for (property, _, id) in wanted.references() {
        body["properties"][property] = json!({ "id": id });
    }
    body
}

fn missing(id: &ResourceId, wanted: &SubnetInput) -> Difference {
    Difference::missing(id.label(), wanted.prefix.to_string())
}

fn check_contained(wanted: &SubnetInput, network: &Live) -> Result<(), ActionError> {
    let space = address_space(network);
    if space.iter().any(|prefix| prefix.contains(&wanted.prefix)) {
        return Ok(());
    }
    let space: Vec<String> = space.iter().map(Prefix::to_string).collect();
    Err(ActionError::permanent(format!("{} is outside {} ({})", wanted.prefix, network.id.label(), space.join(", ")))
        .with_hint("choose a prefix inside the network's address space"))
}

fn check_apart(wanted: &SubnetInput, others: &[Live]) -> Result<(), ActionError> {
    let owned = others.iter().flat_map(|subnet| prefixes_of(subnet).into_iter().map(move |prefix| (subnet, prefix)));
    match owned.into_iter().find(|(_, prefix)| prefix.overlaps(&wanted.prefix)) {
        None => Ok(()),
        Some((subnet, prefix)) => {
            Err(ActionError::permanent(format!("{} overlaps {prefix} of {}", wanted.prefix, subnet.id.label()))
                .with_hint("choose a prefix apart from the network's other subnets"))
        }
    }
}

fn check_prefix(wanted: &SubnetInput, subnet: &Live) -> Result<(), ActionError> {
    let actual = prefixes_of(subnet);
    if actual == [wanted.prefix] {
        return Ok(());
    }
    let actual: Vec<String> = actual.iter().map(Prefix::to_string).collect();
    Err(ActionError::permanent(format!("it exists with {}, not {}", actual.join(", "), wanted.prefix))
        .context(subnet.id.label())
        .with_hint("give its own prefix, or delete it first"))
}
