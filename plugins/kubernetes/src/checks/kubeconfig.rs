use std::{collections::BTreeSet, sync::Arc};

use futures::future::BoxFuture;
use stargate_sdk::{ActionContext, Check, Finding, Permission};

use crate::api::Api;

/// `kubernetes.kubeconfig`.
pub(crate) struct Kubeconfig(pub(crate) Arc<Api>);

impl Check for Kubeconfig {
    fn id(&self) -> &'static str {
        "kubernetes.kubeconfig"
    }

    fn summary(&self) -> &'static str {
        "Reads the kubeconfig, and tells which context of which file it is."
    }

    fn run<'a>(&'a self, _: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async {
            let hint = "run `az aks get-credentials --resource-group GROUP --name CLUSTER` to get one";
            self.0.described().await.map_or_else(|error| Finding::of_error(error, hint), Finding::ok)
        })
    }
}
