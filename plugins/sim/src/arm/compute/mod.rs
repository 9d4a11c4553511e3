//! `Microsoft.Compute`: virtual machines, disks and scale sets.

mod disk;
mod image;
mod instance_view;
mod machine;
mod power;
mod show;
mod size;

pub(crate) use disk::{check_unused, prepare_disk};
pub(crate) use image::image;
pub(crate) use instance_view::{instance_view, scale_set_instance_view};
pub(crate) use machine::{after_delete, count, finish_machine, prepare_machine, rewrite};
pub(crate) use power::{finish_power, machine_action};
pub(crate) use show::{computed, describe_identity, with_limits};
pub(crate) use size::{sizes, usages};
