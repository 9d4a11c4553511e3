use crate::arm::aks::{cluster, node_group};
use crate::arm::behaviour::{Behaviour, always_unused, no_references, none_of_delete, none_of_write, shows_nothing};

/// Behaviour of managed clusters.
pub(crate) const MANAGED_CLUSTER: Behaviour = Behaviour {
    prepare: Some(cluster::prepare_cluster),
    show: shows_nothing,
    assemble: cluster::assemble,
    instance_view: None,
    finish: node_group::finish_cluster,
    after_delete: node_group::after_delete,
    references: no_references,
    check_unused: always_unused,
    is_synchronous: false,
    create_seconds: 240.0,
    delete_seconds: 180.0,
};

/// Behaviour of agent pools.
pub(crate) const AGENT_POOL: Behaviour = Behaviour {
    prepare: Some(|arm, target, _, properties| Ok(cluster::prepare_pool(arm, target, properties))),
    assemble: cluster::assemble_pool,
    finish: none_of_write,
    after_delete: none_of_delete,
    create_seconds: 120.0,
    delete_seconds: 60.0,
    ..MANAGED_CLUSTER
};
