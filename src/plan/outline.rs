use super::{PlannedStep, Scope};

/// Steps of a checked workflow whose inputs are not known. An outline can be displayed, and cannot
/// be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// Name of the workflow.
    pub workflow: String,
    /// Locks as they are written, such as `cluster/${{ inputs.cluster }}`, each once.
    pub locks: Vec<String>,
    /// The workflow itself, then each inlined workflow.
    pub scopes: Vec<Scope>,
    /// Steps in the order of [`Plan::steps`](super::Plan::steps).
    pub steps: Vec<PlannedStep>,
}
