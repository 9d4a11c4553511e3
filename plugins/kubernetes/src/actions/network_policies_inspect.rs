use std::{net::Ipv4Addr, sync::Arc};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_kubernetes_client::{
    CILIUM_CLUSTERWIDE_POLICIES, CILIUM_POLICIES, KubeClient, NAMESPACES, NETWORK_POLICIES, ObjectKind, ObjectName,
    PODS,
    json::{name, text},
    permission,
};
use stargate_sdk::{
    Action, ActionContext, ActionError, FailureKind, Nature, Permission, Preview, Recovery, RequiredPermissions,
};

use super::ends_find::{FoundEnd, PodObject};
use crate::network_policy::{
    PolicyDirection, PolicyEngine, PolicyFlow, PolicyPeer, PolicyPod, denying_policies, selects_endpoint,
};

/// Action `kubernetes.network_policies.inspect`: reads the network policies that isolate the ends
/// of a connection.
///
/// Policies that may not be read, and those of Cilium's own kinds that select an end, are named as
/// unread.
pub(crate) struct NetworkPoliciesInspect(pub(crate) Arc<KubeClient>);

/// A TCP connection.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkPoliciesInspectInput {
    /// End that opens the connection, as `kubernetes.ends.find` returns it.
    from: FoundEnd,
    /// End that answers.
    to: FoundEnd,
    /// Port of the end that answers.
    port: u16,
    /// Property `networkPolicy` of the cluster: the program that enforces policies. If it is `none`
    /// or absent, policies that isolate an end are unread: their effect is not known.
    #[serde(default)]
    engine: Option<String>,
}

/// Policies that drop the connection, in the form of the input of `routes.path.trace`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NetworkPoliciesInspectOutput {
    /// Ends that policies isolate from the connection.
    pub denials: Vec<InspectedDenial>,
    /// Policies that were not read or not evaluated, each with the reason.
    pub unread: Vec<String>,
}

/// Policies that isolate a pod, none of which admits the connection.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InspectedDenial {
    /// True if the pod opens the connection (egress), false if it answers (ingress).
    pub egress: bool,
    /// Namespace of the pod and the policies.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Names of the policies.
    pub policies: Vec<String>,
}

impl Action for NetworkPoliciesInspect {
    type Input = NetworkPoliciesInspectInput;
    type Output = NetworkPoliciesInspectOutput;
    const NAME: &'static str = "kubernetes.network_policies.inspect";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads the network policies that isolate the ends of a connection.";

    async fn run(
        &self,
        cx: &ActionContext,
        input: &NetworkPoliciesInspectInput,
    ) -> Result<NetworkPoliciesInspectOutput, ActionError> {
        let mut inspected = NetworkPoliciesInspectOutput { denials: Vec::new(), unread: Vec::new() };
        if input.from.object.is_none() && input.to.object.is_none() {
            return Ok(inspected); // policies select pods only
        }
        match self.peers(cx, input).await {
            Ok((from, to)) => {
                let engine = PolicyEngine::of_aks(input.engine.as_deref());
                let flow = PolicyFlow { from: &from, to: &to, port: input.port, engine };
                self.inspect(cx, &flow, &mut inspected).await?;
            }
            Err(error) if error.kind == FailureKind::Permanent => {
                inspected.unread.push(format!("network policies: {error}"));
            }
            Err(error) => return Err(error),
        }
        Ok(inspected)
    }

    async fn preview(&self, cx: &ActionContext, input: &NetworkPoliciesInspectInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for NetworkPoliciesInspect {
    const PERMISSIONS: &'static [Permission] = &[
        permission("get pods"),
        permission("get namespaces"),
        permission("list networkpolicies.networking.k8s.io"),
        permission("list ciliumnetworkpolicies.cilium.io"),
        permission("list ciliumclusterwidenetworkpolicies.cilium.io"),
    ];
}

impl InspectedDenial {
    /// Words for policies of which it is not known whether a program enforces them.
    fn unenforced(self) -> String {
        let Self { namespace, pod, policies, .. } = self;
        let policies = policies.join(", ");
        format!(
            "network policies of {namespace} ({policies}): they isolate pod {pod}, and it is not known what enforces them"
        )
    }
}

impl NetworkPoliciesInspect {
    /// Reads the ends.
    async fn peers(
        &self,
        cx: &ActionContext,
        input: &NetworkPoliciesInspectInput,
    ) -> Result<(PolicyPeer, PolicyPeer), ActionError> {
        Ok((self.peer(cx, &input.from).await?, self.peer(cx, &input.to).await?))
    }

    /// Reads and evaluates the policies of both ends.
    async fn inspect(
        &self,
        cx: &ActionContext,
        flow: &PolicyFlow<'_>,
        inspected: &mut NetworkPoliciesInspectOutput,
    ) -> Result<(), ActionError> {
        let NetworkPoliciesInspectOutput { denials, unread } = inspected;
        let policies = self.policies(cx, unread).await?;
        let found = [PolicyDirection::Egress, PolicyDirection::Ingress];
        let found = found.into_iter().filter_map(|direction| denial(&policies, flow, direction));
        if flow.engine == PolicyEngine::Unknown {
            unread.extend(found.map(InspectedDenial::unenforced));
        } else {
            denials.extend(found);
        }
        self.note_cilium_policies(cx, flow, unread).await
    }

    /// Reads the labels of an end that is a pod.
    async fn peer(&self, cx: &ActionContext, end: &FoundEnd) -> Result<PolicyPeer, ActionError> {
        let address: Ipv4Addr = end.ip.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let pod = match &end.object {
            Some(object) if end.pod => Some(self.pod(cx, object).await?),
            _ => None,
        };
        Ok(PolicyPeer { address, machine: end.machine.clone(), pod, is_machine: !end.pod })
    }

    async fn pod(&self, cx: &ActionContext, object: &PodObject) -> Result<PolicyPod, ActionError> {
        let PodObject { namespace, name } = object;
        let pod = self.0.get(cx, &PODS, ObjectName::namespaced(namespace, name)?).await?;
        let pod = pod.ok_or_else(|| {
            ActionError::transient(format!("pod {namespace}/{name} was deleted meanwhile"))
                .with_hint("trace again with the pod that replaces it")
        })?;
        let namespace = self.0.get(cx, &NAMESPACES, ObjectName::cluster(namespace)?).await?;
        Ok(PolicyPod::new(&pod, namespace.as_ref()))
    }

    async fn policies(&self, cx: &ActionContext, unread: &mut Vec<String>) -> Result<Vec<NetworkPolicy>, ActionError> {
        let mut policies = Vec::new();
        for object in self.readable(cx, &NETWORK_POLICIES, unread).await? {
            let label = label("network policy", &object);
            match serde_json::from_value(object) {
                Ok(policy) => policies.push(policy),
                Err(error) => unread.push(format!("{label}: {error}")),
            }
        }
        Ok(policies)
    }

    /// Names the policies of Cilium's own kinds that select an end. Their rules are not evaluated.
    async fn note_cilium_policies(
        &self,
        cx: &ActionContext,
        flow: &PolicyFlow<'_>,
        unread: &mut Vec<String>,
    ) -> Result<(), ActionError> {
        for (kind, words) in [
            (&CILIUM_POLICIES, "CiliumNetworkPolicy"),
            (&CILIUM_CLUSTERWIDE_POLICIES, "CiliumClusterwideNetworkPolicy"),
        ] {
            for object in self.readable(cx, kind, unread).await? {
                let pods = [flow.from, flow.to].into_iter().filter_map(|end| end.pod.as_ref());
                if let Some(pod) = pods.into_iter().find(|pod| selects_endpoint(&object, pod)) {
                    let (label, PolicyPod { namespace, name, .. }) = (label(words, &object), pod);
                    unread.push(format!("{label}: it selects pod {namespace}/{name}, and its rules are not evaluated"));
                }
            }
        }
        Ok(())
    }

    /// Lists a kind; if that is refused, names it as unread.
    async fn readable(
        &self,
        cx: &ActionContext,
        kind: &ObjectKind,
        unread: &mut Vec<String>,
    ) -> Result<Vec<Value>, ActionError> {
        match self.0.list(cx, kind, None, None).await {
            Ok(objects) => Ok(objects.unwrap_or_default()),
            Err(error) if error.kind == FailureKind::Permanent => {
                unread.push(format!("{}: {error}", kind.plural));
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}

fn denial(policies: &[NetworkPolicy], flow: &PolicyFlow<'_>, direction: PolicyDirection) -> Option<InspectedDenial> {
    let denying = denying_policies(policies, flow, direction);
    let egress = direction == PolicyDirection::Egress;
    let pod = if egress { flow.from } else { flow.to }.pod.as_ref().filter(|_| !denying.is_empty())?;
    Some(InspectedDenial { egress, namespace: pod.namespace.clone(), pod: pod.name.clone(), policies: denying })
}

/// Words for an object, such as `network policy shop/db`.
fn label(words: &str, object: &Value) -> String {
    match text(object, "/metadata/namespace") {
        Some(namespace) => format!("{words} {namespace}/{}", name(object)),
        None => format!("{words} {}", name(object)),
    }
}
