//! Commands of the program, one file each.

pub(crate) mod actions;
pub(crate) mod approve;
pub(crate) mod attach;
pub(crate) mod cancel;
pub(crate) mod completions;
#[cfg(feature = "sim")]
pub(crate) mod demo;
pub(crate) mod doctor;
mod doctor_hosts;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod logs;
pub(crate) mod plan;
mod plan_view;
pub(crate) mod prune;
pub(crate) mod resolve;
pub(crate) mod resume;
pub(crate) mod retry;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod schema;
#[cfg(feature = "sim")]
pub(crate) mod sim;
pub(crate) mod ssh;
pub(crate) mod status;
pub(crate) mod trace;
pub(crate) mod up;
pub(crate) mod validate;
pub(crate) mod verify;
pub(crate) mod why;
pub(crate) mod workflows;

mod answers;
mod forecast;
mod job_runner;
mod reviewed;
mod run_entries;
mod view_context;
