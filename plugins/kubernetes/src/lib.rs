//! Kubernetes actions: objects by server-side apply, nodes, certificate requests, the registry of pod blocks.
//!
//! kube reads the kubeconfig, holds credentials and speaks TLS; requests are made and judged here, because what a
//! failure means for the next attempt is decided where the call is made. kube's own retries are off: the engine retries.
//!
//! What every action keeps:
//!
//! * It reads first and writes only a difference, so a second run makes no write. Of what a command in a pod does, nothing
//!   can be read: `kubernetes.pod.exec` has the workflow's author name the command that looks (`unless`).
//! * An update is guarded by what was read (`resourceVersion`) and a deletion by the object's `uid`: an attempt that goes
//!   on after a crash never touches an object that took the name of the one it meant.
//! * Fields are owned under one field manager, `stargate`; whom they were taken from is told.

mod api;
mod bootstrap_token;
mod call;
mod checks;
mod client;
mod cluster_read;
mod compare;
mod condition_wait;
mod csr_approval;
mod csr_approve;
mod csr_delete;
mod csr_renew;
mod csr_request;
mod csr_rules;
mod discovery;
mod drain_plan;
mod eviction;
mod exec;
mod exec_frames;
mod failure;
mod field;
mod host;
mod inventory;
mod inventory_read;
mod kind;
mod manifest;
mod manifest_apply;
mod node_cordon;
mod node_drain;
mod node_facts;
mod node_group;
mod node_wait;
mod nodes_list;
mod object_delete;
mod object_get;
mod object_patch;
mod object_ref;
mod objects_list;
mod parameters;
mod permission;
mod pod_cidr_allocate;
mod pod_cidr_registry;
mod pod_cidr_release;
mod pod_cidr_store;
mod pod_evict;
mod pod_exec;
mod pod_probe;
mod prefix;
mod register;
mod server_read;
mod service_account_token;
mod settings;
mod timeout;
mod version;
mod worker_find;

pub use register::register;
pub use settings::KubernetesSettings;
