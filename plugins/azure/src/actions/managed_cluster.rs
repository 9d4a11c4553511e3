use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    client::{ArmClient, ArmObject, ClusterName, GroupName, ResourceType},
    permission::arm,
};

/// Managed Kubernetes clusters (AKS).
const MANAGED_CLUSTER: ResourceType =
    ResourceType { kind: "Microsoft.ContainerService/managedClusters", api_version: "2024-05-01", noun: "cluster" };

/// Action `azure.managed_cluster.read`: reads an AKS cluster and its network profile.
pub(crate) struct ManagedCluster(pub(crate) ArmClient);

/// Cluster to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManagedClusterInput {
    /// Resource group of the cluster itself, not of its nodes.
    resource_group: GroupName,
    /// Name of the AKS cluster.
    name: ClusterName,
}

/// AKS cluster, with the properties of its network.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ManagedClusterOutput {
    /// Id of the cluster.
    pub id: String,
    /// Name of the cluster.
    pub name: String,
    /// Region of the cluster.
    pub location: String,
    /// Resource group of its nodes and, usually, of its virtual network.
    pub node_resource_group: String,
    /// Host name of the API server; absent for a private cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    /// Version of Kubernetes that is running, such as `1.33.2`.
    pub kubernetes_version: String,
    /// Prefix of the pods; absent if pods have addresses of the virtual network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_cidr: Option<String>,
    /// Prefix of the services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_cidr: Option<String>,
    /// Address of the cluster's DNS service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_service_ip: Option<String>,
    /// Network plugin: `azure`, `kubenet` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_plugin: Option<String>,
    /// Mode of the network plugin: `overlay` or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_plugin_mode: Option<String>,
    /// Network data plane: `azure` or `cilium`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_dataplane: Option<String>,
    /// Program that enforces network policies: `cilium`, `azure`, `calico`, or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<String>,
    /// Provisioning state, such as `Succeeded` or `Updating`.
    pub provisioning_state: String,
}

impl Action for ManagedCluster {
    type Input = ManagedClusterInput;
    type Output = ManagedClusterOutput;
    const NAME: &'static str = "azure.managed_cluster.read";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads an AKS cluster and its network profile.";

    async fn run(&self, cx: &ActionContext, input: &ManagedClusterInput) -> Result<ManagedClusterOutput, ActionError> {
        let id = self.0.group(&input.resource_group).resource(MANAGED_CLUSTER, &input.name);
        let cluster = self.0.get(cx, &id).await?.ok_or_else(|| {
            ActionError::permanent(format!("not found in resource group \"{}\"", input.resource_group))
                .context(id.label())
                .with_hint("check the cluster's name, its resource group and the subscription")
        })?;
        output(&cluster)
    }

    async fn preview(&self, cx: &ActionContext, input: &ManagedClusterInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ManagedCluster {
    const PERMISSIONS: &'static [Permission] = &[arm("Microsoft.ContainerService/managedClusters/read")];
}

/// Output from the cluster as ARM returned it. Where a singular property such as `podCidr` is
/// absent, the first item of its list is used.
///
/// # Errors
/// `Transient`, if a required property is absent.
fn output(cluster: &ArmObject) -> Result<ManagedClusterOutput, ActionError> {
    let network = |name: &str| cluster.text(&format!("/properties/networkProfile/{name}")).map(str::to_owned);
    let version = cluster.text("/properties/currentKubernetesVersion");
    Ok(ManagedClusterOutput {
        id: cluster.id(),
        name: cluster.name().into(),
        location: cluster.required("/location")?.into(),
        node_resource_group: cluster.required("/properties/nodeResourceGroup")?.into(),
        fqdn: cluster.text("/properties/fqdn").map(str::to_owned),
        kubernetes_version: version.map_or_else(|| cluster.required("/properties/kubernetesVersion"), Ok)?.into(),
        pod_cidr: network("podCidr").or_else(|| network("podCidrs/0")),
        service_cidr: network("serviceCidr").or_else(|| network("serviceCidrs/0")),
        dns_service_ip: network("dnsServiceIP"),
        network_plugin: network("networkPlugin"),
        network_plugin_mode: network("networkPluginMode"),
        network_dataplane: network("networkDataplane"),
        network_policy: network("networkPolicy"),
        provisioning_state: cluster.required("/properties/provisioningState")?.into(),
    })
}
