use serde_json::Value;
use stargate_kubernetes_client::json::{list, text, text_or_empty, uid};
use stargate_sdk::ActionError;

/// Start of the name of a pod that `kubernetes.pod.probe` creates.
pub(crate) const PROBE_PREFIX: &str = "stargate-probe-";

/// Properties of a pod that decide about its eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodePod {
    /// Namespace of the pod.
    pub(crate) namespace: String,
    /// Name of the pod.
    pub(crate) name: String,
    /// Uid of the pod, by which an eviction names it.
    pub(crate) uid: String,
    /// True if the pod is being deleted, and its kubelet has not removed it yet.
    pub(crate) is_terminating: bool,
    /// True if nothing is lost with the pod: a controller creates it again, or it is a probe that
    /// an interrupted run has left.
    is_replaceable: bool,
    has_local_data: bool,
}

impl NodePod {
    /// Reads the properties of a `Pod` object.
    pub(crate) fn of(pod: &Value) -> Self {
        Self {
            namespace: text_or_empty(pod, "/metadata/namespace"),
            name: text_or_empty(pod, "/metadata/name"),
            uid: uid(pod).to_owned(),
            is_terminating: is_terminating(pod),
            is_replaceable: controller(pod).is_some() || is_probe(pod),
            has_local_data: list(pod, "/spec/volumes").any(|volume| volume.get("emptyDir").is_some()),
        }
    }

    /// Text that identifies the pod: `namespace/name`.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Reason for which a pod whose eviction was accepted is still on the node.
    pub(crate) fn terminating_reason(&self) -> String {
        format!("pod {} is still terminating", self.label())
    }
}

/// The pods that have to leave the node: all that neither belong to the node itself nor have ended.
///
/// A pod that is being deleted is included until its kubelet has removed it: its phase reports the
/// end of its processes a moment before that.
pub(crate) fn pods_to_evict(pods: &[Value]) -> Vec<NodePod> {
    pods.iter().filter(|pod| !belongs_to_node(pod) && !has_ended(pod)).map(NodePod::of).collect()
}

/// Refuses losses that the input does not permit.
///
/// # Errors
/// `Permanent`; it names all pods that would be lost, or all whose data would be lost.
pub(crate) fn check_losses(pods: &[NodePod], force: bool, delete_local_data: bool) -> Result<(), ActionError> {
    let refuse = |pods: Vec<String>, reason: &str, hint: &str| {
        if pods.is_empty() {
            return Ok(());
        }
        Err(ActionError::permanent(format!("{} {reason}", pods.join(", "))).with_hint(hint))
    };
    let is_running = |pod: &&NodePod| !pod.is_terminating;
    let lost = pods.iter().filter(is_running).filter(|pod| !force && !pod.is_replaceable).map(NodePod::label).collect();
    refuse(lost, "would be lost: no controller creates them again", "set `force: true` to permit it")?;
    let local = pods
        .iter()
        .filter(is_running)
        .filter(|pod| !delete_local_data && pod.has_local_data)
        .map(NodePod::label)
        .collect();
    refuse(local, "would lose the data in their emptyDir volumes", "set `delete_local_data: true` to permit it")
}

/// True if the pod is one of the node itself, or of a daemon set: it would be created again there.
fn belongs_to_node(pod: &Value) -> bool {
    let is_mirror = pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some();
    is_mirror || controller(pod).is_some_and(|controller| controller["kind"] == "DaemonSet")
}

fn is_probe(pod: &Value) -> bool {
    let is_ours = text(pod, "/metadata/labels/app.kubernetes.io~1managed-by") == Some("stargate");
    is_ours && text_or_empty(pod, "/metadata/name").starts_with(PROBE_PREFIX)
}

fn has_ended(pod: &Value) -> bool {
    !is_terminating(pod) && matches!(text(pod, "/status/phase"), Some("Succeeded" | "Failed"))
}

fn is_terminating(pod: &Value) -> bool {
    pod.pointer("/metadata/deletionTimestamp").is_some()
}

fn controller(pod: &Value) -> Option<&Value> {
    list(pod, "/metadata/ownerReferences").find(|owner| owner["controller"] == true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, kind: Option<&str>) -> Value {
        let owners: Vec<_> = kind.iter().map(|kind| json!({"kind": kind, "controller": true})).collect();
        json!({"metadata": {"namespace": "default", "name": name, "uid": name, "ownerReferences": owners}})
    }

    #[test]
    fn pods_of_the_node_itself_stay() {
        let mut mirror = pod("etcd", None);
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        let mut ended = pod("job", Some("Job"));
        ended["status"] = json!({"phase": "Succeeded"});
        let pods = [pod("cilium", Some("DaemonSet")), mirror, ended, pod("web", Some("ReplicaSet"))];
        assert_eq!(pods_to_evict(&pods).iter().map(NodePod::label).collect::<Vec<_>>(), ["default/web"]);
    }

    #[test]
    fn a_probe_that_an_interrupted_run_has_left_is_no_loss() {
        let mut probe = pod("stargate-probe-1", None);
        assert!(check_losses(&pods_to_evict(std::slice::from_ref(&probe)), false, false).is_err(), "of another party");
        probe["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "stargate"});
        check_losses(&pods_to_evict(&[probe]), false, false).expect("it is this program's own");
    }

    #[test]
    fn nothing_is_lost_without_permission() {
        let mut data = pod("cache", Some("ReplicaSet"));
        data["spec"] = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
        let pods = pods_to_evict(&[pod("bare", None), data]);
        let error = check_losses(&pods, false, false).expect_err("bare pod");
        assert!(error.message.starts_with("default/bare "), "{error}");
        let error = check_losses(&pods, true, false).expect_err("local data");
        assert!(error.message.starts_with("default/cache "), "{error}");
        check_losses(&pods, true, true).expect("all losses are permitted");
    }
}
