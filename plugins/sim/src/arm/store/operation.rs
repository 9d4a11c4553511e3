use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arm::store::resource_type::Family;

/// Something that takes time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ArmOperation {
    pub(crate) id: String,
    pub(crate) family: Family,
    pub(crate) namespace: String,
    pub(crate) location: String,
    /// What its URL says; AKS has one of its own.
    pub(crate) api_version: String,
    /// Id of the resource or name of the group.
    pub(crate) target: String,
    /// Lower-case id of the top-level resource that it occupies.
    pub(crate) root: String,
    pub(crate) work: OperationWork,
    pub(crate) started: Timestamp,
    pub(crate) due: Timestamp,
    pub(crate) status: OperationStatus,
    /// `properties.output` of a finished disk operation.
    pub(crate) output: Option<Value>,
    /// Set by a fault: it fails when it is due.
    pub(crate) fails: Option<String>,
    /// Set by the control API: its URL is 404.
    pub(crate) expired: bool,
}

/// What an operation does when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OperationWork {
    /// The resource becomes `Succeeded`.
    Write { created: bool },
    /// The resource goes.
    Delete,
    /// The machine's power changes.
    Power(PowerAction),
    /// The group goes, with all in it.
    DeleteGroup,
}

/// What is done to a machine's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PowerAction {
    Start,
    Restart,
    Stop,
    Deallocate,
    Redeploy,
}

/// Where an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OperationStatus {
    InProgress,
    Succeeded,
    Failed,
}
