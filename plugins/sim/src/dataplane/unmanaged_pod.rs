use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// A pod with an address of its own, in a world without a cluster. A cluster's pods are taken from the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanagedPod {
    /// Its name.
    pub name: String,
    /// The node that it runs on: a machine, or an instance of a cluster's scale set by its host name.
    pub node: String,
    /// Its address.
    pub ip: Ipv4Addr,
}
