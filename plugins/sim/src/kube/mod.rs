//! Kubernetes API of the simulated world: a cluster of AKS with the controllers of its control
//! plane and the agents of its nodes.
//!
//! A request passes through `http` (connection), `identity` (user), `dispatch` (decision) and
//! `commit` (changes). The controllers run after each write. Replies, refusals and objects follow a
//! recorded AKS cluster of version 1.33.

mod access;
mod admission;
mod apply;
mod approval;
mod authority;
mod commit;
mod control;
mod control_plane;
mod controllers;
mod create;
mod credentials;
mod decode;
mod defaults;
mod delete;
mod discovery;
mod dispatch;
mod effect;
mod eviction;
mod exec;
mod exec_request;
mod exec_socket;
mod field_validation;
mod fields;
mod http;
mod identity;
mod json;
mod jsonpath;
mod kubeconfig;
mod kubelet;
mod log;
mod managed;
mod network_policy;
mod new_object;
mod openapi;
mod patch;
mod patch_request;
mod protobuf;
mod rbac;
mod read;
mod request;
mod resource;
mod review;
mod running;
mod scale;
mod schema;
mod seed;
mod seed_roles;
mod selector;
mod services;
mod shape;
mod state;
mod status;
mod strategic;
mod table;
mod table_columns;
mod token;
mod update;
mod validate;
mod versions;
mod watch;
mod wire;

pub(crate) use commit::edit as edit_object;
pub(crate) use control::control;
pub(crate) use control_plane::advance_jobs;
pub use control_plane::{kubelet_step, kubelet_stopped};
pub(crate) use credentials::user;
pub(crate) use effect::FieldEdit;
pub(crate) use http::router;
pub(crate) use kubeconfig::{admin_access, open};
pub(crate) use log::KUBELET_PORT;
pub(crate) use network_policy::{NetworkPolicies, PolicyDirection, PolicyFlow};
pub(crate) use running::{RunningPod, WebServer, kubelet_at, running_pods, web_server};
pub use seed::{AksNode, add_aks_node, add_aks_nodes, remove_node};
pub(crate) use seed::{DNS, aks};
pub(crate) use services::{BackendError, backend};
pub(crate) use state::Authority;
pub use state::{Kube, Kubelet, KubeletKeys, KubeletState, NodeFacts, User};
