use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    ArmClient,
    live::Live,
    name::{ClusterName, GroupName},
    permission::arm,
};

/// `azure.managed_cluster.read`.
pub(crate) struct ManagedCluster(pub(crate) ArmClient);

/// Which cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManagedClusterInput {
    /// Resource group of the cluster itself, not of its nodes.
    resource_group: GroupName,
    /// Name of the AKS cluster.
    name: ClusterName,
}

/// An AKS cluster, as far as its network is concerned.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ManagedClusterOutput {
    /// Resource id.
    pub id: String,
    /// Name of the cluster.
    pub name: String,
    /// Its region.
    pub location: String,
    /// The resource group that holds its nodes and, usually, its virtual network.
    pub node_resource_group: String,
    /// Host name of the API server; absent for a private cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    /// Version of Kubernetes in force, such as `1.33.2`.
    pub kubernetes_version: String,
    /// Prefix of the pods; absent where pods have addresses of the virtual network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_cidr: Option<String>,
    /// Prefix of the services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_cidr: Option<String>,
    /// Address of the cluster's DNS service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_service_ip: Option<String>,
    /// `azure`, `kubenet` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_plugin: Option<String>,
    /// `overlay`, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_plugin_mode: Option<String>,
    /// `azure` or `cilium`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_dataplane: Option<String>,
    /// `Succeeded`, `Updating`, ….
    pub provisioning_state: String,
}

impl Action for ManagedCluster {
    type Input = ManagedClusterInput;
    type Output = ManagedClusterOutput;
    const NAME: &'static str = "azure.managed_cluster.read";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads an AKS cluster and its network profile.";

    async fn run(&self, cx: &ActionContext, input: &ManagedClusterInput) -> Result<ManagedClusterOutput, ActionError> {
        let id =
            self.0.group(&input.resource_group).resource("Microsoft.ContainerService/managedClusters", &input.name);
        let live = self.0.get(cx, &id).await?.ok_or_else(|| {
            ActionError::permanent(format!("not found in resource group \"{}\"", input.resource_group))
                .context(id.label())
                .with_hint("check the cluster's name, its resource group and the subscription")
        })?;
        output(&live)
    }

    async fn preview(&self, cx: &ActionContext, input: &ManagedClusterInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ManagedCluster {
    const PERMISSIONS: &'static [Permission] = &[arm("Microsoft.ContainerService/managedClusters/read")];
}

fn output(live: &Live) -> Result<ManagedClusterOutput, ActionError> {
    let network = |name: &str| live.text(&format!("/properties/networkProfile/{name}")).map(str::to_owned);
    let version = live.text("/properties/currentKubernetesVersion");
    Ok(ManagedClusterOutput {
        id: live.id(),
        name: live.name().into(),
        location: live.required("/location")?.into(),
        node_resource_group: live.required("/properties/nodeResourceGroup")?.into(),
        fqdn: live.text("/properties/fqdn").map(str::to_owned),
        kubernetes_version: version.map_or_else(|| live.required("/properties/kubernetesVersion"), Ok)?.into(),
        pod_cidr: network("podCidr").or_else(|| first(live, "podCidrs")),
        service_cidr: network("serviceCidr").or_else(|| first(live, "serviceCidrs")),
        dns_service_ip: network("dnsServiceIP"),
        network_plugin: network("networkPlugin"),
        network_plugin_mode: network("networkPluginMode"),
        network_dataplane: network("networkDataplane"),
        provisioning_state: live.required("/properties/provisioningState")?.into(),
    })
}

fn first(live: &Live, list: &str) -> Option<String> {
    let item: &Value = live.body.pointer(&format!("/properties/networkProfile/{list}/0"))?;
    item.as_str().map(str::to_owned)
}
