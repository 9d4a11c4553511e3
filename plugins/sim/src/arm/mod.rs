//! Azure Resource Manager: a store of resources with the behaviour of each type, and both kinds of long-running operation.

mod aks;
mod announce;
mod call;
mod compute;
mod deployment;
mod dispatch;
mod drift;
mod error;
mod fabric;
mod group;
mod http;
mod instance;
mod json;
mod kind;
mod network;
mod operation;
mod path;
mod render;
mod resource;
mod store;
mod subscription;
mod version;
mod write;

pub(crate) use aks::{ClusterNames, build_cluster, place_cluster};
pub(crate) use announce::announcements;
pub(crate) use drift::{Wanted, association, nic_forwarding, route};
pub(crate) use error::ArmError;
pub(crate) use fabric::{Fabric, FabricNic, FabricSubnet, fabric, has_power};
pub(crate) use http::{handle, third_party};
pub(crate) use instance::{add_instance, remove_instance};
pub(crate) use operation::{OperationFault, expire_operations, next_due, settle};
pub use store::Arm;
pub(crate) use store::{ClusterAccess, Quota, uuid};
