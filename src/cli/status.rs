//! Status of a deployment, from the forecast of a synchronization and from the journal.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

/// Limit of the routes in a route table (azure-subscription-service-limits).
const MAX_ROUTES: usize = 400;

/// State of a deployment, as `stargate status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DeploymentStatus {
    /// Name of the cluster.
    pub(crate) cluster: String,
    /// Version of the cluster's control plane.
    pub(crate) version: String,
    /// Nodes that AKS manages.
    pub(crate) nodes: usize,
    /// Those of them that are ready.
    pub(crate) nodes_ready: usize,
    pub(crate) sites: Vec<SiteStatus>,
    pub(crate) routers: Vec<RouterStatus>,
    pub(crate) workers: Vec<WorkerStatus>,
    pub(crate) route_tables: Vec<TableStatus>,
    pub(crate) surfaces: SurfaceStatus,
}

/// State of a datacenter site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SiteStatus {
    pub(crate) name: String,
    pub(crate) fabric: String,
    pub(crate) subnet: String,
    pub(crate) router: String,
    pub(crate) workers: usize,
    /// Prefix from which the pod CIDRs of workers are allocated.
    pub(crate) pod_block: String,
    /// Number of further pod CIDRs in it; `None` without a worker, whose size is that of all.
    pub(crate) free_pod_cidrs: Option<u64>,
}

/// State of a router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RouterStatus {
    pub(crate) name: String,
    pub(crate) site: String,
    /// True if its device has a connection to the coordination server; `None` if it has no device.
    pub(crate) connected: Option<bool>,
    /// Version of tailscaled; `None` if it could not be read.
    pub(crate) version: Option<String>,
    /// End of the device's key; `None` if it does not expire.
    pub(crate) key_expires: Option<String>,
    /// Approved routes of its device.
    pub(crate) routes: Vec<String>,
}

/// State of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct WorkerStatus {
    pub(crate) name: String,
    pub(crate) site: String,
    pub(crate) pod_cidr: String,
    /// True if its node is ready; `None` if it has not joined.
    pub(crate) ready: Option<bool>,
    /// Version of its kubelet.
    pub(crate) version: Option<String>,
}

/// Use of a route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TableStatus {
    pub(crate) name: String,
    pub(crate) routes: usize,
    pub(crate) limit: usize,
}

/// Agreement of the surfaces that pod packets cross.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SurfaceStatus {
    /// Number of differences that a synchronization would remove.
    pub(crate) differences: usize,
    /// Steps of a synchronization with differences, each with their texts.
    pub(crate) changes: BTreeMap<String, Vec<String>>,
    /// Steps whose surface could not be read, or is blocked by another party, with the reason.
    pub(crate) failures: BTreeMap<String, String>,
}

/// Outputs of the steps of a synchronization that were previewed, by the name of the step.
pub(crate) struct StepOutputs(pub(crate) BTreeMap<String, Value>);

impl StepOutputs {
    fn text(&self, step: &str, field: &str) -> Option<String> {
        self.0.get(step)?.get(field)?.as_str().map(str::to_owned)
    }

    fn list(&self, step: &str, field: &str) -> &[Value] {
        let list = self.0.get(step).and_then(|output| output.get(field)).and_then(Value::as_array);
        list.map_or(&[], Vec::as_slice)
    }
}

impl DeploymentStatus {
    /// Returns the status in the outputs of a synchronization's steps.
    ///
    /// What could not be read is missing, and in `surfaces`.
    pub(crate) fn new(outputs: &StepOutputs, surfaces: SurfaceStatus) -> Self {
        let nodes = outputs.list("nodes", "nodes");
        let managed: Vec<&Value> = nodes.iter().filter(|node| node["managed"] == true).collect();
        let inventory = |field| outputs.list("inventory", field).iter();
        Self {
            cluster: outputs.text("cluster", "name").unwrap_or_default(),
            version: outputs.text("cluster", "kubernetes_version").unwrap_or_default(),
            nodes: managed.len(),
            nodes_ready: managed.iter().filter(|node| node["ready"] == true).count(),
            sites: inventory("sites").map(site).collect(),
            routers: inventory("routers").map(|router| router_status(router, outputs)).collect(),
            workers: inventory("workers").map(|worker| worker_status(worker, nodes)).collect(),
            route_tables: route_tables(outputs),
            surfaces,
        }
    }

    /// True if each machine of the deployment works.
    pub(crate) fn is_healthy(&self) -> bool {
        self.nodes == self.nodes_ready
            && self.routers.iter().all(|router| router.connected == Some(true))
            && self.workers.iter().all(|worker| worker.ready != Some(false))
    }
}

fn string(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

fn site(site: &Value) -> SiteStatus {
    let workers = site["workers"].as_array().map_or(&[][..], Vec::as_slice);
    SiteStatus {
        name: string(site, "name"),
        fabric: string(site, "fabric"),
        subnet: string(site, "subnet"),
        router: string(&site["router"], "name"),
        workers: workers.len(),
        pod_block: string(site, "pod_block"),
        free_pod_cidrs: free_pod_cidrs(&string(site, "pod_block"), workers),
    }
}

/// Number of prefixes that are left in a site pod CIDR, of the size that its workers have.
fn free_pod_cidrs(pod_block: &str, workers: &[Value]) -> Option<u64> {
    let length = |prefix: &str| prefix.split_once('/')?.1.parse::<u32>().ok();
    let size = workers.iter().filter_map(|worker| length(worker["pod_cidr"].as_str()?)).max()?;
    let all = 1_u64.checked_shl(size.checked_sub(length(pod_block)?)?)?;
    Some(all.saturating_sub(workers.len() as u64))
}

fn router_status(router: &Value, outputs: &StepOutputs) -> RouterStatus {
    let name = string(router, "name");
    let device = outputs.list("devices", "devices").iter().find(|device| device["node_id"] == router["node_id"]);
    let enabled = device.and_then(|device| device["enabled"].as_array());
    RouterStatus {
        site: string(router, "site"),
        connected: device.and_then(|device| device["connected"].as_bool()),
        version: outputs.text(&format!("router_connected[{name}]"), "version"),
        key_expires: device.and_then(|device| device["key_expires"].as_str().map(str::to_owned)),
        routes: enabled.into_iter().flatten().filter_map(|route| route.as_str().map(str::to_owned)).collect(),
        name,
    }
}

fn worker_status(worker: &Value, nodes: &[Value]) -> WorkerStatus {
    let node = nodes.iter().find(|node| node["name"] == worker["name"]);
    WorkerStatus {
        name: string(worker, "name"),
        site: string(worker, "site"),
        pod_cidr: string(worker, "pod_cidr"),
        ready: node.and_then(|node| node["ready"].as_bool()),
        version: node.map(|node| string(node, "kubelet_version")),
    }
}

/// Route tables of the inspected subnets, each once.
fn route_tables(outputs: &StepOutputs) -> Vec<TableStatus> {
    let is_subnet = |step: &&String| step.as_str() == "nodes_subnet" || step.as_str() == "router_subnet";
    let of_cluster = outputs.0.keys().filter(is_subnet);
    let of_sites = outputs.0.keys().filter(|step| step.starts_with("dc_subnet["));
    let tables = of_cluster.chain(of_sites).filter_map(|step| outputs.0[step]["route_table"].as_object());
    let status = |table: &Map<String, Value>| TableStatus {
        name: table["name"].as_str().unwrap_or_default().to_owned(),
        routes: table["routes"].as_array().map_or(0, Vec::len),
        limit: MAX_ROUTES,
    };
    let mut seen = BTreeSet::new();
    tables.map(status).filter(|table| seen.insert(table.name.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outputs() -> StepOutputs {
        let outputs = json!({
            "cluster": {"name": "c", "kubernetes_version": "1.33.5"},
            "nodes": {"nodes": [
                {"name": "aks-0", "managed": true, "ready": true, "kubelet_version": "v1.33.5"},
                {"name": "w", "managed": false, "ready": false, "kubelet_version": "v1.33.4"},
            ]},
            "inventory": {
                "sites": [{"name": "dc", "fabric": "azure", "subnet": "10.50.1.0/24", "router": {"name": "r"},
                    "pod_block": "10.244.64.0/18", "workers": [{"pod_cidr": "10.244.64.0/24"}]}],
                "routers": [{"name": "r", "site": "dc", "node_id": "n1"}],
                "workers": [{"name": "w", "site": "dc", "pod_cidr": "10.244.64.0/24"}],
            },
            "devices": {"devices": [{"node_id": "n1", "connected": true, "enabled": ["10.244.64.0/18"]}]},
            "router_connected[r]": {"version": "1.100.0"},
            "nodes_subnet": {"route_table": {"name": "t", "routes": [{}, {}]}},
            "dc_subnet[dc]": {"route_table": null},
        });
        let Value::Object(outputs) = outputs else { unreachable!("it is an object") };
        StepOutputs(outputs.into_iter().collect())
    }

    #[test]
    fn the_status_is_that_of_the_outputs() {
        let status = DeploymentStatus::new(&outputs(), SurfaceStatus::default());
        assert_eq!((status.nodes, status.nodes_ready, status.is_healthy()), (1, 1, false));
        assert_eq!(status.sites[0].free_pod_cidrs, Some(63));
        let router = &status.routers[0];
        assert_eq!((router.connected, router.version.as_deref()), (Some(true), Some("1.100.0")));
        assert_eq!((status.workers[0].ready, status.workers[0].version.as_deref()), (Some(false), Some("v1.33.4")));
        assert_eq!(status.route_tables, [TableStatus { name: "t".into(), routes: 2, limit: 400 }]);
    }

    #[test]
    fn what_was_not_read_is_missing() {
        let status = DeploymentStatus::new(&StepOutputs(BTreeMap::new()), SurfaceStatus::default());
        assert_eq!((status.nodes, status.sites.len(), status.routers.len()), (0, 0, 0));
        assert_eq!(free_pod_cidrs("10.0.0.0/18", &[]), None);
        assert_eq!(free_pod_cidrs("odd", &[json!({"pod_cidr": "10.0.0.0/24"})]), None);
    }
}
