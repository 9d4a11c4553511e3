use std::sync::Arc;

use futures::future::BoxFuture;
use http::StatusCode;
use stargate_kubernetes_client::{
    CLUSTER_TARGET, KubeClient, KubeRequest, NAMESPACES, ObjectName, json::uid, permission,
};
use stargate_sdk::{ActionContext, ActionError, Permission, Target, TargetId};

/// The cluster that the kubeconfig names, identified by the uid of its namespace `kube-system`:
/// each cluster has exactly one, and nobody can delete it.
pub(crate) struct ClusterTarget(pub(crate) Arc<KubeClient>);

impl Target for ClusterTarget {
    fn name(&self) -> &'static str {
        CLUSTER_TARGET
    }

    fn permissions(&self) -> &'static [Permission] {
        const { &[permission("get namespaces/kube-system")] }
    }

    fn identify<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<TargetId, ActionError>> {
        Box::pin(async {
            let (address, _) = self.0.endpoint().await?;
            let id = self.uid(cx).await?;
            let uid = id.as_ref().map(|uid| format!(" (uid {uid})")).unwrap_or_default();
            Ok(TargetId { description: format!("cluster {}{uid}", self.0.describe().await?), id, address })
        })
    }

    fn setting(&self) -> &'static str {
        "--kubeconfig FILE or --kube-context NAME"
    }
}

impl ClusterTarget {
    /// Reads the uid; `None` if the account must not read it, or if the server does not have it.
    async fn uid(&self, cx: &ActionContext) -> Result<Option<String>, ActionError> {
        let path = NAMESPACES.object_path(ObjectName::cluster("kube-system")?, None);
        match self.0.call(cx, KubeRequest::read(path)).await {
            Ok(namespace) => Ok(Some(uid(&namespace).to_owned()).filter(|uid| !uid.is_empty())),
            Err(error) if matches!(error.code, Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
