use std::time::Duration;

use serde_json::json;
use stargate_sdk::{ActionContext, ActionError, FailureKind};

use crate::{
    api::Api,
    drain_plan::Pod,
    kind::{At, PODS},
};

pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How often a pod is tried again whose disruption budget has no room; kubectl's own figure.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// An eviction that is refused for now.
pub(crate) struct Refused {
    /// Why, in the disruption budget's words where it is one.
    pub(crate) why: String,
    /// How long the API server asks to wait.
    pub(crate) retry_after: Option<Duration>,
}

/// Asks for a pod's eviction. One that is gone by now, or whose name another pod has, needs none.
pub(crate) async fn evict(api: &Api, cx: &ActionContext, pod: &Pod) -> Result<Option<Refused>, ActionError> {
    let body = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    });
    match api.post(cx, &PODS, At::namespaced(&pod.namespace, &pod.name), "eviction", body).await {
        Ok(_) => {
            cx.changed(format!("- pod {}", pod.label()));
            Ok(None)
        }
        // Gone, or another pod has the name: either way this one has left.
        Err(error) if error.is_not_found() || error.is_stale() => Ok(None),
        Err(error) if matches!(error.error.kind, FailureKind::Throttled { .. }) => {
            let why = error.budget().unwrap_or(&error.status.message);
            Ok(Some(Refused { why: format!("pod {}: {why}", pod.label()), retry_after: error.retry_after() }))
        }
        // The API server's way to say that the budgets overlap, which no waiting mends.
        Err(error) if error.status.message.contains("more than one PodDisruptionBudget") => {
            Err(ActionError::permanent(format!("pod {}: {}", pod.label(), error.status.message)))
        }
        Err(error) => Err(error.error.context(format_args!("pod {}", pod.label()))),
    }
}
