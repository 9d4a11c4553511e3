use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::{
    ArmClient, ResourceId,
    arm::Condition,
    live::Live,
    name::{GroupName, Location, VnetName},
    permission::{NETWORK_OPERATIONS, arm},
    prefix::Prefix,
    virtual_network::{NETWORK, address_space},
};

/// `azure.virtual_network.ensure`.
pub(crate) struct VirtualNetwork(pub(crate) ArmClient);

/// How a virtual network is to be. Its subnets are not spoken of: each is a matter of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VirtualNetworkInput {
    /// Resource group of the virtual network.
    resource_group: GroupName,
    /// Name of the virtual network.
    name: VnetName,
    /// Its region.
    location: Location,
    /// Prefixes that its address space is to have, beside those it has.
    prefixes: Vec<Prefix>,
}

/// A virtual network.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct VirtualNetworkOutput {
    /// Resource id.
    pub id: String,
    /// Name of the virtual network.
    pub name: String,
    /// The resource group it is in.
    pub resource_group: String,
    /// Its region.
    pub location: String,
    /// Its address space.
    pub prefixes: Vec<String>,
}

impl VirtualNetwork {
    fn id(&self, wanted: &VirtualNetworkInput) -> ResourceId {
        self.0.group(&wanted.resource_group).resource(NETWORK, &wanted.name)
    }
}

impl Resource for VirtualNetwork {
    type Desired = VirtualNetworkInput;
    type Actual = Live;
    type Output = VirtualNetworkOutput;
    const NAME: &'static str = "azure.virtual_network.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a virtual network has some prefixes, and leaves its subnets alone.";

    async fn read(&self, cx: &ActionContext, wanted: &VirtualNetworkInput) -> Result<Option<Live>, ActionError> {
        self.0.get_settled(cx, &self.id(wanted)).await
    }

    fn diff(&self, wanted: &VirtualNetworkInput, actual: Option<&Live>) -> Result<Vec<Difference>, ActionError> {
        check_prefixes(&wanted.prefixes).map_err(|e| e.context(self.id(wanted).label()))?;
        let Some(live) = actual else {
            return Ok(vec![Difference::missing(self.id(wanted).label(), texts(&wanted.prefixes).join(", "))]);
        };
        live.check_location(&wanted.location)?;
        let space = address_space(live);
        let missing = missing(wanted, &space);
        if let Some((new, old)) = overlap(&missing, &space) {
            return Err(
                ActionError::permanent(format!("{new} overlaps {old}, which it has already")).context(live.id.label())
            );
        }
        let missing = missing.iter().map(|prefix| Difference::missing("prefix", prefix.to_string()));
        Ok(missing.chain(live.failed_state()).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &VirtualNetworkInput,
        _: Option<&Live>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let id = self.id(wanted);
        let _writer = self.0.hold(cx, &[&id]).await?;
        // Read again: a PUT of a network replaces its subnets, and one may have been added while this step waited.
        let Some(live) = self.read(cx, wanted).await? else {
            return self.0.put(cx, &id, new(wanted), Some(Condition::Absent)).await;
        };
        let mut space = address_space(&live);
        space.extend(missing(wanted, &space));
        let condition = Condition::unchanged(&live);
        let mut body = live.body;
        body["properties"]["addressSpace"]["addressPrefixes"] = json!(space);
        self.0.put(cx, &id, body, condition).await
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &VirtualNetworkInput,
        live: &Live,
    ) -> Result<VirtualNetworkOutput, ActionError> {
        Ok(VirtualNetworkOutput {
            id: live.id(),
            name: live.name().into(),
            resource_group: live.id.group().to_string(),
            location: live.required("/location")?.into(),
            prefixes: texts(&address_space(live)),
        })
    }

    async fn resume(&self, cx: &ActionContext, _: &VirtualNetworkInput, checkpoint: Value) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for VirtualNetwork {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Network/virtualNetworks/read"),
        arm("Microsoft.Network/virtualNetworks/write"),
        NETWORK_OPERATIONS,
    ];
}

fn check_prefixes(prefixes: &[Prefix]) -> Result<(), ActionError> {
    if prefixes.is_empty() {
        return Err(ActionError::permanent("no prefix is given"));
    }
    let mut rest = prefixes;
    while let Some((prefix, others)) = rest.split_first() {
        if let Some(other) = others.iter().find(|other| other.overlaps(prefix)) {
            return Err(ActionError::permanent(format!("the prefixes {prefix} and {other} overlap")));
        }
        rest = others;
    }
    Ok(())
}

fn missing(wanted: &VirtualNetworkInput, space: &[Prefix]) -> Vec<Prefix> {
    wanted.prefixes.iter().filter(|prefix| !space.contains(prefix)).copied().collect()
}

fn overlap(new: &[Prefix], old: &[Prefix]) -> Option<(Prefix, Prefix)> {
    new.iter().find_map(|new| Some((*new, *old.iter().find(|old| old.overlaps(new))?)))
}

fn texts(prefixes: &[Prefix]) -> Vec<String> {
    prefixes.iter().map(Prefix::to_string).collect()
}

fn new(wanted: &VirtualNetworkInput) -> Value {
    json!({ "location": wanted.location, "properties": { "addressSpace": { "addressPrefixes": wanted.prefixes } } })
}
