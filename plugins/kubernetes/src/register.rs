use std::sync::Arc;

use stargate_sdk::{Ensure, Registry, Secrets};

use crate::{
    KubernetesSettings,
    api::Api,
    bootstrap_token::BootstrapTokenSource,
    checks::{ApiServer, Kubeconfig, Permissions},
    cluster_read::ClusterRead,
    condition_wait::ConditionWait,
    csr_approve::CsrApprove,
    csr_delete::CsrDelete,
    csr_renew::CsrRenew,
    inventory_read::InventoryRead,
    manifest_apply::ManifestApply,
    node_cordon::NodeCordon,
    node_drain::NodeDrain,
    node_wait::NodeWait,
    nodes_list::NodesList,
    object_delete::ObjectDelete,
    object_get::ObjectGet,
    object_patch::ObjectPatch,
    objects_list::ObjectsList,
    pod_cidr_allocate::PodCidrAllocate,
    pod_cidr_release::PodCidrRelease,
    pod_evict::PodEvict,
    pod_exec::PodExec,
    pod_probe::PodProbe,
    server_read::ServerRead,
    service_account_token::ServiceAccountTokenSource,
    worker_find::WorkerFind,
};

/// Adds the `kubernetes.*` actions and checks, and the secret sources `bootstrap-token:` and `service-account-token:`.
///
/// Makes no request and reads no file: both happen when an action first needs the cluster.
pub fn register(registry: &mut Registry, secrets: &mut Secrets, settings: KubernetesSettings) {
    let api = Arc::new(Api::new(settings));
    secrets.add(Arc::new(BootstrapTokenSource(Arc::clone(&api))));
    secrets.add(Arc::new(ServiceAccountTokenSource(Arc::clone(&api))));
    registry.add_check(Kubeconfig(Arc::clone(&api)));
    registry.add_check(ApiServer(Arc::clone(&api)));
    registry.add_check(Permissions(Arc::clone(&api)));
    registry.add(ManifestApply(Arc::clone(&api)));
    registry.add(ObjectGet(Arc::clone(&api)));
    registry.add(ObjectDelete(Arc::clone(&api)));
    registry.add(Ensure(ObjectPatch(Arc::clone(&api))));
    registry.add(ConditionWait(Arc::clone(&api)));
    registry.add(ClusterRead(Arc::clone(&api)));
    registry.add(InventoryRead(Arc::clone(&api)));
    registry.add(ServerRead(Arc::clone(&api)));
    registry.add(ObjectsList(Arc::clone(&api)));
    registry.add(NodesList(Arc::clone(&api)));
    registry.add(Ensure(NodeCordon(Arc::clone(&api))));
    registry.add(NodeDrain(Arc::clone(&api)));
    registry.add(NodeWait(Arc::clone(&api)));
    registry.add(PodExec(Arc::clone(&api)));
    registry.add(PodProbe(Arc::clone(&api)));
    registry.add(PodEvict(Arc::clone(&api)));
    registry.add(CsrApprove(Arc::clone(&api)));
    registry.add(Ensure(CsrRenew(Arc::clone(&api))));
    registry.add(CsrDelete(Arc::clone(&api)));
    registry.add(WorkerFind(Arc::clone(&api)));
    registry.add(PodCidrRelease(Arc::clone(&api)));
    registry.add(PodCidrAllocate(api));
}
