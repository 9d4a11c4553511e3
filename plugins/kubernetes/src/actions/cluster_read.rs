use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_kubernetes_client::{KubeClient, KubeRequest, json::text_or_empty, permission};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    inventory::check_definitions,
    node::{check_authority, check_resource_group, check_version_skew},
};

/// Action `kubernetes.cluster.read`: reads the endpoint and the version of the API server, and
/// refuses a kubelet that does not fit, a cluster that is not the expected one, and a cluster whose
/// kinds `Site` and `Server` are those of an earlier program.
pub(crate) struct ClusterRead(pub(crate) Arc<KubeClient>);

/// Expected properties of the cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterReadInput {
    /// Version of a kubelet that will join, such as `v1.33.5`. It is refused if it is newer than
    /// the API server, or more than three minor versions older. The kubeconfig must then contain
    /// the certificate authority of the API server, because the kubelet needs it.
    #[serde(default)]
    kubelet_version: Option<String>,
    /// Resource group that contains the cluster's nodes, as Azure reports it. A cluster whose nodes
    /// name another group is refused, so that a wrong kubeconfig is found before anything is
    /// written.
    #[serde(default)]
    node_resource_group: Option<String>,
}

/// Data about the cluster that a kubelet needs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ClusterReadOutput {
    /// URL of the API server in the kubeconfig, without a trailing slash.
    pub server: String,
    /// Certificates that the API server is verified with, as PEM.
    pub certificate_authority: String,
    /// The same certificates in base64, as kubeconfig files contain them.
    pub certificate_authority_data: String,
    /// Version of the API server, such as `v1.33.5`.
    pub version: String,
}

impl Action for ClusterRead {
    type Input = ClusterReadInput;
    type Output = ClusterReadOutput;
    const NAME: &'static str = "kubernetes.cluster.read";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str =
        "Reads the endpoint, certificates and version of the API server, and checks that a kubelet and the nodes fit.";

    async fn run(&self, cx: &ActionContext, input: &ClusterReadInput) -> Result<ClusterReadOutput, ActionError> {
        let response = self.0.call(cx, KubeRequest::read("/version")).await?;
        let version = text_or_empty(&response, "/gitVersion");
        if let Some(kubelet) = &input.kubelet_version {
            check_version_skew(kubelet, &version)?;
        }
        if let Some(group) = &input.node_resource_group {
            let nodes = self.0.nodes(cx, None).await?;
            check_resource_group(&nodes, group)?;
        }
        check_definitions(&self.0, cx).await?;
        let (server, certificate_authority) = self.0.endpoint().await?;
        if input.kubelet_version.is_some() {
            check_authority(&server, &certificate_authority)?;
        }
        let certificate_authority_data = STANDARD.encode(&certificate_authority);
        Ok(ClusterReadOutput { server, certificate_authority, certificate_authority_data, version })
    }

    async fn preview(&self, cx: &ActionContext, input: &ClusterReadInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ClusterRead {
    const PERMISSIONS: &'static [Permission] = &[permission("list nodes")];
}
