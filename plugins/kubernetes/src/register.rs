use std::sync::Arc;

use stargate_kubernetes_client::{CLUSTER_TARGET, KubeClient};
use stargate_sdk::{Ensure, Registry, Secrets};

use crate::{
    actions::{
        ClusterRead, ConditionWait, ConnectivityMeasure, ConnectivityVerdict, CordonsCheck, CsrApprove, CsrDelete,
        CsrRenew, EndsFind, InventoryCheck, InventoryRead, LocksDelete, ManifestApply, NetworkPoliciesInspect,
        NodeCordon, NodeDrain, NodeWait, NodesList, ObjectDelete, ObjectGet, ObjectPatch, ObjectsList, PodCidrAllocate,
        PodCidrRelease, PodEvict, PodExec, PodProbe, RoutesRecord, ServerRead, SiteFind, SitePodCidrsRelease,
        StrategyRecord, WorkerFind,
    },
    checks::{ApiServer, ClusterObjects, ClusterShape, Kubeconfig, Permissions},
    cluster_target::ClusterTarget,
    lease::LeaseLocks,
    secret_sources::{BootstrapTokenSource, ServiceAccountTokenSource},
};

/// Adds the `kubernetes.*` actions and checks, the cluster as their target, its locks, and the
/// secret sources `bootstrap-token:` and `service-account-token:`. All of them call the cluster of
/// `client`.
///
/// Makes no request and reads no file.
pub fn register(registry: &mut Registry, secrets: &mut Secrets, client: &Arc<KubeClient>) {
    let client = || Arc::clone(client);
    secrets.add(Arc::new(BootstrapTokenSource(client())));
    secrets.add(Arc::new(ServiceAccountTokenSource(client())));
    registry.add_check(Kubeconfig(client()));
    registry.add_check(ApiServer(client()));
    registry.add_check(Permissions(client()));
    registry.add_check(ClusterObjects(client()));
    registry.add_check(ClusterShape(client()));
    registry.add_target(ClusterTarget(client()));
    registry.add_lock_service(LeaseLocks::new(client()));
    registry.add_for_target(CLUSTER_TARGET, |actions| {
        actions.add(ManifestApply(client()));
        actions.add(LocksDelete(client()));
        actions.add(ObjectGet(client()));
        actions.add(ObjectDelete(client()));
        actions.add(Ensure(ObjectPatch(client())));
        actions.add(ConditionWait(client()));
        actions.add(ConnectivityMeasure(client()));
        actions.add(ConnectivityVerdict);
        actions.add(EndsFind(client()));
        actions.add(NetworkPoliciesInspect(client()));
        actions.add(ClusterRead(client()));
        actions.add(InventoryCheck);
        actions.add(InventoryRead(client()));
        actions.add(ServerRead(client()));
        actions.add(Ensure(RoutesRecord(client())));
        actions.add(Ensure(StrategyRecord(client())));
        actions.add(ObjectsList(client()));
        actions.add(NodesList(client()));
        actions.add(Ensure(NodeCordon(client())));
        actions.add(NodeDrain(client()));
        actions.add(CordonsCheck(client()));
        actions.add(NodeWait(client()));
        actions.add(PodExec(client()));
        actions.add(PodProbe(client()));
        actions.add(PodEvict(client()));
        actions.add(CsrApprove(client()));
        actions.add(Ensure(CsrRenew(client())));
        actions.add(CsrDelete(client()));
        actions.add(WorkerFind(client()));
        actions.add(SiteFind(client()));
        actions.add(PodCidrRelease(client()));
        actions.add(SitePodCidrsRelease(client()));
        actions.add(PodCidrAllocate(client()));
    });
}
