use std::{net::IpAddr, sync::Arc, time::Duration};

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stargate_client::{Backoff, Prefix, WaitState, Waiter};
use stargate_kubernetes_client::{BodyFormat, KubeClient, KubeRequest, ObjectName, PODS, json::text};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Recovery, RequiredPermissions};

use crate::{
    digest::digest_text,
    eviction::PROBE_PREFIX,
    permission::in_namespace_of,
    probe_pod::{end_reason, has_ended, pod_spec, waiting_reason},
};

/// A kubelet assigns an address within a second, before it pulls the image.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
const DEFAULT_NAMESPACE: &str = "default";
/// Image of a pod that only sleeps, from the registry from which kubeadm takes its own.
const DEFAULT_IMAGE: &str = "registry.k8s.io/pause:3.10";
/// Time after which the cluster ends a probe pod that no process removes, in seconds.
const MAX_LIFETIME_SECONDS: u32 = 600;
const NO_ADDRESS_HINT: &str = "`journalctl -u kubelet` and /etc/cni/net.d on the machine show the cause";

/// Action `kubernetes.pod.probe`: checks that a pod on a node gets an address, and removes the pod.
///
/// The pod is bound to the node without the scheduler, so that taints and cordons do not matter. It
/// is removed whether it got an address or not; if this process is killed, the cluster ends it
/// after [`MAX_LIFETIME_SECONDS`], and the next attempt removes it.
pub(crate) struct PodProbe(pub(crate) Arc<KubeClient>);

/// The node to probe.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PodProbeInput {
    /// Name of the node that the pod is bound to.
    node: String,
    /// Image of the pod. It need not start: the address is assigned before the image is pulled.
    #[serde(default = "default_image")]
    image: String,
    /// Namespace of the pod.
    #[serde(default = "default_namespace")]
    namespace: String,
    /// Prefix that the address must be in [default: any address].
    #[serde(default)]
    pod_cidr: Option<Prefix>,
}

fn default_image() -> String {
    DEFAULT_IMAGE.into()
}

fn default_namespace() -> String {
    DEFAULT_NAMESPACE.into()
}

/// Result of the probe.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PodProbeOutput {
    /// Address that the pod got.
    pub ip: String,
}

impl PodProbe {
    /// Creates the pod and waits for its address. A pod that has ended is replaced.
    async fn wait_for_address(
        &self,
        cx: &ActionContext,
        input: &PodProbeInput,
        name: &str,
    ) -> Result<String, ActionError> {
        let read = || async {
            let reason = match self.0.get(cx, &PODS, ObjectName::namespaced(&input.namespace, name)?).await? {
                None => {
                    self.create(cx, input, name).await?;
                    "was just created".to_owned()
                }
                Some(pod) => match text(&pod, "/status/podIP").filter(|ip| !ip.is_empty()) {
                    Some(ip) => return Ok(WaitState::Ready(ip.to_owned())),
                    None if has_ended(&pod) => {
                        self.remove(cx, input, name).await?;
                        format!("a pod ended: {}", end_reason(&pod))
                    }
                    None => waiting_reason(&pod),
                },
            };
            Ok(WaitState::pending(format!("probe pod on node {:?}: has no address: {reason}", input.node)))
        };
        Waiter::new(cx, BACKOFF).with_hint(NO_ADDRESS_HINT).poll(read).await
    }

    /// Creates the pod, unless an earlier attempt has.
    async fn create(&self, cx: &ActionContext, input: &PodProbeInput, name: &str) -> Result<(), ActionError> {
        match self.0.create(cx, &PODS, Some(&input.namespace), pod(input, name)).await {
            Err(error) if !error.already_exists() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Removes the pod, even after a cancellation, so that no pod remains.
    async fn remove(&self, cx: &ActionContext, input: &PodProbeInput, name: &str) -> Result<(), ActionError> {
        let path = PODS.object_path(ObjectName::namespaced(&input.namespace, name)?, None);
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        match self.0.send_to_end(cx, &KubeRequest::write(Method::DELETE, path, BodyFormat::Json, body)).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Action for PodProbe {
    type Input = PodProbeInput;
    type Output = PodProbeOutput;
    const NAME: &'static str = "kubernetes.pod.probe";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Checks that a pod on a node gets an address, and removes the pod.";

    async fn run(&self, cx: &ActionContext, input: &PodProbeInput) -> Result<PodProbeOutput, ActionError> {
        let name = pod_name(cx.idempotency_key().as_str());
        let ip = self.wait_for_address(cx, input, &name).await;
        let removed = self.remove(cx, input, &name).await;
        let ip = ip?;
        removed?;
        check_address(&ip, input)?;
        Ok(PodProbeOutput { ip })
    }
}

impl RequiredPermissions for PodProbe {
    const PERMISSIONS: &'static [Permission] = &[];

    fn for_input(with: &Value) -> Vec<Permission> {
        in_namespace_of(&["get pods", "create pods", "delete pods"], with, Some(DEFAULT_NAMESPACE))
    }
}

/// # Errors
/// `Permanent` for an address outside of the prefix: the CNI plugin of the node is configured with
/// another one, and a retry gets the same.
fn check_address(ip: &str, input: &PodProbeInput) -> Result<(), ActionError> {
    let Some(pod_cidr) = input.pod_cidr else { return Ok(()) };
    if ip.parse::<IpAddr>().is_ok_and(|ip| pod_cidr.contains_address(ip)) {
        return Ok(());
    }
    Err(ActionError::permanent(format!(
        "node {:?} gave a pod the address {ip}, which is not in {pod_cidr}",
        input.node
    ))
    .with_hint("correct the pod CIDR in the CNI configuration on the machine"))
}

/// Name that is the same in each attempt of a step, so that a later attempt removes the pod of an
/// earlier one.
fn pod_name(key: &str) -> String {
    format!("{PROBE_PREFIX}{}", digest_text(&Sha256::digest(key)))
}

fn pod(input: &PodProbeInput, name: &str) -> Value {
    let mut spec = pod_spec(&input.node, json!({"image": input.image}));
    spec["activeDeadlineSeconds"] = json!(MAX_LIFETIME_SECONDS);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "stargate"}},
        "spec": spec,
    })
}
