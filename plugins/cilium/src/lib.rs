//! Cilium actions: the pod blocks of `CiliumNode` objects.
//!
//! With delegated address management, as AKS runs it, Cilium's agent leaves `spec.ipam.podCIDRs` to others. What we put
//! there by server-side apply under our own field manager survives the agent; a `CiliumNode` that was deleted comes back
//! without it. A provider never uses another provider, so the few lines that speak to the API server are here again.

mod api;
mod failure;
mod node;
mod node_ensure;
mod nodes_ensure;
mod permission;
mod prefix;
mod register;
mod settings;

pub use register::register;
pub use settings::CiliumSettings;
