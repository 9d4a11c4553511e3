//! Implementation of the command `plan`.
//!
//! Exit codes: 0 without changes, 2 with changes or unknown results, 3 if a preview failed. JSON:
//! `{changes, exit, locks, approvals, steps}`; each step has `forecast`: `unchanged`, `changes`,
//! `no_preview`, `unknown`, `skipped` or `failed`.

use std::sync::Arc;

use serde_json::{Value, json};
use stargate::plan::{CompiledPlan, Plan};
use stargate_sdk::Preview;

use super::forecast::{Forecast, StepForecast, forecast};
use crate::cli::{
    Failure, Settings,
    args::{Output, PlanArgs, WorkflowArgs},
    deployment,
    exit::Exit,
    format, inputs,
    planned::PlannedWorkflow,
    ui::{self, Tone},
    workflow_text::WorkflowText,
};

/// Command `plan`: previews the changes of a run. Changes nothing and creates no run.
pub(crate) async fn plan(settings: &Settings, args: &PlanArgs) -> Result<Exit, Failure> {
    let named = match &args.workflow {
        Some(workflow) => WorkflowArgs { workflow: workflow.clone(), inputs: args.inputs.clone() },
        None => deployment::of_inputs(deployment::CREATION, args.inputs.clone())?,
    };
    let text = WorkflowText::find(&named.workflow)?.with_includes(settings.includes);
    let planned = PlannedWorkflow::new(settings, &text, |workflow| inputs::read(&named.inputs, workflow))?;
    let PlannedWorkflow { plan, actions: (registry, secrets) } = planned;
    let compiled = CompiledPlan::new(Arc::new(plan))?;
    let width = compiled.plan().steps.iter().map(|step| step.name.chars().count()).max().unwrap_or_default();
    let report = |forecast: &StepForecast| {
        if settings.output == Output::Text {
            show(forecast, width);
        }
    };
    let forecasts = forecast(&compiled, &registry, &Arc::new(secrets), &report).await;
    let exit = exit(&forecasts);
    match settings.output {
        Output::Json => ui::out_json_pretty(&to_json(&forecasts, compiled.plan(), exit)),
        Output::Text => show_conclusion(&forecasts, compiled.plan(), exit, args.workflow.as_deref()),
    }
    Ok(exit)
}

/// Returns the exit code. Success promises that a run would change nothing, so a step without a
/// preview counts as a change.
fn exit(forecasts: &[StepForecast]) -> Exit {
    let any = |is: fn(&Forecast) -> bool| forecasts.iter().any(|forecast| is(&forecast.forecast));
    if any(|forecast| matches!(forecast, Forecast::Failed(_))) {
        Exit::Failed
    } else if any(|forecast| !is_unchanged(forecast)) {
        Exit::Changes
    } else {
        Exit::Success
    }
}

/// True if the step would change nothing, or runs only at the end of a run.
fn is_unchanged(forecast: &Forecast) -> bool {
    matches!(forecast, Forecast::Previewed(Preview::Unchanged { .. }) | Forecast::Skipped | Forecast::AtEnd)
}

/// Prints the forecast of a step, with one line per difference.
fn show(StepForecast { step, forecast }: &StepForecast, width: usize) {
    let (tone, text) = forecast_text(forecast);
    ui::out(&format!("{step:width$}  {}", ui::paint_out(tone, &text)));
    if let Forecast::Previewed(Preview::Changes { differences }) = forecast {
        for difference in differences {
            ui::out(&format!("{:width$}    {difference}", ""));
        }
    }
}

/// Prints locks, approvals, counts and the next command.
fn show_conclusion(forecasts: &[StepForecast], plan: &Plan, exit: Exit, workflow: Option<&str>) {
    for lock in &plan.locks {
        ui::err(&format!("a run would hold lock {lock}"));
    }
    for step in plan.steps.iter().filter(|step| step.approval.is_some()) {
        ui::err(&format!("a run would wait for approval before {}, unless it is skipped", step.name));
    }
    ui::err(&counts_text(forecasts));
    match exit {
        Exit::Success => {}
        Exit::Failed => ui::hint("fix the errors above, then run the same command again"),
        _ => {
            let command = workflow.map_or_else(|| "up".to_owned(), |workflow| format!("run workflow {workflow}"));
            ui::hint(&format!("run `stargate {command}` with the same inputs to make the changes"));
        }
    }
}

/// Returns the forecast of a step in words.
fn forecast_text(forecast: &Forecast) -> (Tone, String) {
    match forecast {
        Forecast::Previewed(Preview::Unchanged { .. }) => (Tone::Good, "unchanged".into()),
        Forecast::Previewed(Preview::Changes { differences }) => {
            (Tone::Notable, format!("would change: {}", format::plural(differences.len(), "difference")))
        }
        Forecast::Previewed(Preview::Opaque) => {
            (Tone::Notable, "no preview: the action shows its changes only when it runs".into())
        }
        Forecast::Unknown { after, message } => {
            let verb = if after.len() == 1 { "has" } else { "have" };
            let now = message.as_ref().map(|message| format!("; now: {message}")).unwrap_or_default();
            (Tone::Quiet, format!("unknown before {} {verb} run{now}", after.join(", ")))
        }
        Forecast::Skipped => (Tone::Quiet, "would be skipped".into()),
        Forecast::AtEnd => (Tone::Quiet, "runs at the end, after success and failure".into()),
        Forecast::Failed(error) => (Tone::Bad, format!("preview failed: {error}")),
    }
}

/// Returns the counts of all forecasts in words.
fn counts_text(forecasts: &[StepForecast]) -> String {
    let count = |is: fn(&Forecast) -> bool| forecasts.iter().filter(|forecast| is(&forecast.forecast)).count();
    let unchanged = count(is_unchanged);
    let change = count(|p| matches!(p, Forecast::Previewed(Preview::Changes { .. })));
    let failed = count(|p| matches!(p, Forecast::Failed(_)));
    let unknown = forecasts.len() - unchanged - change - failed;
    if unchanged == forecasts.len() {
        return format!("no changes: {} unchanged", format::plural(unchanged, "step"));
    }
    let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
    format!("{} would change, {unknown} unknown, {unchanged} unchanged{failed}", format::plural(change, "step"))
}

fn to_json(forecasts: &[StepForecast], plan: &Plan, exit: Exit) -> Value {
    let steps: Vec<_> = forecasts.iter().map(|forecast| step_json(&forecast.step, &forecast.forecast)).collect();
    let approvals = plan.steps.iter().filter(|step| step.approval.is_some()).map(|step| step.name.as_str());
    json!({
        "changes": exit != Exit::Success, "exit": exit.code(), "locks": plan.locks,
        "approvals": approvals.collect::<Vec<_>>(), "steps": steps,
    })
}

fn step_json(step: &str, forecast: &Forecast) -> Value {
    match forecast {
        Forecast::Previewed(Preview::Unchanged { output }) => {
            json!({ "step": step, "forecast": "unchanged", "output": output })
        }
        Forecast::Previewed(Preview::Changes { differences }) => {
            json!({ "step": step, "forecast": "changes", "differences": differences })
        }
        Forecast::Previewed(Preview::Opaque) => json!({ "step": step, "forecast": "no_preview" }),
        Forecast::Unknown { after, message } => {
            json!({ "step": step, "forecast": "unknown", "after": after, "message": message })
        }
        Forecast::Skipped => json!({ "step": step, "forecast": "skipped" }),
        Forecast::AtEnd => json!({ "step": step, "forecast": "at_end" }),
        Forecast::Failed(error) => json!({ "step": step, "forecast": "failed", "error": error }),
    }
}
