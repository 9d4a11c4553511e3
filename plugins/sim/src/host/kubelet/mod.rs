//! Kubelet of a simulated machine: a unit whose program comes from the mirror of the world.
//!
//! It reads the same files as a real kubelet (command line, configuration, kubeconfigs,
//! configuration of the runtime and the network), keeps the same files (certificates and a
//! kubeconfig), and sends the same requests to the simulated cluster. If something is missing or
//! not valid it also behaves like a real one: it exits and is started again, or it runs and its
//! node is not ready.

mod check;
mod cni;
mod command_line;
mod configuration;
mod credentials;
mod life;

pub(super) use check::KubeletCheck;
#[cfg(test)]
pub(crate) use command_line::version_of;
pub(crate) use life::advance;

/// Name of the kubelet's unit.
pub(super) const UNIT: &str = "kubelet.service";
