//! What can be looked at before anything is run: one file a check.

mod client;
mod config;

pub(crate) use client::Client;
pub(crate) use config::Config;
