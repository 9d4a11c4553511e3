//! Arguments, settings, one file per command, and what the user sees of them.

mod app;
mod args;
mod command;
#[cfg(feature = "sim")]
mod demo;
mod diagnostics;
mod error;
mod exit;
mod hint;
mod inputs;
mod interrupt;
mod journal_check;
mod log;
mod meant;
mod phrase;
mod reporter;
mod runs;
mod schedule;
#[cfg(feature = "sim")]
mod scratch;
mod session;
mod settings;
mod summary;
mod ui;
mod workflows;

pub(crate) use app::main;
pub(crate) use error::Failure;
pub(crate) use settings::{AzureSettings, Settings};
