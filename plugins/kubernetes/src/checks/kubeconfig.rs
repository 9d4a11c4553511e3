use std::{collections::BTreeSet, sync::Arc};

use futures::future::BoxFuture;
use stargate_kubernetes_client::KubeClient;
use stargate_sdk::{ActionContext, Check, Finding, Permission};

/// Check `kubernetes.kubeconfig`: reads the kubeconfig and reports its cluster.
///
/// Nothing is sent, so a failure here is a wrong path, context or certificate file, and not a
/// cluster that does not respond.
pub(crate) struct Kubeconfig(pub(crate) Arc<KubeClient>);

impl Check for Kubeconfig {
    fn id(&self) -> &'static str {
        "kubernetes.kubeconfig"
    }

    fn summary(&self) -> &'static str {
        "Reads the kubeconfig, and reports the context and the file."
    }

    fn run<'a>(&'a self, _: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async {
            let hint = "run `az aks get-credentials --resource-group GROUP --name CLUSTER` to get one";
            self.0.describe().await.map_or_else(|error| Finding::of_error(error, hint), Finding::ok)
        })
    }
}
