//! Commands of the demonstration, with the inputs that fit the simulator's scenario.

use super::{command_line::DemoCommand, environment::DemoEnvironment};
use crate::cli::Failure;

/// Names and prefixes of the simulator's scenario.
const CLUSTER: &str = "stargate-aks-e2e-7";
const ROUTER_SUBNET: &str = "10.237.0.0/24";
const DATACENTER: &str = "stargate-aks-e2e-7-dc";
/// Pod CIDR of the third worker: the third one of the datacenter's site pod CIDR.
pub(in crate::cli) const THIRD_WORKER_POD_CIDR: &str = "10.244.66.0/24";
/// Source of SSH connections. The simulated world is on the loopback, so this is a prefix for
/// documentation (RFC 5737).
const CLIENT_ADDRESS: &str = "198.51.100.0/24";
/// Manifest with a pod for each node.
const PODS: &str = include_str!("pods.yaml");

pub(in crate::cli) fn latest_history() -> DemoCommand {
    DemoCommand::new(&["history", "@latest"])
}

pub(in crate::cli) fn history() -> DemoCommand {
    DemoCommand::new(&["history"])
}

pub(in crate::cli) fn resume() -> DemoCommand {
    DemoCommand::new(&["resume"])
}

/// Creates the router of the cluster.
pub(in crate::cli) fn aks_router(demo: &DemoEnvironment) -> Result<DemoCommand, Failure> {
    let router = format!("{CLUSTER}-router");
    let mut command = workflow("provision-aks-router");
    command.inputs(&[("cluster", CLUSTER), ("resource_group", CLUSTER), ("router", &router)]);
    command.inputs(&[("router_subnet", ROUTER_SUBNET), ("ssh_source", CLIENT_ADDRESS)]);
    key(demo, &mut command)?;
    Ok(command)
}

/// Creates the datacenter with `workers` workers.
pub(in crate::cli) fn datacenter(demo: &DemoEnvironment, workers: u8) -> Result<DemoCommand, Failure> {
    let workers: Vec<_> = (1..=workers)
        .map(|worker| format!(r#"{{"name":"worker-{worker}","private_ip":"10.50.1.{}"}}"#, worker + 4))
        .collect();
    let router = format!("{DATACENTER}-router");
    let mut command = workflow("provision-dc");
    command.inputs(&[("cluster", CLUSTER), ("cluster_resource_group", CLUSTER), ("site", DATACENTER)]);
    command.inputs(&[("resource_group", DATACENTER), ("location", "canadacentral"), ("router", &router)]);
    command.inputs(&[("workers", &format!("[{}]", workers.join(","))), ("ssh_source", CLIENT_ADDRESS)]);
    key(demo, &mut command)?;
    Ok(command)
}

/// Joins a worker to the cluster, with the kubelet from the simulated mirror.
pub(in crate::cli) async fn worker(demo: &DemoEnvironment, worker: u8) -> Result<DemoCommand, Failure> {
    let kubelet = demo.world.kubelet().await?;
    let mut command = workflow("repave-worker");
    command.inputs(&[("cluster", CLUSTER), ("cluster_resource_group", CLUSTER)]);
    command.inputs(&[("worker", &format!("worker-{worker}")), ("kubernetes_mirror", &kubelet.mirror)]);
    command.inputs(&[("kubelet_version", &kubelet.version), ("kubelet_sha256", &kubelet.sha256)]);
    Ok(command)
}

/// Removes a worker. `force` is set because no controller recreates the demonstration's pod.
pub(in crate::cli) fn removal(worker: u8) -> DemoCommand {
    let mut command = workflow("remove-worker");
    command.inputs(&[("cluster", CLUSTER), ("cluster_resource_group", CLUSTER)]);
    command.inputs(&[("worker", &format!("worker-{worker}")), ("force", "true")]);
    command
}

/// Synchronises all routes.
pub(in crate::cli) fn sync() -> DemoCommand {
    let mut command = workflow("sync-pod-routes");
    command.inputs(&[("cluster", CLUSTER), ("cluster_resource_group", CLUSTER)]);
    command
}

/// Creates a pod on each node.
pub(in crate::cli) fn pods(demo: &DemoEnvironment) -> Result<DemoCommand, Failure> {
    let path = demo.write_file("pods.yaml", PODS)?;
    Ok(DemoCommand::new(&["run", "workflow", &path]))
}

fn workflow(name: &str) -> DemoCommand {
    DemoCommand::new(&["run", "workflow", name])
}

/// Adds the public key for logging in to machines, shown as a shell expression.
fn key(demo: &DemoEnvironment, command: &mut DemoCommand) -> Result<(), Failure> {
    let path = demo.world.endpoint("ssh_public_key");
    let key = std::fs::read_to_string(path)
        .map_err(|error| Failure::internal(format!("cannot read public key {path}: {error}")))?;
    command.push("--input");
    command.push_as(&format!("ssh_public_key={}", key.trim()), &format!("ssh_public_key=\"$(cat {path})\""));
    Ok(())
}
