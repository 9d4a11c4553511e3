//! Checks of `stargate doctor`, one file each.

mod api_server;
mod cluster_objects;
mod cluster_shape;
mod kubeconfig;
mod permissions;
mod question;

pub(crate) use api_server::ApiServer;
pub(crate) use cluster_objects::ClusterObjects;
pub(crate) use cluster_shape::ClusterShape;
pub(crate) use kubeconfig::Kubeconfig;
pub(crate) use permissions::Permissions;
