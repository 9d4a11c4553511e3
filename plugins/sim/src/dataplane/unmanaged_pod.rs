use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Pod with an address of its own, in a world without a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanagedPod {
    /// Name of the pod.
    pub name: String,
    /// Node that it runs on: a machine, or an instance of a cluster's scale set by its host name.
    pub node: String,
    /// Address of the pod.
    pub ip: Ipv4Addr,
}
