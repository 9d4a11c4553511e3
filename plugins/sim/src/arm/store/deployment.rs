use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arm::json::Object;

/// Deployment of a template into a group, running or finished.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredDeployment {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Name of the group that it deploys into.
    pub(crate) group: String,
    /// Id of the operation that the PUT started.
    pub(crate) operation: String,
    /// Scheme and authority that the client used: URLs of answers begin with them.
    pub(crate) base: String,
    /// Correlation id, a UUID.
    pub(crate) correlation: String,
    /// Hash of the template, as decimal text.
    pub(crate) template_hash: String,
    /// Parameters, without the values of secure ones.
    pub(crate) parameters: Value,
    /// Outputs of the template, shown after success.
    pub(crate) outputs: Object,
    /// Resources of the template, in its order.
    pub(crate) resources: Vec<PlannedResource>,
    pub(crate) state: DeploymentState,
    /// Error of a failed deployment.
    pub(crate) error: Option<Value>,
    pub(crate) started: Timestamp,
    /// Time of the last change of state.
    pub(crate) changed: Timestamp,
}

/// Resource of a template, with its expressions evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlannedResource {
    pub(crate) id: String,
    /// API version of the PUT that writes the resource.
    pub(crate) api_version: String,
    /// Body of the PUT that writes the resource.
    pub(crate) body: Object,
    /// Dependencies: lower-case ends of the ids of resources that must be written before.
    pub(crate) needs: Vec<String>,
    pub(crate) progress: PlannedState,
}

/// Progress of a planned resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PlannedState {
    /// Dependencies have not finished, or another write is in progress.
    Waiting,
    /// The PUT was accepted and its operation runs.
    Writing,
    /// The resource has been written.
    Done,
}

/// Value of `provisioningState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DeploymentState {
    Running,
    Succeeded,
    Failed,
}

impl DeploymentState {
    /// Returns the text of `provisioningState`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}
