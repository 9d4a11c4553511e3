//! Azure actions: a thin ARM client and the resources a router needs.
//!
//! The client is our own: the generated ones poll long-running operations wrongly, cannot resume one, send no `If-Match` and do
//! not escape names. Their models are used for the bodies of new resources. An existing resource is always edited as the JSON
//! that ARM gave, so that no property is lost that the models do not know.

mod arm;
mod body;
mod checkpoint;
mod checks;
mod cloud_config;
mod failure;
mod forwarding_sync;
mod host_key;
mod live;
mod locks;
mod managed_cluster;
mod name;
mod nat_gateway;
mod network;
mod network_interface;
mod operation;
mod permission;
mod prefix;
mod public_ip;
mod register;
mod resource_group;
mod resource_id;
mod route;
mod route_table;
mod routes_sync;
mod security_group;
mod settings;
mod subnet;
mod subnet_association;
mod token;
mod virtual_machine;
mod virtual_machine_delete;
mod virtual_network;

pub use name::NameError;
pub use register::register;
pub use settings::{ArmSettings, Credential, NO_SUBSCRIPTION, PUBLIC_ENDPOINT, SettingsError};

use arm::ArmClient;
use resource_id::ResourceId;
