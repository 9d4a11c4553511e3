use serde_json::{Value, json};
use stargate_kubernetes_client::json::{list, text, text_or_empty};

/// User that probe pods run as: any that is not root.
const USER: u32 = 65534;

/// Specification of a pod with one container on a node. The container fulfils the restricted Pod
/// Security Standard, so that a policy of the namespace does not refuse it.
///
/// The pod is bound to the node without the scheduler, so that taints and cordons do not matter.
pub(crate) fn pod_spec(node: &str, mut container: Value) -> Value {
    container["name"] = json!("probe");
    container["securityContext"] = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
    });
    json!({
        "nodeName": node,
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 0,
        "tolerations": [{"operator": "Exists"}],
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    })
}

/// True if the kubelet has refused the pod or the pod has exited; neither starts again.
pub(crate) fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), Some("Failed" | "Succeeded"))
}

/// Reason of the kubelet for a pod that has ended, or the exit code of its container.
pub(crate) fn end_reason(pod: &Value) -> String {
    let given = [text(pod, "/status/reason"), text(pod, "/status/message")];
    let given: Vec<&str> = given.into_iter().flatten().filter(|reason| !reason.is_empty()).collect();
    let ended = list(pod, "/status/containerStatuses").find_map(|status| status.pointer("/state/terminated"));
    match ended.and_then(|ended| ended["exitCode"].as_i64()) {
        Some(code) if given.is_empty() => format!("its container exited with code {code}"),
        _ => given.join(": "),
    }
}

/// Reason for which a pod does not run yet: that of its container, such as `ContainerCreating`, or
/// else its phase.
pub(crate) fn waiting_reason(pod: &Value) -> String {
    let waiting = list(pod, "/status/containerStatuses").filter_map(|status| text(status, "/state/waiting/reason"));
    waiting.last().map_or_else(|| text_or_empty(pod, "/status/phase"), str::to_owned)
}
