//! The kubelet of a simulated machine: a unit whose program is one from the world's mirror.
//!
//! It reads what a real one reads (its command line, its configuration, its kubeconfigs, the runtime's and the network's
//! configuration), keeps what a real one keeps (certificates and a kubeconfig), and says to the simulated cluster what a
//! real one says. Where something is missing or wrong it behaves as a real one does: it ends and is started again, or
//! runs and is not ready.

mod cni;
mod command_line;
mod configuration;
mod credentials;
mod life;
mod looked;
mod process;

pub use process::KubeletProcess;

#[cfg(test)]
pub(crate) use command_line::version_of;
pub(crate) use life::advance;
pub(super) use looked::Looked;

/// The unit.
pub(super) const UNIT: &str = "kubelet.service";
