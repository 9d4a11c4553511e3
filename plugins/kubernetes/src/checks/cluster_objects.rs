use std::{collections::BTreeSet, fmt, sync::Arc};

use futures::future::BoxFuture;
use http::StatusCode;
use stargate_kubernetes_client::{KubeClient, KubeRequest, ObjectKind, ObjectName, ObjectPath, SITES};
use stargate_sdk::{ActionContext, ActionError, Check, Finding, Permission};

use crate::inventory::check_definitions;

/// Base path of the kinds that grant permissions.
const ACCESS: &str = "/apis/rbac.authorization.k8s.io/v1";
/// Objects that the workflow `cluster-objects` creates in addition to the kinds.
const OBJECTS: [ClusterObject; 7] = [
    ClusterObject { kind: "ServiceAccount", collection: "serviceaccounts", namespaced: true, name: "stargate-sync" },
    ClusterObject { kind: "ClusterRole", collection: "clusterroles", namespaced: false, name: "stargate-sync" },
    ClusterObject {
        kind: "ClusterRoleBinding",
        collection: "clusterrolebindings",
        namespaced: false,
        name: "stargate-sync",
    },
    ClusterObject { kind: "Role", collection: "roles", namespaced: true, name: "stargate-sync" },
    ClusterObject { kind: "RoleBinding", collection: "rolebindings", namespaced: true, name: "stargate-sync" },
    ClusterObject {
        kind: "ClusterRoleBinding",
        collection: "clusterrolebindings",
        namespaced: false,
        name: "stargate-node-bootstrapper",
    },
    ClusterObject {
        kind: "ClusterRoleBinding",
        collection: "clusterrolebindings",
        namespaced: false,
        name: "stargate-node-client-rotation",
    },
];

/// Check `kubernetes.objects`: the objects are there with which machines join and a schedule
/// synchronizes. Other runs do not need them, so they do not notice that one was deleted.
pub(crate) struct ClusterObjects(pub(crate) Arc<KubeClient>);

/// An object that the workflow `cluster-objects` creates.
struct ClusterObject {
    kind: &'static str,
    collection: &'static str,
    /// True for an object of the namespace `kube-system`.
    namespaced: bool,
    name: &'static str,
}

impl fmt::Display for ClusterObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = if self.namespaced { "kube-system/" } else { "" };
        write!(f, "{} {namespace}{}", self.kind, self.name)
    }
}

impl Check for ClusterObjects {
    fn id(&self) -> &'static str {
        "kubernetes.objects"
    }

    fn summary(&self) -> &'static str {
        "Looks for the roles and bindings with which machines join and a schedule runs."
    }

    fn after(&self) -> &'static [&'static str] {
        &["kubernetes.api"]
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        let hint = "run `kubectl auth can-i get clusterroles` with the same kubeconfig";
        Box::pin(async move { self.look(cx).await.unwrap_or_else(|error| Finding::of_error(error, hint)) })
    }
}

impl ClusterObjects {
    async fn look(&self, cx: &ActionContext) -> Result<Finding, ActionError> {
        check_definitions(&self.0, cx).await?;
        let mut missing = Vec::new();
        for object in &OBJECTS {
            match self.0.call(cx, KubeRequest::read(object.path()?)).await {
                Ok(_) => {}
                Err(error) if error.is_not_found() => missing.push(object.to_string()),
                // Its own permissions are the subject of another check.
                Err(error) if error.code == Some(StatusCode::FORBIDDEN) => {
                    return Ok(Finding::ok("the account may not read roles, which an administrator's `doctor` checks"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        if missing.is_empty() {
            return Ok(Finding::ok("the roles and bindings of machines and of a schedule exist"));
        }
        let is_deployed = !self.0.list(cx, &SITES, None, None).await?.unwrap_or_default().is_empty();
        if !is_deployed {
            return Ok(Finding::ok("no deployment is registered in the cluster"));
        }
        Ok(Finding::failed(
            format!("missing in the cluster: {}", missing.join(", ")),
            "run `stargate run workflow cluster-objects` as an administrator of the cluster, which creates them",
        ))
    }
}

impl ClusterObject {
    fn path(&self) -> Result<ObjectPath, ActionError> {
        let base = if self.kind == "ServiceAccount" { "/api/v1" } else { ACCESS };
        let kind = ObjectKind { base: base.into(), plural: self.collection.into(), namespaced: self.namespaced };
        let namespace = self.namespaced.then_some("kube-system");
        Ok(kind.object_path(ObjectName::new(namespace, self.name)?, None))
    }
}
