use std::sync::Arc;

use stargate_kubernetes_client::KubeClient;
use stargate_sdk::{Ensure, Registry, Secrets};

use crate::{
    actions::{
        ClusterRead, ConditionWait, CsrApprove, CsrDelete, CsrRenew, InventoryRead, ManifestApply, NodeCordon,
        NodeDrain, NodeWait, NodesList, ObjectDelete, ObjectGet, ObjectPatch, ObjectsList, PodCidrAllocate,
        PodCidrRelease, PodEvict, PodExec, PodProbe, RoutesRecord, ServerRead, WorkerFind,
    },
    checks::{ApiServer, Kubeconfig, Permissions},
    secret_sources::{BootstrapTokenSource, ServiceAccountTokenSource},
};

/// Adds the `kubernetes.*` actions and checks, and the secret sources `bootstrap-token:` and
/// `service-account-token:`. All of them call the cluster of `client`.
///
/// Makes no request and reads no file.
pub fn register(registry: &mut Registry, secrets: &mut Secrets, client: &Arc<KubeClient>) {
    let client = || Arc::clone(client);
    secrets.add(Arc::new(BootstrapTokenSource(client())));
    secrets.add(Arc::new(ServiceAccountTokenSource(client())));
    registry.add_check(Kubeconfig(client()));
    registry.add_check(ApiServer(client()));
    registry.add_check(Permissions(client()));
    registry.add(ManifestApply(client()));
    registry.add(ObjectGet(client()));
    registry.add(ObjectDelete(client()));
    registry.add(Ensure(ObjectPatch(client())));
    registry.add(ConditionWait(client()));
    registry.add(ClusterRead(client()));
    registry.add(InventoryRead(client()));
    registry.add(ServerRead(client()));
    registry.add(Ensure(RoutesRecord(client())));
    registry.add(ObjectsList(client()));
    registry.add(NodesList(client()));
    registry.add(Ensure(NodeCordon(client())));
    registry.add(NodeDrain(client()));
    registry.add(NodeWait(client()));
    registry.add(PodExec(client()));
    registry.add(PodProbe(client()));
    registry.add(PodEvict(client()));
    registry.add(CsrApprove(client()));
    registry.add(Ensure(CsrRenew(client())));
    registry.add(CsrDelete(client()));
    registry.add(WorkerFind(client()));
    registry.add(PodCidrRelease(client()));
    registry.add(PodCidrAllocate(client()));
}
