//! Changes by other parties: before the routes of a deployment are synchronised, and between the
//! end of a process and the moment at which its run is resumed.

use serde_json::{Value, json};
use stargate_sim::{Sim, tailnet::NodeId};

use crate::{
    inputs::{AKS_ROUTER, DC_GROUP, DC_ROUTER, NODE_GROUP},
    outside,
    stage::Stage,
};

/// Change by another party while no process acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drift {
    /// AKS replaces a node: the new one has another name, address and pod CIDR.
    NodeReplaced,
    /// AKS adds a node.
    NodeAdded,
    /// A later run synchronises the routes.
    LaterSync,
    /// A later run of the same workflow, with other inputs.
    LaterRun,
    /// Another party sends a managed route to another next hop.
    RouteChanged,
    /// A virtual machine is deleted.
    MachineDeleted,
    /// A router's device is registered again under another node id, without approved routes.
    DeviceRegisteredAgain,
    /// The approval of a router's routes is withdrawn.
    ApprovalWithdrawn,
    /// A worker is registered, whose machine exists.
    WorkerRegistered,
    /// A site and its machines are deleted from the cluster's objects.
    SiteRemoved,
    /// All access tokens expire, and bootstrap tokens are deleted.
    SecretsRotated,
    /// A custom resource definition is changed.
    CrdChanged,
    /// The cluster role of the synchronisation is deleted.
    RoleDeleted,
    /// A NIC does not forward packets any more.
    ForwardingOff,
    /// The kernel of a router does not forward packets any more.
    KernelForwardingOff,
}

/// All drifts, each of which is crossed with each kill point.
pub(crate) const ALL: [Drift; 15] = [
    Drift::NodeReplaced,
    Drift::NodeAdded,
    Drift::LaterSync,
    Drift::LaterRun,
    Drift::RouteChanged,
    Drift::MachineDeleted,
    Drift::DeviceRegisteredAgain,
    Drift::ApprovalWithdrawn,
    Drift::WorkerRegistered,
    Drift::SiteRemoved,
    Drift::SecretsRotated,
    Drift::CrdChanged,
    Drift::RoleDeleted,
    Drift::ForwardingOff,
    Drift::KernelForwardingOff,
];

/// Worker that [`Drift::WorkerRegistered`] registers. No workflow of the test is about it.
const REGISTERED: &str = "/apis/stargate.io/v1alpha1/servers/worker-2";

impl Drift {
    /// Prepares the world for the drift, before the run that is killed: a worker that will be
    /// registered must not be registered yet. Returns what [`Self::apply`] needs.
    pub(crate) async fn prepare(self, stage: &Stage) -> Option<Value> {
        if self != Self::WorkerRegistered {
            return None;
        }
        let server = find_server(&stage.sim, "worker-2").await;
        let may_be_missing = stage.workflow_name().starts_with("provision-");
        assert!(server.is_some() || may_be_missing, "the worker is registered");
        if server.is_some() {
            outside::delete(&stage.sim, REGISTERED).await;
        }
        server
    }

    /// Changes the world. What does not exist yet is not changed.
    ///
    /// # Errors
    ///
    /// The status of a later run that failed.
    pub(crate) async fn apply(self, stage: &Stage, prepared: Option<Value>) -> Result<(), String> {
        let sim = &stage.sim;
        let (router, group) = router_of(stage);
        match self {
            Self::NodeReplaced => drop(outside::replace_aks_node(sim).await),
            Self::NodeAdded => {
                let node = json!({ "name": "aks-nodepool1-41954725-vmss000008", "address": "10.224.0.10", "pod_cidr": "10.244.8.0/24" });
                outside::add_aks_nodes(sim, &node).await;
            }
            Self::LaterSync => drop(stage.run_other("sync-pod-routes").await),
            Self::LaterRun => stage.run_later().await?,
            Self::RouteChanged => change_route(sim).await,
            Self::MachineDeleted => outside::delete_machine(sim, group, router).await,
            Self::DeviceRegisteredAgain => register_again(sim, router),
            Self::ApprovalWithdrawn => withdraw(sim, router),
            Self::WorkerRegistered => {
                if let Some(server) = prepared {
                    outside::create(sim, REGISTERED.rsplit_once('/').unwrap().0, &server).await;
                }
            }
            Self::SiteRemoved => remove_site(sim).await,
            Self::SecretsRotated => {
                stage.post("tokens/expire", json!({})).await;
                delete_bootstrap_tokens(sim).await;
            }
            Self::CrdChanged => change_crd(sim).await,
            Self::RoleDeleted => {
                outside::delete(sim, "/apis/rbac.authorization.k8s.io/v1/clusterroles/stargate-sync").await;
            }
            Self::ForwardingOff => turn_forwarding_off(sim, group, router).await,
            Self::KernelForwardingOff => {
                if sim.shared().peek().hosts.machines.contains_key(router) {
                    outside::stop_forwarding(sim, router);
                }
            }
        }
        Ok(())
    }

    /// True if the run cannot be resumed, because the later run has held its lock.
    pub(crate) fn overtakes(self, workflow: &str) -> bool {
        self == Self::LaterRun || self == Self::LaterSync && !workflow.starts_with("repave-")
    }
}

/// Returns the router that the workflow creates or uses, and its resource group.
fn router_of(stage: &Stage) -> (&'static str, &'static str) {
    if ["provision-aks-router", "deploy"].contains(&stage.workflow_name()) {
        (AKS_ROUTER, NODE_GROUP)
    } else {
        (DC_ROUTER, DC_GROUP)
    }
}

/// Sends the first managed route of the nodes' subnet to another next hop, if there is one.
async fn change_route(sim: &Sim) {
    let path = outside::network(sim, NODE_GROUP, "routeTables/stargate-workers-rt");
    let Some(table) = outside::find_azure(sim, &path).await else { return };
    let Some(route) = table["properties"]["routes"].get(0) else { return };
    let name = route["name"].as_str().unwrap();
    let mut body = json!({ "properties": route["properties"] });
    body["properties"]["nextHopIpAddress"] = "10.237.0.9".into();
    let path = outside::network(sim, NODE_GROUP, &format!("routeTables/stargate-workers-rt/routes/{name}"));
    outside::change_azure(sim, "PUT", &path, body).await;
}

/// Gives the device of the machine another node id, as `tailscale logout` and `tailscale up` do.
fn register_again(sim: &Sim, machine: &str) {
    let mut world = sim.shared().lock();
    let world = &mut *world;
    let Some(machine) = world.hosts.machines.get_mut(machine) else { return };
    let Some(node) = machine.tailscaled.node.clone() else { return };
    let device = world.tailnet.devices.values_mut().find(|device| device.node_id == node).unwrap();
    device.node_id = NodeId("nAgainCNTRL".into());
    device.enabled.clear();
    machine.tailscaled.node = Some(device.node_id.clone());
}

/// Withdraws the approval of the routes of a router, if it is in the tailnet.
fn withdraw(sim: &Sim, router: &str) {
    if sim.shared().peek().tailnet.devices.values().any(|device| device.hostname == router) {
        outside::withdraw_approval(sim, router);
    }
}

/// Returns a `Server` object as it is created, if its kind and the object exist.
async fn find_server(sim: &Sim, name: &str) -> Option<Value> {
    let definitions = outside::list(sim, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions").await;
    if !definitions.iter().any(|object| object["metadata"]["name"] == "servers.stargate.io") {
        return None;
    }
    let servers = outside::list(sim, "/apis/stargate.io/v1alpha1/servers").await;
    let found = servers.into_iter().find(|server| server["metadata"]["name"] == name)?;
    let (version, kind) = (&found["apiVersion"], &found["kind"]);
    Some(json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name }, "spec": found["spec"] }))
}

async fn remove_site(sim: &Sim) {
    for server in [DC_ROUTER, "worker-1", "worker-2"] {
        outside::delete(sim, &format!("/apis/stargate.io/v1alpha1/servers/{server}")).await;
    }
    outside::delete(sim, "/apis/stargate.io/v1alpha1/sites/dc").await;
}

async fn delete_bootstrap_tokens(sim: &Sim) {
    let secrets = "/api/v1/namespaces/kube-system/secrets";
    for secret in outside::list(sim, secrets).await {
        let name = secret["metadata"]["name"].as_str().unwrap();
        if name.starts_with("bootstrap-token-") {
            outside::delete(sim, &format!("{secrets}/{name}")).await;
        }
    }
}

/// Removes the columns that `kubectl get servers` prints, if the definition exists.
async fn change_crd(sim: &Sim) {
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let is_ours = |object: &&Value| object["metadata"]["name"] == "servers.stargate.io";
    let Some(found) = outside::list(sim, definitions).await.iter().find(is_ours).cloned() else { return };
    let mut versions = found["spec"]["versions"].clone();
    versions[0].as_object_mut().unwrap().remove("additionalPrinterColumns");
    let changes = json!({ "spec": { "versions": versions } });
    outside::patch(sim, &format!("{definitions}/servers.stargate.io"), &changes).await;
}

async fn turn_forwarding_off(sim: &Sim, group: &str, machine: &str) {
    let nic = format!("{machine}-nic");
    if outside::find_azure(sim, &outside::network(sim, group, &format!("networkInterfaces/{nic}"))).await.is_some() {
        outside::turn_forwarding_off(sim, group, &nic).await;
    }
}

/// Causes drift on every surface that decides about packets of pods.
pub(crate) async fn everywhere(sim: &Sim) {
    outside::delete_route(sim, NODE_GROUP, "stargate-workers-rt").await;
    outside::leave_stale_route(sim, "10.99.0.0/16").await;
    outside::turn_forwarding_off(sim, DC_GROUP, "worker-1-nic").await;
    outside::turn_forwarding_off(sim, NODE_GROUP, &format!("{AKS_ROUTER}-nic")).await;
    outside::replace_aks_node(sim).await;
    outside::blank_cilium_node(sim, "worker-1").await;
    outside::withdraw_approval(sim, DC_ROUTER);
    outside::stop_forwarding(sim, DC_ROUTER);
    outside::stop_forwarding(sim, "worker-2");
}
