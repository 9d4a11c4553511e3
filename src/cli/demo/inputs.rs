use super::{line::Line, stage::Stage};
use crate::cli::Failure;

/// Names and prefixes as in the world's scenario.
const CLUSTER: &str = "stargate-aks-e2e-7";
const ROUTER_SUBNET: &str = "10.237.0.0/24";
const DATACENTER: &str = "stargate-aks-e2e-7-dc";
/// The pods of the third worker: the third block of the datacenter's.
pub(in crate::cli) const THIRD_BLOCK: &str = "10.244.66.0/24";
/// The address of this machine in a world that is on loopback: a range for documentation.
const HERE: &str = "198.51.100.0/24";
/// A pod on each node of the cluster.
const PODS: &str = include_str!("pods.yaml");

pub(in crate::cli) fn latest_history() -> Line {
    Line::new(&["history", "@latest"])
}

pub(in crate::cli) fn history() -> Line {
    Line::new(&["history"])
}

pub(in crate::cli) fn resume() -> Line {
    Line::new(&["resume"])
}

/// Puts the router beside the cluster.
pub(in crate::cli) fn aks_router(stage: &Stage) -> Result<Line, Failure> {
    let router = format!("{CLUSTER}-router");
    let mut line = workflow("provision-aks-router");
    line.inputs(&[("cluster", CLUSTER), ("resource_group", CLUSTER), ("router", &router)]);
    line.inputs(&[("router_subnet", ROUTER_SUBNET), ("ssh_source", HERE)]);
    key(stage, &mut line)?;
    Ok(line)
}

/// Builds the datacenter with that many workers.
pub(in crate::cli) fn datacenter(stage: &Stage, workers: u8) -> Result<Line, Failure> {
    let workers: Vec<_> = (1..=workers)
        .map(|worker| format!(r#"{{"name":"worker-{worker}","private_ip":"10.50.1.{}"}}"#, worker + 4))
        .collect();
    let router = format!("{DATACENTER}-router");
    let mut line = workflow("provision-dc");
    line.inputs(&[("cluster", CLUSTER), ("cluster_resource_group", CLUSTER), ("site", DATACENTER)]);
    line.inputs(&[("resource_group", DATACENTER), ("location", "canadacentral"), ("router", &router)]);
    line.inputs(&[("workers", &format!("[{}]", workers.join(","))), ("ssh_source", HERE)]);
    key(stage, &mut line)?;
    Ok(line)
}

/// Makes a worker a node of the cluster, with the kubelet that the world's mirror has.
pub(in crate::cli) async fn worker(stage: &Stage, worker: u8) -> Result<Line, Failure> {
    let kubelet = stage.world.kubelet().await?;
    let mut line = workflow("repave-worker");
    line.inputs(&[("cluster", CLUSTER), ("cluster_resource_group", CLUSTER)]);
    line.inputs(&[("worker", &format!("worker-{worker}")), ("kubernetes_mirror", &kubelet.mirror)]);
    line.inputs(&[("kubelet_version", &kubelet.version), ("kubelet_sha256", &kubelet.sha256)]);
    Ok(line)
}

/// Lets a worker leave; the demonstration's pod on it is nobody's.
pub(in crate::cli) fn removal(worker: u8) -> Line {
    let mut line = workflow("remove-worker");
    line.inputs(&[("cluster", CLUSTER), ("cluster_resource_group", CLUSTER)]);
    line.inputs(&[("worker", &format!("worker-{worker}")), ("force", "true")]);
    line
}

/// Makes the routes agree.
pub(in crate::cli) fn sync() -> Line {
    let mut line = workflow("sync-pod-routes");
    line.inputs(&[("cluster", CLUSTER), ("cluster_resource_group", CLUSTER)]);
    line
}

/// Puts a pod on every node.
pub(in crate::cli) fn pods(stage: &Stage) -> Result<Line, Failure> {
    let path = stage.keep("pods.yaml", PODS)?;
    Ok(Line::new(&["run", "workflow", &path]))
}

fn workflow(name: &str) -> Line {
    Line::new(&["run", "workflow", name])
}

/// The public key that logs in to machines, shown as people would type it.
fn key(stage: &Stage, line: &mut Line) -> Result<(), Failure> {
    let path = stage.world.endpoint("ssh_public_key");
    let key = std::fs::read_to_string(path)
        .map_err(|error| Failure::internal(format!("read the public key {path}: {error}")))?;
    line.push("--input");
    line.push_as(&format!("ssh_public_key={}", key.trim()), &format!("ssh_public_key=\"$(cat {path})\""));
    Ok(())
}
