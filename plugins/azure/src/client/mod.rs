//! Client of Azure Resource Manager (ARM): requests, long-running operations, ids and names.

mod arm;
mod arm_object;
mod az_cli;
pub(crate) mod body;
mod checkpoint;
mod failure;
mod locks;
mod name;
mod operation;
mod owner;
mod request;
mod resource_id;
mod resource_type;
mod token;

pub use name::NameError;

pub(crate) use arm::ArmClient;
pub(crate) use arm_object::ArmObject;
pub(crate) use body::body;
pub(crate) use checkpoint::Checkpoint;
#[cfg(feature = "fuzzing")]
pub(crate) use failure::check_any_answer;
pub(crate) use name::{ClusterName, GroupName, Location, NetworkName, Owner, SubscriptionId, VmName, VnetName};
pub(crate) use owner::with_owner;
pub(crate) use request::Precondition;
pub(crate) use resource_id::ResourceId;
pub(crate) use resource_type::{RESOURCE_GROUP, ResourceType};
