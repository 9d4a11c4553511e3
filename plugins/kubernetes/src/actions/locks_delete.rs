use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_kubernetes_client::{
    KubeClient, LEASES, ObjectName,
    json::{name, text_or_empty, uid},
    permission,
};
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Nature, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::lease::{DELETED_ON_RELEASE, LEASE_NAMESPACE, LEASE_SELECTOR, holding_run};

/// Action `kubernetes.locks.delete`: deletes the leases of locks that no run holds.
///
/// Those of the run itself are marked, and deleted when the run releases them.
pub(crate) struct LocksDelete(pub(crate) Arc<KubeClient>);

/// No input: all leases of locks are examined.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocksDeleteInput {}

/// Result of the deletion.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LocksDeleteOutput {
    /// Names of the leases that this attempt deleted, sorted.
    pub deleted: Vec<String>,
}

impl LocksDelete {
    async fn leases(&self, cx: &ActionContext) -> Result<Vec<Value>, ActionError> {
        let leases = self.0.list(cx, &LEASES, Some(LEASE_NAMESPACE), Some(LEASE_SELECTOR)).await?;
        Ok(leases.unwrap_or_default())
    }

    /// Deletes a lease as it was read: one that a run has taken since is kept.
    async fn delete(&self, cx: &ActionContext, lease: &Value) -> Result<bool, ActionError> {
        let version = text_or_empty(lease, "/metadata/resourceVersion");
        let preconditions = json!({"preconditions": {"uid": uid(lease), "resourceVersion": version}});
        let object = ObjectName::namespaced(LEASE_NAMESPACE, name(lease))?;
        self.0.delete(cx, &LEASES, object, uid(lease), preconditions).await
    }

    /// Marks a lease that this run holds. A renewal at the same time reads the lease again.
    async fn mark(&self, cx: &ActionContext, lease: &Value) -> Result<(), ActionError> {
        let object = ObjectName::namespaced(LEASE_NAMESPACE, name(lease))?;
        let marked = json!({"metadata": {"annotations": {DELETED_ON_RELEASE: "true"}}});
        self.0.merge(cx, &LEASES, object, None, marked).await?;
        Ok(())
    }
}

impl Action for LocksDelete {
    type Input = LocksDeleteInput;
    type Output = LocksDeleteOutput;
    const NAME: &'static str = "kubernetes.locks.delete";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Deletes the leases of the cluster's locks that no other run holds.";

    async fn run(&self, cx: &ActionContext, _: &LocksDeleteInput) -> Result<LocksDeleteOutput, ActionError> {
        let mut deleted = Vec::new();
        for lease in self.leases(cx).await? {
            match holding_run(&lease) {
                None if self.delete(cx, &lease).await? => {
                    cx.changed(format!("- lease {}", name(&lease)));
                    deleted.push(name(&lease).to_owned());
                }
                Some(run) if run == cx.run() => self.mark(cx, &lease).await?,
                None | Some(_) => {}
            }
        }
        deleted.sort();
        Ok(LocksDeleteOutput { deleted })
    }

    async fn preview(&self, cx: &ActionContext, _: &LocksDeleteInput) -> Result<Preview, ActionError> {
        let free = self.leases(cx).await?.into_iter().filter(|lease| holding_run(lease).is_none());
        let deletion = |lease: Value| Difference::new(format!("lease {}", name(&lease)), "exists", Value::Null);
        let differences: Vec<Difference> = free.map(deletion).collect();
        if differences.is_empty() {
            return Preview::unchanged(&LocksDeleteOutput { deleted: Vec::new() });
        }
        Ok(Preview::changes(differences))
    }
}

impl RequiredPermissions for LocksDelete {
    const PERMISSIONS: &'static [Permission] = &[
        permission("list leases.coordination.k8s.io -n kube-system"),
        permission("patch leases.coordination.k8s.io -n kube-system"),
        permission("delete leases.coordination.k8s.io -n kube-system"),
    ];
}
