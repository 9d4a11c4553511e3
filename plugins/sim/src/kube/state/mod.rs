//! Data of a simulated cluster. Contains no behaviour: behaviours read it and return effects.

mod authority;
mod cluster;
mod kubelet;
mod user;

pub(crate) use authority::Authority;
pub use cluster::Kube;
pub(crate) use cluster::ObjectChange;
pub(crate) use kubelet::PendingCertificate;
pub use kubelet::{Kubelet, KubeletKeys, KubeletState, NodeFacts};
pub use user::User;
