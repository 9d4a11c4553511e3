use std::{net::Ipv4Addr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::Prefix;
use stargate_kubernetes_client::{
    KubeClient, PODS, SERVERS,
    json::{list, name, text, text_or_empty},
    permission,
};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

const DEFAULT_NAMESPACE: &str = "default";

/// Action `kubernetes.ends.find`: finds the pods, nodes or registered machines that names and
/// addresses mean.
pub(crate) struct EndsFind(pub(crate) Arc<KubeClient>);

/// Ends of a path, each as `POD`, `NAMESPACE/POD`, the name of a node or of a registered machine,
/// an address of one of them, or any address of a pod CIDR.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndsFindInput {
    /// End that sends the request.
    from: String,
    /// End that answers.
    to: String,
    /// Nodes with their pod CIDRs, as `kubernetes.nodes.list` returns them.
    #[serde(default)]
    nodes: Vec<NodePods>,
    /// Sites with the pod CIDRs of their workers, as `kubernetes.inventory.read` returns them.
    #[serde(default)]
    sites: Vec<SitePods>,
}

/// A node or worker with its pod CIDR. Other fields are ignored.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub(crate) struct NodePods {
    /// Name of the node.
    name: String,
    /// Prefix from which its pods get addresses.
    #[serde(default)]
    pod_cidr: Option<Prefix>,
}

/// A site with its workers. Other fields are ignored.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub(crate) struct SitePods {
    /// Name of the site.
    name: String,
    /// Router of the site.
    router: NodePods,
    /// Workers of the site.
    workers: Vec<NodePods>,
}

/// The ends, in the form of the input of `routes.path.trace`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EndsFindOutput {
    /// End that sends the request.
    pub from: FoundEnd,
    /// End that answers.
    pub to: FoundEnd,
    /// Names of the sites that the ends are in, but for the cluster's.
    pub sites: Vec<String>,
}

/// A pod or a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FoundEnd {
    /// Words for the end, such as `pod default/web`.
    pub name: String,
    /// Address of the end.
    pub ip: String,
    /// Name of the machine that the end is, or is on.
    pub machine: String,
    /// True if the end is a pod with an address of its own.
    pub pod: bool,
    /// The pod; absent if the end is a machine or the address of no pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<PodObject>,
}

/// Name of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PodObject {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
}

/// Objects that ends can be.
struct Objects {
    pods: Vec<Value>,
    nodes: Vec<Value>,
    servers: Vec<Value>,
    /// Nodes and workers with their pod CIDRs.
    pod_cidrs: Vec<NodePods>,
}

impl Action for EndsFind {
    type Input = EndsFindInput;
    type Output = EndsFindOutput;
    const NAME: &'static str = "kubernetes.ends.find";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Finds the pods, nodes or registered machines that names and addresses mean.";

    async fn run(&self, cx: &ActionContext, input: &EndsFindInput) -> Result<EndsFindOutput, ActionError> {
        let objects = Objects {
            pods: self.0.list(cx, &PODS, None, None).await?.unwrap_or_default(),
            nodes: self.0.nodes(cx, None).await?,
            servers: self.0.list(cx, &SERVERS, None, None).await?.unwrap_or_default(),
            pod_cidrs: input.nodes.iter().chain(input.sites.iter().flat_map(|site| &site.workers)).cloned().collect(),
        };
        let (from, to) = (objects.find(&input.from)?, objects.find(&input.to)?);
        let sites = input.sites.iter().filter(|site| site.has(&from.machine) || site.has(&to.machine));
        Ok(EndsFindOutput { sites: sites.map(|site| site.name.clone()).collect(), from, to })
    }

    async fn preview(&self, cx: &ActionContext, input: &EndsFindInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for EndsFind {
    const PERMISSIONS: &'static [Permission] =
        &[permission("list pods"), permission("list nodes"), permission("list servers.stargate.io")];
}

impl SitePods {
    fn has(&self, machine: &str) -> bool {
        self.router.name == machine || self.workers.iter().any(|worker| worker.name == machine)
    }
}

impl Objects {
    /// # Errors
    /// `Permanent` if nothing has the name or address, or if the pod has no address.
    fn find(&self, text: &str) -> Result<FoundEnd, ActionError> {
        let found = match text.parse::<Ipv4Addr>() {
            Ok(address) => self.by_address(&address.to_string()).or_else(|| self.by_pod_cidr(address)),
            Err(_) => self.by_name(text),
        };
        match found {
            Some(end) if end.ip.is_empty() => Err(ActionError::permanent(format!("{}: it has no address", end.name))
                .with_hint("wait until it runs, and trace again")),
            Some(end) => Ok(end),
            None => Err(ActionError::permanent(format!(
                "{text:?} is neither a pod, a node nor a registered machine, nor an address of one or of a pod CIDR"
            ))
            .with_hint(
                "name a pod as NAMESPACE/POD or POD of the namespace default; `kubectl get pods -A -o wide` lists them",
            )),
        }
    }

    fn by_name(&self, text: &str) -> Option<FoundEnd> {
        let (namespace, pod_name) = text.split_once('/').unwrap_or((DEFAULT_NAMESPACE, text));
        let is_pod = |pod: &&Value| name(pod) == pod_name && text_or_empty(pod, "/metadata/namespace") == namespace;
        let pod = self.pods.iter().find(is_pod).map(pod_end);
        let node = || self.nodes.iter().find(|node| name(node) == text).map(node_end);
        let server = || self.servers.iter().find(|server| name(server) == text).map(server_end);
        pod.or_else(node).or_else(server)
    }

    /// A machine comes before the pods in its network, which have its address.
    fn by_address(&self, address: &str) -> Option<FoundEnd> {
        let has = |end: &FoundEnd| end.ip == address;
        let pods = || self.pods.iter().map(pod_end).find(|end| end.pod && has(end));
        let nodes = self.nodes.iter().map(node_end).find(has);
        let servers = || self.servers.iter().map(server_end).find(has);
        nodes.or_else(servers).or_else(pods)
    }
}

impl Objects {
    /// An address that no object has: that of a pod that does not exist, on the node whose it would
    /// be.
    fn by_pod_cidr(&self, address: Ipv4Addr) -> Option<FoundEnd> {
        let has = |node: &&NodePods| node.pod_cidr.is_some_and(|prefix| prefix.contains_address(address.into()));
        let node = self.pod_cidrs.iter().find(has)?;
        let ip = address.to_string();
        Some(FoundEnd { name: format!("address {ip}"), ip, machine: node.name.clone(), pod: true, object: None })
    }
}

fn pod_end(pod: &Value) -> FoundEnd {
    let object = PodObject { namespace: text_or_empty(pod, "/metadata/namespace"), name: name(pod).to_owned() };
    FoundEnd {
        name: format!("pod {}/{}", object.namespace, object.name),
        ip: text_or_empty(pod, "/status/podIP"),
        machine: text_or_empty(pod, "/spec/nodeName"),
        pod: pod.pointer("/spec/hostNetwork").and_then(Value::as_bool) != Some(true),
        object: Some(object),
    }
}

fn node_end(node: &Value) -> FoundEnd {
    let is_internal = |address: &&Value| {
        address["type"] == "InternalIP" && text_or_empty(address, "/address").parse::<Ipv4Addr>().is_ok()
    };
    let address = list(node, "/status/addresses").find(is_internal);
    machine_end("node", node, address.and_then(|address| text(address, "/address")))
}

fn server_end(server: &Value) -> FoundEnd {
    machine_end("machine", server, text(server, "/spec/ip"))
}

fn machine_end(kind: &str, object: &Value, ip: Option<&str>) -> FoundEnd {
    let machine = name(object).to_owned();
    FoundEnd {
        name: format!("{kind} {machine}"),
        ip: ip.unwrap_or_default().to_owned(),
        machine,
        pod: false,
        object: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects() -> Objects {
        let pod = |name: &str, namespace: &str, ip: &str, host: bool| {
            json!({"metadata": {"name": name, "namespace": namespace}, "spec": {"nodeName": "n", "hostNetwork": host},
                "status": {"podIP": ip}})
        };
        Objects {
            pods: vec![
                pod("agent", "kube-system", "10.0.0.4", true),
                pod("web", "default", "10.244.0.9", false),
                pod("web", "other", "10.244.0.10", false),
                pod("new", "default", "", false),
            ],
            nodes: vec![json!({"metadata": {"name": "n"}, "status": {"addresses": [
                {"type": "InternalIP", "address": "fd00::4"}, {"type": "InternalIP", "address": "10.0.0.4"}]}})],
            servers: vec![json!({"metadata": {"name": "router"}, "spec": {"ip": "10.1.0.4"}})],
            pod_cidrs: vec![NodePods { name: "n".into(), pod_cidr: Some("10.244.0.0/24".parse().expect("a prefix")) }],
        }
    }

    #[test]
    fn names_and_addresses_of_pods_nodes_and_machines_are_found() {
        let objects = objects();
        let of = |text: &str| objects.find(text).map(|end| (end.name, end.ip, end.machine, end.pod));
        let end = |name: &str, ip: &str, machine: &str, pod| Some((name.into(), ip.into(), machine.into(), pod));
        for (text, expected) in [
            ("web", end("pod default/web", "10.244.0.9", "n", true)),
            ("other/web", end("pod other/web", "10.244.0.10", "n", true)),
            ("10.244.0.10", end("pod other/web", "10.244.0.10", "n", true)),
            ("kube-system/agent", end("pod kube-system/agent", "10.0.0.4", "n", false)),
            ("n", end("node n", "10.0.0.4", "n", false)),
            ("10.0.0.4", end("node n", "10.0.0.4", "n", false)),
            ("router", end("machine router", "10.1.0.4", "router", false)),
            ("10.1.0.4", end("machine router", "10.1.0.4", "router", false)),
            ("10.244.0.77", end("address 10.244.0.77", "10.244.0.77", "n", true)),
        ] {
            assert_eq!(of(text).ok(), expected, "{text}");
        }
        assert!(objects.find("new").is_err_and(|error| error.message.contains("has no address")));
        assert!(objects.find("nobody").is_err_and(|error| error.message.contains("neither a pod")));
    }
}
