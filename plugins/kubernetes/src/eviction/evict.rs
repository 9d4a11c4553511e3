use std::time::Duration;

use serde_json::json;
use stargate_client::Backoff;
use stargate_kubernetes_client::{KubeClient, ObjectName, PODS};
use stargate_sdk::{ActionContext, ActionError, FailureKind};

use super::NodePod;

/// Delays between requests for one eviction. kubectl repeats a refused eviction every five seconds.
pub(crate) const EVICTION_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// An eviction that the API server refuses at present.
pub(crate) struct RefusedEviction {
    /// Reason, in the words of the disruption budget if there is one.
    pub(crate) reason: String,
    /// Delay that the API server asked for.
    pub(crate) retry_after: Option<Duration>,
}

/// Requests the eviction of a pod once. Returns `None` if the server has accepted it, or if the pod
/// is gone.
///
/// # Errors
/// `Permanent` if the disruption budgets of the pod overlap: the server never accepts such an
/// eviction. Other failures as the client classifies them.
pub(crate) async fn evict(
    client: &KubeClient,
    cx: &ActionContext,
    pod: &NodePod,
) -> Result<Option<RefusedEviction>, ActionError> {
    let body = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    });
    let label = format!("pod {}", pod.label());
    match client.post(cx, &PODS, ObjectName::namespaced(&pod.namespace, &pod.name)?, "eviction", body).await {
        Ok(_) => {
            cx.changed(format!("- {label}"));
            Ok(None)
        }
        // The pod is gone, and another one may have its name.
        Err(error) if error.is_not_found() || error.is_stale() => Ok(None),
        Err(error) if matches!(error.error.kind, FailureKind::Throttled { .. }) => {
            let reason = error.disruption_budget().unwrap_or(&error.status.message);
            Ok(Some(RefusedEviction { reason: format!("{label}: {reason}"), retry_after: error.retry_after() }))
        }
        // Answered with 500 although it is an error of the budgets (kubernetes, `eviction.go`).
        Err(error) if error.status.message.contains("more than one PodDisruptionBudget") => {
            Err(ActionError::permanent(format!("{label}: {}", error.status.message)))
        }
        Err(error) => Err(error.error.context(label)),
    }
}
