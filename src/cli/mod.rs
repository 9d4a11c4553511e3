//! Command line interface: arguments, settings, commands, and all output that a user sees.

mod app;
mod args;
mod command;
mod connectivity;
#[cfg(feature = "sim")]
mod demo;
mod deployment;
mod diagnostics;
mod environment;
mod error;
mod exit;
mod final_report;
mod format;
mod hint;
mod inputs;
mod journal_check;
mod journals;
mod log;
mod plan_file;
mod planned;
mod printable;
mod questions;
mod reporter;
mod requirements;
mod runs;
mod schedule;
mod schema_text;
mod session;
mod settings;
mod shipped_run;
mod signals;
mod status;
mod text_file;
mod time_zone;
mod ui;
#[cfg(feature = "sim")]
mod work_dir;
mod workflow_text;
mod yaml_files;

pub(crate) use app::main;
pub(crate) use error::Failure;
pub(crate) use settings::{AzureSettings, Settings};
