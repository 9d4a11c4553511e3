//! Azure provider: a client of Azure Resource Manager (ARM) and the resources of a router.
//!
//! * `client`: requests, long-running operations that a later process continues, ids, names.
//! * `arm_resource`: the frame that makes a desired state an action.
//! * `actions`: one file each.
//! * `checks`: read-only tests of the environment, one file each.
//!
//! The client is not a generated one: those poll long-running operations wrongly, cannot resume
//! one, send no `If-Match` and do not escape names. Their models build the bodies of new resources.
//! An existing resource is edited as the JSON that ARM returned, so that no property is lost that
//! the models do not know.

mod actions;
mod arm_resource;
mod checks;
mod client;
mod deployment_names;
mod machine;
mod owned_resources;
mod permission;
mod register;
mod route_owner;
mod settings;
mod subscription_target;

pub use client::NameError;
pub use register::register;
pub use settings::{ArmCredential, ArmSettings, ArmSettingsError, NO_SUBSCRIPTION, PUBLIC_ENDPOINT, SECRET_VARIABLES};

#[cfg(feature = "fuzzing")]
pub mod fuzzing;
