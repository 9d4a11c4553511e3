//! Cilium actions: the pod CIDRs of `CiliumNode` objects, and the settings of the agents.
//!
//! With delegated address management, as AKS runs it, Cilium's agent does not write
//! `spec.ipam.podCIDRs`. The agent keeps what is applied there server-side under a field manager of
//! our own, but a `CiliumNode` that was deleted is created again without it.
//!
//! The actions call the cluster through [`stargate_kubernetes_client`], as the `kubernetes.*`
//! actions do. They use no action of another provider.

mod actions;
mod cilium_node;
mod configuration;
mod register;

pub use register::register;
