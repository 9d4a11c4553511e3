use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Preview, Recovery, RequiredPermissions};

use crate::{api::Api, call::Call, field::owned, kind::NODES, node_group, permission::may, version::Version};

/// `kubernetes.cluster.read`.
pub(crate) struct ClusterRead(pub(crate) Arc<Api>);

/// What is to be asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterInput {
    /// Version of a kubelet that is to join, such as `v1.33.5`: refused when it is newer than the API server, or more than
    /// three minor versions older.
    #[serde(default)]
    kubelet_version: Option<String>,
    /// Resource group in which Azure says that the cluster's nodes are: a cluster whose nodes say otherwise is refused, so
    /// that a kubeconfig that leads elsewhere is found before anything is written.
    #[serde(default)]
    node_resource_group: Option<String>,
}

/// The cluster as a kubelet needs to know it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ClusterOutput {
    /// URL of the API server, as the kubeconfig has it.
    pub server: String,
    /// The certificates that its own is checked against, as PEM.
    pub certificate_authority: String,
    /// The same in base64, as kubeconfig files have it.
    pub certificate_authority_data: String,
    /// Version of the API server, such as `v1.33.5`.
    pub version: String,
}

impl Action for ClusterRead {
    type Input = ClusterInput;
    type Output = ClusterOutput;
    const NAME: &'static str = "kubernetes.cluster.read";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads where the API server is, its authority and version, and whether a kubelet fits and the nodes are the ones meant.";

    async fn run(&self, cx: &ActionContext, input: &ClusterInput) -> Result<ClusterOutput, ActionError> {
        let answer = self.0.call(cx, Call::read("/version".into())).await?;
        let version = owned(&answer, "/gitVersion");
        if let Some(kubelet) = &input.kubelet_version {
            check_skew(kubelet, &version)?;
        }
        if let Some(group) = &input.node_resource_group {
            let nodes = self.0.list(cx, &NODES, None, None).await?.unwrap_or_default();
            node_group::check(&nodes, group)?;
        }
        let (server, certificate_authority) = self.0.endpoint().await?;
        let certificate_authority_data = STANDARD.encode(&certificate_authority);
        Ok(ClusterOutput { server, certificate_authority, certificate_authority_data, version })
    }

    async fn preview(&self, cx: &ActionContext, input: &ClusterInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ClusterRead {
    const PERMISSIONS: &'static [Permission] = &[may("list nodes")];
}

/// Kubernetes' version skew policy: a kubelet is not newer than the API server, and at most three minor versions older.
fn check_skew(kubelet: &str, server: &str) -> Result<(), ActionError> {
    let (own, of_server): (Version, Version) = (kubelet.parse()?, server.parse()?);
    if own > of_server {
        return Err(ActionError::permanent(format!("kubelet {kubelet} is newer than the API server, {server}"))
            .with_hint("upgrade the cluster first, or give an older kubelet_version"));
    }
    if own.major != of_server.major || of_server.minor - own.minor > 3 {
        return Err(ActionError::permanent(format!(
            "kubelet {kubelet} is more than three minor versions older than the API server, {server}"
        ))
        .with_hint("give a newer kubelet_version"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_is_not_newer_and_not_much_older() {
        for fits in ["v1.33.5", "v1.33.4", "1.30.0", "v1.32.11"] {
            check_skew(fits, "v1.33.5").expect(fits);
        }
        for too in ["v1.33.6", "v1.34.0", "v1.29.9", "v0.33.5", "latest"] {
            check_skew(too, "v1.33.5").expect_err(too);
        }
    }
}
