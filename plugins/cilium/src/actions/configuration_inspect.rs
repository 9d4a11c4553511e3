use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_kubernetes_client::{
    CILIUM_NODES, CONFIG_MAPS, KubeClient, ObjectKind, ObjectName,
    json::{list, text, text_or_empty},
    permission,
};
use stargate_sdk::{
    Action, ActionContext, ActionError, FailureKind, Nature, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{cilium_node::pod_cidrs, configuration::AgentSettings};

const NAMESPACE: &str = "kube-system";
/// `ConfigMap` from which each agent reads its settings when it starts.
const CONFIG_MAP: &str = "cilium-config";
/// Data plane of AKS of which Cilium's agents are a part.
const CILIUM: &str = "cilium";

/// Action `cilium.configuration.inspect`: reads the settings of Cilium's agents and the
/// `CiliumNode`s of some machines.
///
/// An object that may not be read is named as unread.
pub(crate) struct ConfigurationInspect(pub(crate) Arc<KubeClient>);

/// The machines to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigurationInspectInput {
    /// Names of the machines. One without a `CiliumNode` has no agent.
    machines: Vec<String>,
    /// Property `networkDataplane` of the cluster. If it is not `cilium`, nothing is read.
    #[serde(default)]
    dataplane: Option<String>,
}

/// State of Cilium, in the form of the input of `routes.path.trace`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ConfigurationInspectOutput {
    /// Settings of the agents; `null` if they were not read.
    pub settings: Option<AgentSettings>,
    /// `CiliumNode`s of the machines that have one; `null` if they were not read.
    pub nodes: Option<Vec<InspectedCiliumNode>>,
    /// Objects that were not read, each with the reason.
    pub unread: Vec<String>,
}

/// `CiliumNode` of a machine.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InspectedCiliumNode {
    /// Name of the node.
    pub name: String,
    /// Prefixes that it lists for the pods of the node.
    pub pod_cidrs: Vec<String>,
    /// Internal addresses of the node.
    pub internal_ips: Vec<String>,
}

impl ConfigurationInspect {
    /// Reads an object; if that is refused, names it as unread.
    async fn read(
        &self,
        cx: &ActionContext,
        kind: &ObjectKind,
        (label, object): (&str, ObjectName<'_>),
        unread: &mut Vec<String>,
    ) -> Result<Option<Value>, ActionError> {
        match self.0.get(cx, kind, object).await {
            Ok(object) => Ok(object),
            Err(error) if error.kind == FailureKind::Permanent => {
                unread.push(format!("{label}: {error}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn settings(
        &self,
        cx: &ActionContext,
        unread: &mut Vec<String>,
    ) -> Result<Option<AgentSettings>, ActionError> {
        let label = format!("ConfigMap {CONFIG_MAP}");
        let known = unread.len();
        let object = (label.as_str(), ObjectName::namespaced(NAMESPACE, CONFIG_MAP)?);
        let config_map = self.read(cx, &CONFIG_MAPS, object, unread).await?;
        if config_map.is_none() && unread.len() == known {
            unread.push(format!("{label}: there is none in {NAMESPACE}"));
        }
        Ok(config_map.as_ref().map(AgentSettings::of))
    }

    async fn nodes(
        &self,
        cx: &ActionContext,
        machines: &[String],
        unread: &mut Vec<String>,
    ) -> Result<Option<Vec<InspectedCiliumNode>>, ActionError> {
        let (mut nodes, known) = (Vec::new(), unread.len());
        for name in machines {
            let object = (&*format!("CiliumNode {name}"), ObjectName::cluster(name)?);
            nodes.extend(self.read(cx, &CILIUM_NODES, object, unread).await?.map(|node| inspected(name, &node)));
        }
        Ok(Some(nodes).filter(|_| unread.len() == known))
    }
}

impl Action for ConfigurationInspect {
    type Input = ConfigurationInspectInput;
    type Output = ConfigurationInspectOutput;
    const NAME: &'static str = "cilium.configuration.inspect";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads the settings of Cilium's agents and the CiliumNodes of some machines.";

    async fn run(
        &self,
        cx: &ActionContext,
        input: &ConfigurationInspectInput,
    ) -> Result<ConfigurationInspectOutput, ActionError> {
        let mut output = ConfigurationInspectOutput::default();
        if input.dataplane.as_deref() != Some(CILIUM) {
            return Ok(output);
        }
        let mut machines = input.machines.clone();
        machines.sort_unstable();
        machines.dedup();
        output.settings = self.settings(cx, &mut output.unread).await?;
        output.nodes = self.nodes(cx, &machines, &mut output.unread).await?;
        Ok(output)
    }

    async fn preview(&self, cx: &ActionContext, input: &ConfigurationInspectInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ConfigurationInspect {
    const PERMISSIONS: &'static [Permission] = &[permission("get configmaps"), permission("get ciliumnodes.cilium.io")];
}

fn inspected(name: &str, node: &Value) -> InspectedCiliumNode {
    let internal = list(node, "/spec/addresses").filter(|address| text(address, "/type") == Some("InternalIP"));
    InspectedCiliumNode {
        name: name.to_owned(),
        pod_cidrs: pod_cidrs(node).into_iter().map(str::to_owned).collect(),
        internal_ips: internal.map(|address| text_or_empty(address, "/ip")).collect(),
    }
}
