//! Client of the Kubernetes API, shared by the providers that call it. It contains no actions.
//!
//! The `kube` crate reads the kubeconfig, holds credentials and speaks TLS. Requests are built and
//! their failures classified here, because the meaning of a failure for the next attempt is decided
//! where the call is made. Retries inside `kube` are off: the engine retries.
//!
//! [`KubeClient`] guarantees:
//!
//! * One connection per process, made by the first call. Creating a client reads no file.
//! * Objects are JSON values, so that each kind of each version can be read and written.
//! * A replacement is guarded by the `resourceVersion` of the object that was read, a deletion by
//!   the object's `uid`: a resumed attempt never touches an object that was created under the same
//!   name meanwhile.
//! * Fields are owned under one field manager, [`FIELD_MANAGER`]. A conflict names the owners.
//!
//! ```
//! use stargate_kubernetes_client::{KubeClient, KubeconfigSettings, NODES, ObjectName};
//! use stargate_sdk::{ActionContext, ActionError};
//!
//! async fn has_node(client: &KubeClient, cx: &ActionContext, name: &str) -> Result<bool, ActionError> {
//!     Ok(client.get(cx, &NODES, ObjectName::cluster(name)?).await?.is_some())
//! }
//!
//! let client = KubeClient::new(KubeconfigSettings::default());
//! # let _ = (client, has_node); // no cluster answers here
//! ```

mod client;
mod connection;
mod discovery;
mod error;
mod exec;
mod exec_frames;
mod fenced;
pub mod json;
mod kind;
mod login;
mod object_ref;
mod permission;
mod request;
mod settings;

pub use client::{FIELD_MANAGER, KubeClient, KubeResponse};
pub use error::{FieldConflict, KubeError, KubeStatus, StatusCause, StatusDetails};
pub use exec::{CommandStatus, ExecCommand};
pub use kind::{
    CERTIFICATE_REQUESTS, CILIUM_CLUSTERWIDE_POLICIES, CILIUM_NODES, CILIUM_POLICIES, CONFIG_MAPS, JOBS, LEASES,
    NAMESPACES, NETWORK_POLICIES, NODE_NETWORK_CONFIGS, NODES, ObjectKind, ObjectName, ObjectPath, PODS, SECRETS,
    SERVERS, SERVICE_ACCOUNTS, SERVICES, SITES,
};
pub use login::LOGIN_FAILED;
pub use object_ref::{ObjectRef, ResolvedObject, unknown_kind_error};
pub use permission::{AUTHORITY, permission};
pub use request::{BodyFormat, KubeRequest};
pub use settings::{CLUSTER_TARGET, KubeconfigSettings};

#[cfg(feature = "fuzzing")]
pub mod fuzzing;
