use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arm::store::resource_type::Family;

/// Long-running operation, in progress or finished.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredOperation {
    pub(crate) id: String,
    /// Family whose protocol the operation follows.
    pub(crate) family: Family,
    /// Namespace in the URL of the operation; empty for the deletion of a group.
    pub(crate) namespace: String,
    /// Location in the URL of the operation.
    pub(crate) location: String,
    /// API version in the URL of the operation; AKS has one of its own.
    pub(crate) api_version: String,
    /// Id of the resource, or name of the group.
    pub(crate) target: String,
    /// Lower-case id of the top-level resource that admits no other write meanwhile.
    pub(crate) root: String,
    pub(crate) work: OperationWork,
    /// Time of the request that started it.
    pub(crate) started: Timestamp,
    /// Time at which the operation finishes.
    pub(crate) due: Timestamp,
    pub(crate) status: OperationStatus,
    /// Value of `properties.output` of a finished disk operation.
    pub(crate) output: Option<Value>,
    /// Error code set by a fault: the operation fails with it when it is due.
    pub(crate) fails: Option<String>,
    /// True if the control API expired the operation: its URL answers 404.
    pub(crate) expired: bool,
}

/// Effect of an operation when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OperationWork {
    /// The resource becomes `Succeeded`.
    Write { created: bool },
    /// The resource is removed.
    Delete,
    /// The machine's power changes.
    Power(PowerAction),
    /// The group is removed with everything in it.
    DeleteGroup,
}

/// Change of a machine's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PowerAction {
    Start,
    Restart,
    Stop,
    Deallocate,
    Redeploy,
}

/// Status of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OperationStatus {
    InProgress,
    Succeeded,
    Failed,
}
