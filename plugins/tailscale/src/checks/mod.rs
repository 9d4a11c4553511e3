//! The checks of `stargate doctor`, one per file.

mod credential;
mod tailnet;

pub(crate) use credential::CredentialCheck;
pub(crate) use tailnet::TailnetCheck;
