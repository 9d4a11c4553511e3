//! `Microsoft.Compute`: virtual machines, disks and scale sets.

mod disk;
mod image;
mod instance_view;
mod machine;
mod power;
mod show;
mod size;
mod types;

pub(crate) use image::image;
pub(crate) use instance_view::{instance_view, scale_set_instance_view};
pub(crate) use power::finish_power;
pub(crate) use show::with_limits;
pub(crate) use size::{sizes, usages};
pub(crate) use types::{DISK, SCALE_SET, SCALE_SET_NIC, SCALE_SET_VM, VIRTUAL_MACHINE};
