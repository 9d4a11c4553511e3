use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    ArmClient, ResourceId,
    live::Live,
    name::{GroupName, NetworkName, VnetName},
    permission::arm,
    prefix::Prefix,
};

pub(crate) const NETWORK: &str = "Microsoft.Network/virtualNetworks";
const SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets";
const SCALE_SETS: &str = "Microsoft.Compute/virtualMachineScaleSets";
/// The only version in which the NICs of scale sets are documented.
const SCALE_SET_NICS_VERSION: &str = "2018-10-01";
/// What AKS calls the subnet that it makes for its nodes.
const AKS_SUBNET: &str = "aks-subnet";

/// `azure.virtual_network.discover`.
pub(crate) struct VirtualNetworkDiscovery(pub(crate) ArmClient);

/// Where to look.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiscoveryInput {
    /// The resource group of the cluster's nodes.
    resource_group: GroupName,
    /// Name of the virtual network, where the group has several.
    #[serde(default)]
    name: Option<VnetName>,
    /// Name of the nodes' subnet, where the nodes have several.
    #[serde(default)]
    node_subnet: Option<NetworkName>,
}

/// A virtual network and its subnets.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DiscoveryOutput {
    /// Resource id.
    pub id: String,
    /// Name of the virtual network.
    pub name: String,
    /// The resource group it is in, which is not that of the nodes where the network was brought along.
    pub resource_group: String,
    /// Its region.
    pub location: String,
    /// Its address space.
    pub prefixes: Vec<String>,
    /// Every subnet.
    pub subnets: Vec<SubnetView>,
    /// The subnet that the cluster's nodes are in.
    pub node_subnet: SubnetView,
}

/// A subnet.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubnetView {
    /// Name of the subnet.
    pub name: String,
    /// Resource id.
    pub id: String,
    /// Its prefix.
    pub prefix: String,
    /// The route table associated with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<String>,
}

impl Action for VirtualNetworkDiscovery {
    type Input = DiscoveryInput;
    type Output = DiscoveryOutput;
    const NAME: &'static str = "azure.virtual_network.discover";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Finds the virtual network and the subnet that a cluster's nodes are in.";

    async fn run(&self, cx: &ActionContext, input: &DiscoveryInput) -> Result<DiscoveryOutput, ActionError> {
        let group = self.0.group(&input.resource_group);
        let used = self.subnets_of_scale_sets(cx, &group).await?;
        let id = self.network(cx, &group, input, &used).await?;
        let live = self.0.get_settled(cx, &id).await?;
        let live = live.ok_or_else(|| ActionError::permanent("not found").context(id.label()))?;
        output(&live, input, &used)
    }

    async fn preview(&self, cx: &ActionContext, input: &DiscoveryInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for VirtualNetworkDiscovery {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Compute/virtualMachineScaleSets/read"),
        arm("Microsoft.Compute/virtualMachineScaleSets/networkInterfaces/read"),
        arm("Microsoft.Network/virtualNetworks/read"),
    ];
}

impl VirtualNetworkDiscovery {
    /// The subnets that the nodes' scale sets are in: by the NICs of their instances, or by their model without any.
    async fn subnets_of_scale_sets(
        &self,
        cx: &ActionContext,
        group: &ResourceId,
    ) -> Result<Vec<ResourceId>, ActionError> {
        let mut subnets: Vec<ResourceId> = Vec::new();
        for scale_set in self.0.list_in(cx, group, SCALE_SETS).await? {
            let id: Option<ResourceId> = scale_set["id"].as_str().and_then(|id| id.parse().ok());
            let Some(id) = id else { continue };
            let path = format!("{}/networkInterfaces", id.path());
            let nics = self.0.list(cx, &path, SCALE_SET_NICS_VERSION).await.map_err(|e| e.context(id.label()))?;
            let mut found: Vec<_> = nics.iter().flat_map(subnets_of_nic).collect();
            if found.is_empty() {
                found = subnets_of_model(&scale_set);
            }
            for id in found {
                if !subnets.contains(&id) {
                    subnets.push(id);
                }
            }
        }
        Ok(subnets)
    }

    async fn network(
        &self,
        cx: &ActionContext,
        group: &ResourceId,
        input: &DiscoveryInput,
        used: &[ResourceId],
    ) -> Result<ResourceId, ActionError> {
        let mut candidates: Vec<ResourceId> = Vec::new();
        for network in used.iter().map(ResourceId::parent) {
            if !candidates.contains(&network) {
                candidates.push(network);
            }
        }
        if candidates.is_empty() {
            let networks = self.0.list_in(cx, group, NETWORK).await?;
            candidates = networks.iter().filter_map(|network| network["id"].as_str()?.parse().ok()).collect();
        }
        let wanted =
            |id: &&ResourceId| input.name.as_ref().is_none_or(|name| name.as_str().eq_ignore_ascii_case(id.name()));
        match candidates.iter().filter(wanted).collect::<Vec<_>>().as_slice() {
            [one] => Ok((*one).clone()),
            _ => Err(ambiguous(
                "virtual network",
                "name",
                &candidates.iter().map(ResourceId::to_string).collect::<Vec<_>>(),
            )
            .context(group.label())),
        }
    }
}

fn subnets_of_nic(nic: &Value) -> Vec<ResourceId> {
    subnet_ids(nic.pointer("/properties/ipConfigurations"))
}

fn subnets_of_model(scale_set: &Value) -> Vec<ResourceId> {
    let nics = scale_set.pointer("/properties/virtualMachineProfile/networkProfile/networkInterfaceConfigurations");
    nics.and_then(Value::as_array).into_iter().flatten().flat_map(subnets_of_nic).collect()
}

fn subnet_ids(configurations: Option<&Value>) -> Vec<ResourceId> {
    let configurations = configurations.and_then(Value::as_array).into_iter().flatten();
    let ids = configurations.filter_map(|it| it.pointer("/properties/subnet/id")?.as_str()?.parse().ok());
    ids.filter(|id: &ResourceId| id.is(SUBNET)).collect()
}

fn output(live: &Live, input: &DiscoveryInput, used: &[ResourceId]) -> Result<DiscoveryOutput, ActionError> {
    let subnets = subnets(live).iter().map(view).collect::<Result<Vec<_>, _>>()?;
    let node_subnet = node_subnet(&subnets, input, used).map_err(|e| e.context(live.id.label()))?;
    Ok(DiscoveryOutput {
        id: live.id(),
        name: live.name().into(),
        resource_group: live.id.group().to_string(),
        location: live.required("/location")?.into(),
        prefixes: address_space(live).iter().map(Prefix::to_string).collect(),
        subnets,
        node_subnet,
    })
}

fn node_subnet(all: &[SubnetView], input: &DiscoveryInput, used: &[ResourceId]) -> Result<SubnetView, ActionError> {
    let is_used = |subnet: &&SubnetView| subnet.id.parse().is_ok_and(|id: ResourceId| used.contains(&id));
    let called = |name: &str| all.iter().filter(|subnet| subnet.name.eq_ignore_ascii_case(name)).collect::<Vec<_>>();
    let in_use: Vec<&SubnetView> = all.iter().filter(is_used).collect();
    let found = match (&input.node_subnet, in_use.is_empty()) {
        (Some(name), _) => called(name.as_str()),
        (None, false) => in_use.clone(),
        (None, true) => called(AKS_SUBNET),
    };
    if let [one] = found.as_slice() {
        return Ok((*one).clone());
    }
    let candidates = if in_use.is_empty() { all.iter().collect() } else { in_use };
    let names: Vec<_> = candidates.iter().map(|subnet| subnet.name.clone()).collect();
    Err(ambiguous("node subnet", "node_subnet", &names))
}

fn ambiguous(what: &str, input: &str, candidates: &[String]) -> ActionError {
    if candidates.is_empty() {
        return ActionError::permanent(format!("no {what} found"));
    }
    ActionError::permanent(format!("cannot tell which {what} is the cluster's: {}", candidates.join(", ")))
        .with_hint(format!("name one with the input `{input}`"))
}

/// The subnets in a network's body.
pub(crate) fn subnets(network: &Live) -> Vec<Live> {
    let bodies = network.body.pointer("/properties/subnets").and_then(Value::as_array).into_iter().flatten();
    bodies.filter_map(|body| Some(Live::part(body["id"].as_str()?.parse().ok()?, body))).collect()
}

/// The prefixes of a network.
pub(crate) fn address_space(network: &Live) -> Vec<Prefix> {
    prefixes(network.body.pointer("/properties/addressSpace/addressPrefixes"))
}

/// The prefixes of a subnet: `addressPrefix` or `addressPrefixes`.
pub(crate) fn prefixes_of(subnet: &Live) -> Vec<Prefix> {
    match subnet.text("/properties/addressPrefix") {
        Some(prefix) => prefix.parse().into_iter().collect(),
        None => prefixes(subnet.body.pointer("/properties/addressPrefixes")),
    }
}

fn prefixes(list: Option<&Value>) -> Vec<Prefix> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(|prefix| prefix.as_str()?.parse().ok()).collect()
}

fn view(subnet: &Live) -> Result<SubnetView, ActionError> {
    let prefix = prefixes_of(subnet).first().map(Prefix::to_string);
    Ok(SubnetView {
        name: subnet.name().into(),
        id: subnet.id(),
        prefix: prefix.ok_or_else(|| ActionError::transient("it has no prefix").context(subnet.id.label()))?,
        route_table_id: subnet.text("/properties/routeTable/id").map(str::to_owned),
    })
}
