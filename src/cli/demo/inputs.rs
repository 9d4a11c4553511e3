use super::{command_line::DemoCommand, environment::DemoEnvironment};
use crate::cli::Failure;

/// Names and prefixes as in the world's scenario.
const CLUSTER: &str = "stargate-aks-e2e-7";
const ROUTER_SUBNET: &str = "10.237.0.0/24";
const DATACENTER: &str = "stargate-aks-e2e-7-dc";
/// The pods of the third worker: the third block of the datacenter's.
pub(in crate::cli) const THIRD_WORKER_POD_CIDR: &str = "10.244.66.0/24";
/// The address of this machine in a world that is on loopback: a range for documentation.
const CLIENT_ADDRESS: &str = "198.51.100.0/24";
/// A pod on each node of the cluster.
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

/// Puts the router beside the cluster.
pub(in crate::cli) fn aks_router(demo: &DemoEnvironment) -> Result<DemoCommand, Failure> {
    let router = format!("{CLUSTER}-router");
    let mut command = workflow("provision-aks-router");
    command.inputs(&[("cluster", CLUSTER), ("resource_group", CLUSTER), ("router", &router)]);
    command.inputs(&[("router_subnet", ROUTER_SUBNET), ("ssh_source", CLIENT_ADDRESS)]);
    key(demo, &mut command)?;
    Ok(command)
}

/// Builds the datacenter with that many workers.
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

/// Makes a worker a node of the cluster, with the kubelet that the world's mirror has.
pub(in crate::cli) async fn worker(demo: &DemoEnvironment, worker: u8) -> Result<DemoCommand, Failure> {
    let kubelet = demo.world.kubelet().await?;
    let mut command = workflow("repave-worker");
    command.inputs(&[("cluster", CLUSTER), ("cluster_resource_group", CLUSTER)]);
    command.inputs(&[("worker", &format!("worker-{worker}")), ("kubernetes_mirror", &kubelet.mirror)]);
    command.inputs(&[("kubelet_version", &kubelet.version), ("kubelet_sha256", &kubelet.sha256)]);
    Ok(command)
}

/// Lets a worker leave; the demonstration's pod on it is nobody's.
pub(in crate::cli) fn removal(worker: u8) -> DemoCommand {
    let mut command = workflow("remove-worker");
    command.inputs(&[("cluster", CLUSTER), ("cluster_resource_group", CLUSTER)]);
    command.inputs(&[("worker", &format!("worker-{worker}")), ("force", "true")]);
    command
}

/// Makes the routes agree.
pub(in crate::cli) fn sync() -> DemoCommand {
    let mut command = workflow("sync-pod-routes");
    command.inputs(&[("cluster", CLUSTER), ("cluster_resource_group", CLUSTER)]);
    command
}

/// Puts a pod on every node.
pub(in crate::cli) fn pods(demo: &DemoEnvironment) -> Result<DemoCommand, Failure> {
    let path = demo.write_file("pods.yaml", PODS)?;
    Ok(DemoCommand::new(&["run", "workflow", &path]))
}

fn workflow(name: &str) -> DemoCommand {
    DemoCommand::new(&["run", "workflow", name])
}

/// The public key that logs in to machines, shown as people would type it.
fn key(demo: &DemoEnvironment, command: &mut DemoCommand) -> Result<(), Failure> {
    let path = demo.world.endpoint("ssh_public_key");
    let key = std::fs::read_to_string(path)
        .map_err(|error| Failure::internal(format!("read the public key {path}: {error}")))?;
    command.push("--input");
    command.push_as(&format!("ssh_public_key={}", key.trim()), &format!("ssh_public_key=\"$(cat {path})\""));
    Ok(())
}
