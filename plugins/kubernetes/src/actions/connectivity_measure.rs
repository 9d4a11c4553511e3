use std::{collections::BTreeSet, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use stargate_kubernetes_client::{KubeClient, permission};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Recovery, RequiredPermissions};

use crate::{
    connectivity::{ConnectivityCheck, ConnectivityReport, Measurement, MeasurementSettings},
    permission::in_namespace_of,
};

const DEFAULT_NAMESPACE: &str = "default";
/// Test image of the Kubernetes project: an HTTP server, curl and a shell.
const DEFAULT_IMAGE: &str = "registry.k8s.io/e2e-test-images/agnhost:2.53";
/// A mebibyte does not fit into one packet, nor into the buffers on the path.
const DEFAULT_LARGE_BYTES: u32 = 1 << 20;
const DEFAULT_MAX_NODES: usize = 20;
/// Longest time for the image to be pulled and the pods to start.
const START_LIMIT: Duration = Duration::from_mins(2);

/// Action `kubernetes.connectivity.measure`: asks each pair of nodes whether packets arrive.
///
/// Probe pods are jobs of the cluster, which removes them after five minutes if no process does.
pub(crate) struct ConnectivityMeasure(pub(crate) Arc<KubeClient>);

/// The nodes and the questions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectivityMeasureInput {
    /// Names of nodes: only pairs with at least one of them are asked [default: all pairs].
    #[serde(default)]
    nodes: BTreeSet<String>,
    /// Number of nodes up to which all pairs are asked. Of more nodes it is a sample in which each
    /// node and each pair of sites occurs, in both directions.
    #[serde(default = "default_max_nodes")]
    max_nodes: usize,
    /// Kinds of questions in addition to those between pods: `nodes`, `service`, `dns`, `kubelet`
    /// [default: all of them].
    #[serde(default)]
    checks: Option<BTreeSet<ConnectivityCheck>>,
    /// Image of the probe pods. It must contain `/agnhost`, `sh`, `curl` and `wc`, as agnhost of
    /// the Kubernetes project does.
    #[serde(default = "default_image")]
    image: String,
    /// Namespace of the probe pods.
    #[serde(default = "default_namespace")]
    namespace: String,
    /// Size of a large request and of its answer, in bytes.
    #[serde(default = "default_large_bytes")]
    #[schemars(range(min = 2000, max = 4_194_304))]
    large_bytes: u32,
}

fn default_image() -> String {
    DEFAULT_IMAGE.into()
}

fn default_namespace() -> String {
    DEFAULT_NAMESPACE.into()
}

fn default_max_nodes() -> usize {
    DEFAULT_MAX_NODES
}

fn default_large_bytes() -> u32 {
    DEFAULT_LARGE_BYTES
}

/// Questions that are asked in addition, if the input names none.
const ALL_CHECKS: [ConnectivityCheck; 4] =
    [ConnectivityCheck::Nodes, ConnectivityCheck::Service, ConnectivityCheck::Dns, ConnectivityCheck::Kubelet];

impl Action for ConnectivityMeasure {
    type Input = ConnectivityMeasureInput;
    type Output = ConnectivityReport;
    const NAME: &'static str = "kubernetes.connectivity.measure";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Measures with probe pods whether the pods and nodes of a cluster reach each other.";

    async fn run(
        &self,
        cx: &ActionContext,
        input: &ConnectivityMeasureInput,
    ) -> Result<ConnectivityReport, ActionError> {
        let settings = MeasurementSettings {
            namespace: input.namespace.clone(),
            image: input.image.clone(),
            only: input.nodes.clone(),
            max_nodes: input.max_nodes,
            large_bytes: input.large_bytes,
            checks: input.checks.clone().unwrap_or_else(|| ALL_CHECKS.into()),
            start_limit: START_LIMIT,
        };
        Measurement::new(&self.0, cx, &settings).run().await
    }
}

impl RequiredPermissions for ConnectivityMeasure {
    const PERMISSIONS: &'static [Permission] = &[
        permission("list nodes"),
        permission("list servers.stargate.io"),
        permission("get services/kube-dns -n kube-system"),
    ];

    /// A namespace that is an expression counts as the default one: the shipped workflows use that.
    fn for_input(with: &Value) -> Vec<Permission> {
        let namespace = with.get("namespace").and_then(Value::as_str).filter(|name| !name.contains("${{"));
        let with = json!({"namespace": namespace.unwrap_or(DEFAULT_NAMESPACE)});
        let questions = [
            "get pods",
            "list pods",
            "get pods --subresource=log",
            "get pods --subresource=exec",
            "create pods --subresource=exec",
            "create jobs.batch",
            "get jobs.batch",
            "delete jobs.batch",
            "create services",
            "get services",
            "delete services",
            "create networkpolicies.networking.k8s.io",
            "get networkpolicies.networking.k8s.io",
            "delete networkpolicies.networking.k8s.io",
        ];
        in_namespace_of(&questions, &with, Some(DEFAULT_NAMESPACE))
    }
}
