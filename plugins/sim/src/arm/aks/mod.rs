//! `Microsoft.ContainerService`: clusters, their pools and node groups.

mod cluster;
mod credentials;
mod instance;
mod node_group;
mod types;

pub(crate) use cluster::new_cluster;
pub(crate) use credentials::{action, versions};
pub(crate) use instance::{
    NewInstance, index_of, instance_count, instance_named, new_instance, scale_set_of, subnet_of,
};
pub(crate) use node_group::{ClusterNames, node_group};
pub(crate) use types::{AGENT_POOL, MANAGED_CLUSTER};
