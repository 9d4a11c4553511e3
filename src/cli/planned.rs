//! A workflow with its inputs, checked with the actions of this program.

use stargate::{
    plan::Plan,
    workflow::{GivenInputs, Workflow},
};
use stargate_sdk::{Registry, Secrets};

use super::{Failure, Settings, workflow_text::WorkflowText};
use crate::wiring;

/// Plan of a workflow, and the actions that execute it.
pub(crate) struct PlannedWorkflow {
    pub(crate) plan: Plan,
    pub(crate) actions: (Registry, Secrets),
}

impl PlannedWorkflow {
    /// Checks the workflow, reads its inputs and compiles the plan.
    ///
    /// # Errors
    ///
    /// Errors of the workflow, of its inputs, and of the settings that its actions need.
    pub(crate) fn new(
        settings: &Settings,
        text: &WorkflowText,
        inputs: impl FnOnce(&Workflow) -> Result<GivenInputs, Failure>,
    ) -> Result<Self, Failure> {
        let actions = wiring::build(settings)?;
        let checked = text.validate(&actions.0)?;
        let plan = WorkflowText::plan(&checked, &inputs(checked.workflow())?)?;
        wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
        Ok(Self { plan, actions })
    }
}
