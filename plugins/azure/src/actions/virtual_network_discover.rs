use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::Prefix;
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    actions::{
        route_table::RouteTableInput,
        subnet::{SUBNET, prefixes_of, subnets},
        virtual_network::{VirtualNetworkInput, address_space},
    },
    arm_resource::ArmResource,
    client::{ArmClient, ArmObject, ClusterName, GroupName, NetworkName, ResourceId, ResourceType, VnetName},
    deployment_names::{DeploymentNames, deployment_names},
    permission::arm,
};

/// Scale sets, in which AKS creates its nodes.
pub(super) const SCALE_SET: ResourceType =
    ResourceType { kind: "Microsoft.Compute/virtualMachineScaleSets", api_version: "2024-07-01", noun: "scale set" };
/// Only API version in which the network interfaces of scale sets are documented.
pub(super) const SCALE_SET_NICS_VERSION: &str = "2018-10-01";
/// Name of the subnet that AKS creates for its nodes.
const AKS_SUBNET: &str = "aks-subnet";

/// Action `azure.virtual_network.discover`: finds the network and the subnet of a cluster's nodes.
pub(crate) struct VirtualNetworkDiscovery(pub(crate) ArmClient);

/// Nodes whose network is discovered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiscoveryInput {
    /// Resource group of the cluster's nodes.
    resource_group: GroupName,
    /// Name of the virtual network; required if there are several.
    #[serde(default)]
    name: Option<VnetName>,
    /// Name of the nodes' subnet; required if the nodes are in several.
    #[serde(default)]
    node_subnet: Option<NetworkName>,
    /// Cluster for whose router the names of subnet and route tables are chosen; without it,
    /// `names` is that of a network without other clusters.
    #[serde(default)]
    cluster: Option<ClusterName>,
    /// Prefix of the subnet of the cluster's router.
    #[serde(default)]
    router_subnet: Option<Prefix>,
}

/// Virtual network of a cluster's nodes, with its subnets.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DiscoveryOutput {
    /// Id of the virtual network.
    pub id: String,
    /// Name of the virtual network.
    pub name: String,
    /// Resource group of the virtual network; not that of the nodes if the network was created
    /// before the cluster.
    pub resource_group: String,
    /// Region of the virtual network.
    pub location: String,
    /// Prefixes of the address space.
    pub prefixes: Vec<String>,
    /// All subnets of the network.
    pub subnets: Vec<SubnetView>,
    /// Subnet of the cluster's nodes.
    pub node_subnet: SubnetView,
    /// Names of the cluster's own subnet and route tables.
    pub names: DeploymentNames,
}

/// Subnet of the discovered network.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubnetView {
    /// Name of the subnet.
    pub name: String,
    /// Id of the subnet.
    pub id: String,
    /// First prefix of the subnet.
    pub prefix: String,
    /// Id of its route table; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<String>,
    /// Name of its route table; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_table: Option<String>,
}

impl Action for VirtualNetworkDiscovery {
    type Input = DiscoveryInput;
    type Output = DiscoveryOutput;
    const NAME: &'static str = "azure.virtual_network.discover";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Finds the virtual network and the subnet that a cluster's nodes are in.";

    async fn run(&self, cx: &ActionContext, input: &DiscoveryInput) -> Result<DiscoveryOutput, ActionError> {
        let group = self.0.group(&input.resource_group);
        let used = self.subnets_of_scale_sets(cx, &group).await?;
        let id = self.network(cx, &group, input, &used).await?;
        let network = self.0.get_settled(cx, &id).await?;
        let network = network.ok_or_else(|| ActionError::permanent("not found").context(id.label()))?;
        let tables = self.0.list_in(cx, &self.0.group(id.group()), RouteTableInput::TYPE).await?;
        output(&network, input, &used, &tables_of_other_networks(&tables, &id))
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
        arm("Microsoft.Network/routeTables/read"),
    ];
}

impl VirtualNetworkDiscovery {
    /// Reads the subnets of the nodes' scale sets: from the interfaces of their instances, or from
    /// their model if they have no instance.
    async fn subnets_of_scale_sets(
        &self,
        cx: &ActionContext,
        group: &ResourceId,
    ) -> Result<Vec<ResourceId>, ActionError> {
        let mut subnets: Vec<ResourceId> = Vec::new();
        for scale_set in self.0.list_in(cx, group, SCALE_SET).await? {
            let path = format!("{}/networkInterfaces", scale_set.id.path());
            let nics = self.0.list(cx, &path, SCALE_SET_NICS_VERSION).await;
            let nics = nics.map_err(|e| e.context(scale_set.id.label()))?;
            let of_nics: Vec<_> = nics.iter().flat_map(subnets_of_nic).collect();
            let used = if of_nics.is_empty() { subnets_of_model(&scale_set) } else { of_nics };
            for id in used {
                if !subnets.contains(&id) {
                    subnets.push(id);
                }
            }
        }
        Ok(subnets)
    }

    /// Chooses the virtual network: that of the used subnets; without any, the one in the group.
    async fn network(
        &self,
        cx: &ActionContext,
        group: &ResourceId,
        input: &DiscoveryInput,
        used: &[ResourceId],
    ) -> Result<ResourceId, ActionError> {
        let mut candidates: Vec<ResourceId> = Vec::new();
        for network in used.iter().map(|subnet| subnet.parent().with_type(VirtualNetworkInput::TYPE)) {
            if !candidates.contains(&network) {
                candidates.push(network);
            }
        }
        if candidates.is_empty() {
            let networks = self.0.list_in(cx, group, VirtualNetworkInput::TYPE).await?;
            candidates = networks.into_iter().map(|network| network.id).collect();
        }
        let has_name =
            |id: &&ResourceId| input.name.as_ref().is_none_or(|name| name.as_str().eq_ignore_ascii_case(id.name()));
        if let [one] = candidates.iter().filter(has_name).collect::<Vec<_>>().as_slice() {
            return Ok((*one).clone());
        }
        let candidates: Vec<_> = candidates.iter().map(ResourceId::to_string).collect();
        Err(ambiguous("virtual network", "name", &candidates).context(group.label()))
    }
}

/// Subnets of the address configurations of a network interface, or of its model in a scale set.
pub(super) fn subnets_of_nic(nic: &Value) -> Vec<ResourceId> {
    let configurations = nic.pointer("/properties/ipConfigurations").and_then(Value::as_array);
    let subnet = |it: &Value| it.pointer("/properties/subnet/id")?.as_str()?.parse().ok();
    let ids = configurations.into_iter().flatten().filter_map(subnet);
    ids.filter(|id: &ResourceId| id.is(SUBNET.kind)).collect()
}

/// Subnets in the model from which a scale set creates its instances.
fn subnets_of_model(scale_set: &ArmObject) -> Vec<ResourceId> {
    let nics = scale_set.items("/properties/virtualMachineProfile/networkProfile/networkInterfaceConfigurations");
    nics.iter().flat_map(subnets_of_nic).collect()
}

/// Names of the route tables that a subnet of another virtual network has.
fn tables_of_other_networks(tables: &[ArmObject], network: &ResourceId) -> Vec<String> {
    let is_elsewhere = |subnet: &Value| {
        let id = subnet.get("id").and_then(Value::as_str).and_then(|id| id.parse::<ResourceId>().ok());
        id.is_some_and(|id| id.parent().with_type(VirtualNetworkInput::TYPE) != *network)
    };
    let elsewhere = tables.iter().filter(|table| table.items("/properties/subnets").iter().any(is_elsewhere));
    elsewhere.map(|table| table.name().to_owned()).collect()
}

/// Output for the chosen network. `foreign_tables` are route tables of other networks.
///
/// # Errors
/// If the nodes' subnet cannot be determined, or a subnet has no prefix.
fn output(
    network: &ArmObject,
    input: &DiscoveryInput,
    used: &[ResourceId],
    foreign_tables: &[String],
) -> Result<DiscoveryOutput, ActionError> {
    let subnets = subnets(network).iter().map(view).collect::<Result<Vec<_>, _>>()?;
    let node_subnet = node_subnet(&subnets, input, used).map_err(|e| e.context(network.id.label()))?;
    Ok(DiscoveryOutput {
        id: network.id(),
        name: network.name().into(),
        resource_group: network.id.group().to_string(),
        location: network.required("/location")?.into(),
        prefixes: address_space(network).iter().map(Prefix::to_string).collect(),
        names: deployment_names(&subnets, &node_subnet, foreign_tables, input.cluster.as_ref(), input.router_subnet)?,
        subnets,
        node_subnet,
    })
}

/// Chooses the nodes' subnet: the named one, else the used one, else the one that AKS creates.
fn node_subnet(all: &[SubnetView], input: &DiscoveryInput, used: &[ResourceId]) -> Result<SubnetView, ActionError> {
    let is_used = |subnet: &&SubnetView| subnet.id.parse().is_ok_and(|id: ResourceId| used.contains(&id));
    let with_name = |name: &str| all.iter().filter(|subnet| subnet.name.eq_ignore_ascii_case(name)).collect::<Vec<_>>();
    let in_use: Vec<&SubnetView> = all.iter().filter(is_used).collect();
    let chosen = match (&input.node_subnet, in_use.is_empty()) {
        (Some(name), _) => with_name(name.as_str()),
        (None, false) => in_use.clone(),
        (None, true) => with_name(AKS_SUBNET),
    };
    if let [one] = chosen.as_slice() {
        return Ok((*one).clone());
    }
    let candidates = if in_use.is_empty() { all.iter().collect() } else { in_use };
    let names: Vec<_> = candidates.iter().map(|subnet| subnet.name.clone()).collect();
    Err(ambiguous("node subnet", "node_subnet", &names))
}

/// Error of a choice among no or several candidates, with the input that decides.
fn ambiguous(what: &str, input: &str, candidates: &[String]) -> ActionError {
    if candidates.is_empty() {
        return ActionError::permanent(format!("no {what} found"));
    }
    let candidates = candidates.join(", ");
    ActionError::permanent(format!("cannot determine which {what} is the cluster's: {candidates}"))
        .with_hint(format!("name one with the input `{input}`"))
}

fn view(subnet: &ArmObject) -> Result<SubnetView, ActionError> {
    let prefix = prefixes_of(subnet).first().map(Prefix::to_string);
    Ok(SubnetView {
        name: subnet.name().into(),
        id: subnet.id(),
        prefix: prefix.ok_or_else(|| ActionError::transient("it has no prefix").context(subnet.id.label()))?,
        route_table_id: subnet.text("/properties/routeTable/id").map(str::to_owned),
        route_table: subnet.id_at("/properties/routeTable/id").map(|id| id.name().to_owned()),
    })
}
