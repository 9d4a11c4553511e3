//! Job: a workflow that runs by its schedule, checked and compiled once.

use std::path::Path;

use serde_json::{Map, Value};
use stargate::{
    id::PlanDigest,
    plan::{Checked, Plan},
    workflow::Cron,
};
use stargate_sdk::Registry;

use crate::{
    cli::{Failure, Settings, args::InputArgs, exit::Exit, inputs, workflow_text::WorkflowText},
    wiring,
};

/// Workflow with its schedule, inputs and plan.
pub(crate) struct ScheduledJob {
    /// Text of the workflow file.
    pub(crate) text: WorkflowText,
    /// Checked workflow that the text defines.
    pub(crate) checked: Checked,
    /// Times at which the job is due.
    pub(crate) cron: Cron,
    /// Values of the inputs.
    pub(crate) inputs: Map<String, Value>,
    /// Plan of each run, which takes [`Self::lock`].
    pub(crate) plan: Plan,
    /// Lock that each run of the job takes, so that no other scheduler starts one as well.
    pub(crate) lock: String,
}

impl ScheduledJob {
    /// Reads, checks and compiles a workflow. With `among`, it is one of several: inputs that it
    /// does not have are ignored.
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
        if args.file.as_deref() == Some(Path::new("-")) {
            return Err(Failure::usage("a schedule cannot read its inputs from standard input", "add `--inputs FILE`"));
        }
        let mut inputs = inputs::read(args, workflow)?;
        if among {
            inputs.retain(|name| workflow.inputs.iter().any(|input| input.name.value == name));
        }
        let mut plan = WorkflowText::plan(&checked, &inputs)?;
        wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
        let lock = lock(&plan);
        plan.locks.push(lock.clone());
        Ok(Self { cron: cron.value, text, checked, inputs: inputs.to_map(), plan, lock })
    }

    /// Reads the job again; see [`Self::prepare`].
    pub(crate) fn read_again(
        &self,
        settings: &Settings,
        registry: &Registry,
        args: &InputArgs,
        among: bool,
    ) -> Result<Self, Failure> {
        Self::prepare(settings, registry, self.text.read_again()?, args, among)
    }

    /// True if a run of the other job would be the same, at the same times.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.plan == other.plan && self.cron == other.cron
    }

    /// Returns the name of the workflow.
    pub(crate) fn name(&self) -> &str {
        &self.plan.workflow
    }
}

/// Returns the lock of a job: its workflow and a digest of its inputs.
fn lock(plan: &Plan) -> String {
    let inputs = PlanDigest::of_json(&Value::Object(plan.inputs.clone()).to_string());
    format!("schedule/{}/{}", plan.workflow, &inputs.as_str()[..16])
}

fn unscheduled(text: &WorkflowText) -> Failure {
    Failure::new(
        Exit::Invalid,
        format!("the workflow {} has no schedule", text.name()),
        "add a line such as `schedule: {cron: \"*/5 * * * *\"}` to a workflow file of your own",
    )
}
