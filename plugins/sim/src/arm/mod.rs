//! Azure Resource Manager: a store of resources, the behaviour of each type, and both kinds of
//! long-running operation.
//!
//! From the bottom up:
//!
//! 1. [`store`] is the state: plain data that is kept in the state file.
//! 2. `network`, `compute` and `aks` are the behaviours, one constant for each resource type. They
//!    read the store and return data: drafts, shown properties and [`behaviour::Consequences`].
//! 3. `resource_types` is the table from a type to its behaviour.
//! 4. `consequences` performs what behaviours return; `settle` finishes operations that are due.
//! 5. `write`, `read`, `delete`, `group`, `deployment`, … answer requests, `dispatch` selects among
//!    them, and `http` is the edge.

mod access;
mod aks;
mod assemble;
mod behaviour;
mod compute;
mod conditions;
mod consequences;
mod delete;
mod deployment;
mod dispatch;
mod drift;
mod error;
mod exposure;
mod fabric;
mod group;
mod http;
mod json;
mod machine_action;
mod network;
mod operation;
mod operation_poll;
mod path;
mod publish;
mod read;
mod render;
mod request;
mod resource_types;
mod retry_after;
mod scaling;
mod security_group;
mod settle;
mod store;
mod subscription;
mod version;
mod write;

pub(crate) use aks::ClusterNames;
pub(crate) use drift::{DriftRequest, association, nic_forwarding, route};
pub(crate) use error::ArmError;
pub(crate) use exposure::{CLIENT_ADDRESS, drops_ssh};
pub(crate) use fabric::{FabricNic, FabricSubnet, GroupRefusal, NetworkFabric, fabric, has_power};
pub(crate) use http::{handle, third_party};
pub(crate) use publish::unpublished_events;
pub(crate) use request::OperationFault;
pub(crate) use scaling::{add_instance, build_cluster, remove_instance};
pub(crate) use security_group::{Direction, PacketFlow};
pub use security_group::{IpProtocol, Service};
pub(crate) use settle::{expire_operations, next_due, settle};
pub use store::Arm;
pub(crate) use store::{ClusterAccess, Quota, uuid};
