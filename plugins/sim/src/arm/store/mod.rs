//! State of the simulated Azure Resource Manager: plain data, kept in the state file of the world.
//!
//! The store finds, inserts and numbers resources. It calls no behaviour of a resource type.

mod access;
mod arm;
mod cluster_access;
mod deployment;
mod group;
mod operation;
mod published;
mod quota;
mod resource;
mod resource_type;
mod uuid;

pub use arm::Arm;
pub(crate) use cluster_access::ClusterAccess;
pub(crate) use deployment::{DeploymentState, PlannedResource, PlannedState, StoredDeployment};
pub(crate) use group::StoredGroup;
pub(crate) use operation::{OperationStatus, OperationWork, PowerAction, StoredOperation};
pub(crate) use published::RoutesInForce;
pub(crate) use quota::Quota;
pub(crate) use resource::{StoredResource, group_of, name_of, parent_id, root_id};
pub(crate) use resource_type::{ALL_TYPES, ArmResourceType, Family};
pub(crate) use uuid::uuid;
