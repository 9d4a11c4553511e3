//! Properties of `Node` objects, and rules about them.

mod authority;
mod facts;
mod resource_group;
mod version;

pub(crate) use authority::check_authority;
pub(crate) use facts::{
    CORDONED_BY, KubeletHealth, cordoned_by, has_configuration, internal_ip, is_cordoned, is_managed, is_ready,
    kubelet_health, kubelet_version, labels, missing_node_error, not_ready_reason, pod_cidr_of_cilium_node,
    pod_cidr_of_network_config, pod_cidr_of_node, ready_since,
};
pub(crate) use resource_group::check_resource_group;
pub(crate) use version::check_version_skew;
