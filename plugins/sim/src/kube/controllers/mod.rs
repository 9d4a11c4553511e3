//! What the control plane and the nodes' agents do of their own accord, until nothing is left to do.

mod agents;
mod certificates;
mod garbage;
mod namespaces;
mod nodes;
mod pods;
mod workloads;

pub(crate) use nodes::lost;

use jiff::Timestamp;

use super::state::Kube;

/// Rounds after which something is wrong: each round moves every object on by a step, and no chain is longer than a few.
const ROUNDS: usize = 100;

/// Lets every controller act until none changes anything.
pub(crate) fn settle(kube: &mut Kube, now: Timestamp) {
    for _ in 0..ROUNDS {
        let before = kube.revision;
        namespaces::act(kube, now);
        certificates::act(kube, now);
        nodes::act(kube, now);
        workloads::act(kube, now);
        pods::act(kube, now);
        agents::act(kube, now);
        garbage::act(kube);
        if kube.revision == before {
            return;
        }
    }
    tracing::warn!("the controllers of the simulated cluster do not come to rest");
}
