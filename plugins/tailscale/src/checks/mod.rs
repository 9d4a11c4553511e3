//! What can be looked at before anything is run: one file a check.

mod credential;
mod tailnet;

pub(crate) use credential::Credential;
pub(crate) use tailnet::Tailnet;
