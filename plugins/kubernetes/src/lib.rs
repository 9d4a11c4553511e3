//! Kubernetes actions: objects by server-side apply, nodes, certificate requests, the registry of
//! pod CIDRs.
//!
//! The actions call the cluster through [`stargate_kubernetes_client`]. Each action guarantees:
//!
//! * It reads before it writes, and writes only differences: a second run makes no write. The
//!   effect of a command in a pod cannot be read, so the input of `kubernetes.pod.exec` names a
//!   command that checks for it (`unless`).
//! * It changes only the object that it has read. An attempt that is resumed after a crash never
//!   touches an object that was created under the same name meanwhile.
//!
//! | folder | content |
//! |---|---|
//! | `actions` | one file for each action |
//! | `checks` | one file for each check of `stargate doctor` |
//! | `secret_sources` | one file for each scheme of secret references |
//! | the others | rules without requests, and reads and writes that several actions share |

mod actions;
mod checks;
mod cluster_target;
mod connectivity;
mod csr;
mod digest;
mod duration;
mod eviction;
mod inventory;
mod lease;
mod manifest;
mod network_policy;
mod node;
mod permission;
mod pod_cidr;
mod probe_pod;
mod register;
mod secret_sources;

pub use register::register;
