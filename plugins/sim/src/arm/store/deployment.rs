use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arm::json::Object;

/// A template that is being put into a group, or was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredDeployment {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) group: String,
    /// Id of the operation that its PUT began.
    pub(crate) operation: String,
    /// Scheme and authority that the client used.
    pub(crate) base: String,
    pub(crate) correlation: String,
    pub(crate) template_hash: String,
    /// Parameters without the values of those that are secure.
    pub(crate) parameters: Value,
    pub(crate) outputs: Object,
    pub(crate) resources: Vec<PlannedResource>,
    pub(crate) state: DeploymentState,
    pub(crate) error: Option<Value>,
    pub(crate) started: Timestamp,
    /// When it last changed.
    pub(crate) changed: Timestamp,
}

/// A resource of a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlannedResource {
    pub(crate) id: String,
    pub(crate) api_version: String,
    pub(crate) body: Object,
    /// What must be there before: ends of ids, lower-case.
    pub(crate) needs: Vec<String>,
    pub(crate) progress: PlannedState,
}

/// How far a planned resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PlannedState {
    Waiting,
    Writing,
    Done,
}

/// `provisioningState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DeploymentState {
    Running,
    Succeeded,
    Failed,
}

impl DeploymentState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}
