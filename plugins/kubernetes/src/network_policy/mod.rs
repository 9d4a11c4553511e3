//! Network policies: which of them isolate the ends of a connection, and whether they admit it.

mod cilium;
mod peer;
mod rules;

pub(crate) use cilium::selects_endpoint;
pub(crate) use peer::{PolicyPeer, PolicyPod};
pub(crate) use rules::{PolicyDirection, PolicyEngine, PolicyFlow, denying_policies};
