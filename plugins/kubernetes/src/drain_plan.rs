use serde_json::Value;
use stargate_sdk::ActionError;

use crate::field::{list, owned, text, uid};

/// A pod on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) is_leaving: bool,
    has_controller: bool,
    has_local_data: bool,
}

impl Pod {
    /// `namespace/name`.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// The pods that have to leave: none that belong to the node itself, and none that have ended. One that is being deleted is
/// there until its kubelet has let go of it: its processes end, and its phase says so, a moment before.
pub(crate) fn leaving(pods: &[Value]) -> Vec<Pod> {
    pods.iter().filter(|pod| !belongs_to_node(pod) && !has_ended(pod)).map(read).collect()
}

/// Refuses to lose what nobody said may be lost. All of it is named at once.
pub(crate) fn check(pods: &[Pod], force: bool, delete_local_data: bool) -> Result<(), ActionError> {
    let refuse = |pods: Vec<String>, why: &str, hint: &str| {
        if pods.is_empty() {
            return Ok(());
        }
        Err(ActionError::permanent(format!("{} {why}", pods.join(", "))).with_hint(hint))
    };
    let stays = |pod: &&Pod| !pod.is_leaving;
    let lost = pods.iter().filter(stays).filter(|pod| !force && !pod.has_controller).map(Pod::label).collect();
    refuse(lost, "would not come back elsewhere: no controller has made them", "say `force: true` to lose them")?;
    let local =
        pods.iter().filter(stays).filter(|pod| !delete_local_data && pod.has_local_data).map(Pod::label).collect();
    refuse(local, "would lose the data in their emptyDir volumes", "say `delete_local_data: true` to lose it")
}

fn belongs_to_node(pod: &Value) -> bool {
    let is_mirror = pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some();
    is_mirror || controller(pod).is_some_and(|controller| controller["kind"] == "DaemonSet")
}

fn has_ended(pod: &Value) -> bool {
    !is_leaving(pod) && matches!(text(pod, "/status/phase"), Some("Succeeded" | "Failed"))
}

fn is_leaving(pod: &Value) -> bool {
    pod.pointer("/metadata/deletionTimestamp").is_some()
}

fn controller(pod: &Value) -> Option<&Value> {
    list(pod, "/metadata/ownerReferences").find(|owner| owner["controller"] == true)
}

/// What matters of a pod that is to leave.
pub(crate) fn read(pod: &Value) -> Pod {
    Pod {
        namespace: owned(pod, "/metadata/namespace"),
        name: owned(pod, "/metadata/name"),
        uid: uid(pod).to_owned(),
        is_leaving: is_leaving(pod),
        has_controller: controller(pod).is_some(),
        has_local_data: list(pod, "/spec/volumes").any(|volume| volume.get("emptyDir").is_some()),
    }
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
    fn what_belongs_to_the_node_stays() {
        let mut mirror = pod("etcd", None);
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        let mut ended = pod("job", Some("Job"));
        ended["status"] = json!({"phase": "Succeeded"});
        let pods = [pod("cilium", Some("DaemonSet")), mirror, ended, pod("web", Some("ReplicaSet"))];
        assert_eq!(leaving(&pods).iter().map(Pod::label).collect::<Vec<_>>(), ["default/web"]);
    }

    #[test]
    fn nothing_is_lost_unless_it_was_said() {
        let mut data = pod("cache", Some("ReplicaSet"));
        data["spec"] = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
        let pods = leaving(&[pod("bare", None), data]);
        let error = check(&pods, false, false).expect_err("bare pod");
        assert!(error.message.starts_with("default/bare "), "{error}");
        let error = check(&pods, true, false).expect_err("local data");
        assert!(error.message.starts_with("default/cache "), "{error}");
        check(&pods, true, true).expect("all said");
    }
}
