use jiff::Timestamp;

use crate::arm::{ClusterNames, build_cluster};
use crate::tailnet::LOG_ROUTER;
use crate::world::World;

/// Content of a world that is opened for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scenario {
    /// An empty subscription.
    Empty,
    /// An AKS cluster with two nodes and no router, and the device of an earlier router with the
    /// same name.
    #[default]
    Log,
}

const LOCATION: &str = "canadacentral";

impl Scenario {
    /// Name of the cluster of [`Scenario::Log`], and of its group.
    pub(crate) const CLUSTER: &str = "stargate-aks-e2e-7";

    /// Creates the content of the scenario in a new world.
    pub(crate) fn populate(self, world: &mut World) {
        match self {
            Self::Empty => {}
            Self::Log => {
                let now = Timestamp::now();
                let names = ClusterNames { network: "11486953".to_owned(), pools: "41954725".to_owned() };
                build_cluster(&mut world.arm, [Self::CLUSTER, Self::CLUSTER, LOCATION], &names, now);
                crate::kube::aks(&mut world.kube, now);
                // An earlier router with this name was deleted; its device still attracts traffic.
                let routes = ["10.224.0.0/16".parse().expect("it is a prefix")];
                world.tailnet.seed_stale_device(LOG_ROUTER, &routes);
            }
        }
    }
}
