use std::{net::IpAddr, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Recovery, RequiredPermissions};

use crate::{
    api::Api,
    call::{Call, Form},
    field::{list, owned, text},
    kind::{At, PODS},
    parameters::digest_text,
    permission::in_namespace_of,
    prefix::Prefix,
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const DEFAULT_NAMESPACE: &str = "default";

/// `kubernetes.pod.probe`.
pub(crate) struct PodProbe(pub(crate) Arc<Api>);

/// Where to try.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProbeInput {
    /// The node that the pod is put on.
    node: String,
    /// The image it runs. It need not start: an address is given before it is fetched.
    #[serde(default = "pause_image")]
    image: String,
    /// The namespace it lives in for a moment.
    #[serde(default = "default_namespace")]
    namespace: String,
    /// The block that the address has to be from.
    #[serde(default)]
    pod_cidr: Option<Prefix>,
}

fn pause_image() -> String {
    "registry.k8s.io/pause:3.10".into()
}

fn default_namespace() -> String {
    DEFAULT_NAMESPACE.into()
}

/// The pod's address.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ProbeOutput {
    /// The address that a pod on the node got.
    pub ip: String,
}

impl PodProbe {
    async fn address(&self, cx: &ActionContext, input: &ProbeInput, name: &str) -> Result<String, ActionError> {
        let at = At::namespaced(&input.namespace, name);
        let mut pause = FIRST_PAUSE;
        loop {
            let obstacle = match self.0.get(cx, &PODS, at).await? {
                None => {
                    self.create(cx, input, name).await?;
                    "was made just now".to_owned()
                }
                Some(pod) => match text(&pod, "/status/podIP").filter(|ip| !ip.is_empty()) {
                    Some(ip) => return Ok(ip.to_owned()),
                    None if has_ended(&pod) => {
                        self.remove(input, name).await?;
                        ending(&pod)
                    }
                    None => obstacle(&pod),
                },
            };
            let obstacle = format!("probe pod on node {:?}: has no address: {obstacle}", input.node);
            cx.progress(&obstacle);
            cx.sleep(pause).await.map_err(|e| gave_up(e, &obstacle))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn create(&self, cx: &ActionContext, input: &ProbeInput, name: &str) -> Result<(), ActionError> {
        match self.0.create(cx, &PODS, Some(&input.namespace), pod(input, name)).await {
            Err(error) if !error.already_exists() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Removes the pod, also when the attempt is to stop: nothing of it stays.
    async fn remove(&self, input: &ProbeInput, name: &str) -> Result<(), ActionError> {
        let at = At::namespaced(&input.namespace, name);
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        match self.0.answer(&Call::write(http::Method::DELETE, PODS.object(at, None), Form::Json, body)).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Action for PodProbe {
    type Input = ProbeInput;
    type Output = ProbeOutput;
    const NAME: &'static str = "kubernetes.pod.probe";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Sees that a pod on a node gets an address, and removes it again.";

    async fn run(&self, cx: &ActionContext, input: &ProbeInput) -> Result<ProbeOutput, ActionError> {
        let name = pod_name(cx.idempotency_key().as_str());
        let ip = self.address(cx, input, &name).await;
        let removed = self.remove(input, &name).await;
        let ip = ip?;
        removed?;
        is_inside(&ip, input)?;
        Ok(ProbeOutput { ip })
    }
}

impl RequiredPermissions for PodProbe {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        in_namespace_of(&["get pods", "create pods", "delete pods"], with, Some(DEFAULT_NAMESPACE))
    }
}

fn gave_up(error: ActionError, obstacle: &str) -> ActionError {
    error.context(obstacle).with_hint("`journalctl -u kubelet` and /etc/cni/net.d on the machine tell more")
}

fn is_inside(ip: &str, input: &ProbeInput) -> Result<(), ActionError> {
    let Some(block) = input.pod_cidr else { return Ok(()) };
    if ip.parse::<IpAddr>().is_ok_and(|ip| block.0.contains(&ip)) {
        return Ok(());
    }
    Err(ActionError::permanent(format!("node {:?} gave a pod the address {ip}, which is not in {block}", input.node))
        .with_hint("the CNI configuration on the machine names another block"))
}

/// A kubelet that has refused a pod, or ended it, never comes back to it.
fn has_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), Some("Failed" | "Succeeded"))
}

fn ending(pod: &Value) -> String {
    let why = [text(pod, "/status/reason"), text(pod, "/status/message")];
    format!("one ended: {}", why.into_iter().flatten().collect::<Vec<_>>().join(": "))
}

fn obstacle(pod: &Value) -> String {
    let waiting = list(pod, "/status/containerStatuses").filter_map(|status| text(status, "/state/waiting/reason"));
    waiting.last().map_or_else(|| owned(pod, "/status/phase"), str::to_owned)
}

/// The same for every attempt of a step, so that a later one removes what an earlier one left.
fn pod_name(key: &str) -> String {
    format!("stargate-probe-{}", digest_text(&Sha256::digest(key)))
}

fn pod(input: &ProbeInput, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "stargate"}},
        "spec": {
            "nodeName": input.node,
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            // Should nobody ever come back for it.
            "activeDeadlineSeconds": 600,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": "probe",
                "image": input.image,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "runAsNonRoot": true,
                    "runAsUser": 65534,
                    "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            }],
        },
    })
}
