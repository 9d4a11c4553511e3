//! Runs of shipped workflows whose result is the output of one step.

use serde_json::{Value, json};
use stargate::{
    engine::RunReport,
    id::RunId,
    workflow::{GivenInputs, Workflow},
};

use super::{
    Failure, Settings,
    args::{Output, TimeoutArgs},
    exit::Exit,
    final_report, hint,
    planned::PlannedWorkflow,
    reporter::{self, Summary},
    runs,
    session::{RunResult, Session},
    ui,
    workflow_text::WorkflowText,
};

/// A shipped workflow, and the step whose output is the result.
pub(crate) struct ShippedWorkflow {
    pub(crate) name: &'static str,
    pub(crate) step: &'static str,
    /// Maximum number of concurrent attempts.
    pub(crate) max_parallel: u16,
}

/// A run that has ended.
pub(crate) struct ShippedRun {
    finished: RunReport,
    summary: Summary,
    timed_out: bool,
    output: Option<Value>,
}

impl ShippedWorkflow {
    /// Runs the workflow, and shows its progress on stderr.
    ///
    /// # Errors
    /// If the inputs do not fit, or the run cannot be created or read.
    pub(crate) async fn run(
        &self,
        settings: &Settings,
        inputs: impl FnOnce(&Workflow) -> Result<GivenInputs, Failure>,
        limit: &TimeoutArgs,
    ) -> Result<ShippedRun, Failure> {
        let text = WorkflowText::shipped(self.name)?;
        let PlannedWorkflow { plan, actions } = PlannedWorkflow::new(settings, &text, inputs)?;
        let session = Session::open(settings, actions, self.max_parallel).await?.with_timeout(limit);
        let view = reporter::for_people(settings);
        let result = session.run_to_end(view, |engine| async move { engine.run(plan).await }).await?;
        let RunResult { value, summary, timed_out } = result;
        let finished = value?;
        let output = output(&session, &finished.run, self.step).await?;
        Ok(ShippedRun { finished, summary, timed_out, output })
    }
}

/// Output of a step; `None` if it has not succeeded.
async fn output(session: &Session, run: &RunId, step: &str) -> Result<Option<Value>, Failure> {
    let stored = session.journal.load(run.clone()).await?;
    let plan = runs::plan_of(&stored)?;
    let step = plan.steps.iter().position(|planned| planned.name == step);
    Ok(step.and_then(|step| runs::state_of(&stored, &plan).ok()?.output(step).cloned()))
}

impl ShippedRun {
    /// The output of the step, or else the exit code, after the end of the run has been shown.
    pub(crate) fn output_or_exit(self, output: Output) -> Result<(RunId, Value), Exit> {
        match self.output {
            Some(value) => Ok((self.finished.run, value)),
            None => Err(match output {
                Output::Text => final_report::conclude(output, self.finished, &self.summary, self.timed_out),
                Output::Json => without_output(&self.finished, self.timed_out),
            }),
        }
    }
}

/// Prints the errors of a run without a result as JSON and returns the exit code.
fn without_output(finished: &RunReport, timed_out: bool) -> Exit {
    let exit = final_report::exit_of(finished.ending, timed_out);
    let failures = final_report::failures_json(&finished.failures);
    show_json(&finished.run, &Value::Null, &failures, exit);
    ui::hint(&hint::history(&finished.run));
    exit
}

/// Prints the result of a run as JSON: `{run, report, failures, exit}`.
pub(crate) fn show_json(run: &RunId, report: &Value, failures: &Value, exit: Exit) {
    ui::out_json_pretty(&json!({ "run": run, "report": report, "failures": failures, "exit": exit.code() }));
}
