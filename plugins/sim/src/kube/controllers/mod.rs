//! Controllers of the control plane, and the agents of the nodes. A controller only returns
//! effects; `commit` applies them.

mod agents;
mod certificates;
mod garbage;
mod jobs;
mod namespaces;
mod nodes;
mod pods;
mod workloads;

pub(crate) use jobs::is_due as is_job_due;
pub(crate) use nodes::node_lost;

use jiff::Timestamp;
use serde_json::Value;

use super::effect::Effect;
use super::state::Kube;

/// Component of a cluster that changes objects without a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Controller {
    /// Function that returns the objects with pending work.
    pub(crate) due: fn(&Kube, Timestamp) -> Vec<Value>,
    /// Function that returns the changes that bring one object closer to its desired state; empty
    /// if it is reached.
    pub(crate) reconcile: fn(&Kube, &Value, Timestamp) -> Vec<Effect>,
}

/// Controllers in the order in which each round runs them.
pub(crate) const CONTROLLERS: [Controller; 13] = [
    Controller { due: namespaces::due, reconcile: namespaces::reconcile },
    Controller { due: certificates::due, reconcile: certificates::reconcile },
    Controller { due: nodes::due, reconcile: nodes::reconcile },
    Controller { due: nodes::lost_kubelets, reconcile: nodes::forget_kubelet },
    Controller { due: workloads::deployments, reconcile: workloads::roll_out },
    Controller { due: workloads::replica_sets, reconcile: workloads::replicate },
    Controller { due: workloads::daemon_sets, reconcile: workloads::spread },
    Controller { due: jobs::jobs, reconcile: jobs::reconcile },
    Controller { due: workloads::budgets, reconcile: workloads::count_budget },
    Controller { due: pods::due, reconcile: pods::reconcile },
    Controller { due: agents::nodes_without_agent, reconcile: agents::start },
    Controller { due: agents::pods_without_endpoint, reconcile: agents::describe_pod },
    Controller { due: garbage::due, reconcile: garbage::collect },
];
