use serde_json::{Map, Value};
use stargate::{
    plan::{Checked, Plan},
    workflow::Cron,
};
use stargate_sdk::Registry;

use crate::{
    cli::{Failure, Settings, args::InputArgs, exit::Exit, inputs, workflow_text::WorkflowText},
    wiring,
};

/// A workflow that is run by its schedule.
pub(crate) struct ScheduledJob {
    /// Its file.
    pub(crate) text: WorkflowText,
    /// What the file says.
    pub(crate) checked: Checked,
    /// When it is due.
    pub(crate) cron: Cron,
    /// What it is given.
    pub(crate) inputs: Map<String, Value>,
    /// What is run.
    pub(crate) plan: Plan,
}

impl ScheduledJob {
    /// Reads and checks all that is needed; `among` several workflows, each gets the inputs that it has.
    pub(crate) fn prepare(
        settings: &Settings,
        registry: &Registry,
        text: WorkflowText,
        args: &InputArgs,
        among: bool,
    ) -> Result<Self, Failure> {
        let checked = text.validate(registry)?;
        let workflow = checked.workflow();
        let Some(cron) = workflow.schedule.clone() else { return Err(unscheduled(&text)) };
        let mut inputs = inputs::read(args, workflow)?;
        if among {
            inputs.retain(|name, _| workflow.inputs.iter().any(|input| input.name.value == *name));
        }
        let plan = WorkflowText::plan(&checked, inputs.clone())?;
        wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
        Ok(Self { cron: cron.value, text, checked, inputs, plan })
    }

    /// Name of the workflow.
    pub(crate) fn name(&self) -> &str {
        &self.plan.workflow
    }
}

fn unscheduled(text: &WorkflowText) -> Failure {
    Failure::new(
        Exit::Invalid,
        format!("the workflow {} has no schedule", text.name()),
        "add a line such as `schedule: {cron: \"*/5 * * * *\"}` to a file of your own",
    )
}
