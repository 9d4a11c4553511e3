//! First-boot configuration of a virtual machine: cloud-init user data and the SSH host key.

pub(crate) mod cloud_config;
mod host_key;

pub(crate) use host_key::{HostKey, without_comment};
