//! Implementation of the command `plan`.
//!
//! Exit codes: 0 without changes, 2 with changes or unknown results, 3 if a preview failed or an
//! object must be replaced. `docs/plan.md` describes the JSON.

use std::{path::Path, sync::Arc};

use stargate::{
    journal::RunRow,
    plan::{CompiledPlan, Plan},
};
use stargate_sdk::Preview;

use super::{
    forecast::{Forecast, StepForecast, forecast},
    plan_view::{PlanCounts, show, step_json, to_json},
};
use crate::cli::{
    Failure, Settings,
    args::{Output, PlanArgs, WorkflowArgs},
    deployment,
    exit::Exit,
    format, inputs, journals,
    plan_file::PlanFile,
    planned::PlannedWorkflow,
    runs, ui,
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
    let drift = drift(settings, &compiled, &forecasts).await;
    if let Some(file) = &args.out {
        write(file, &compiled, &forecasts, exit)?;
    }
    match settings.output {
        Output::Json => ui::out_json_pretty(&to_json(&forecasts, compiled.plan(), drift.as_ref(), exit)),
        Output::Text => show_conclusion(&forecasts, compiled.plan(), drift.as_ref(), (exit, args)),
    }
    Ok(exit)
}

/// Returns the latest run of the workflow that succeeded, if it had the same plan: the differences
/// appeared after it. `None` if there is no difference, or the journal cannot be used.
async fn drift(settings: &Settings, compiled: &CompiledPlan, forecasts: &[StepForecast]) -> Option<RunRow> {
    let has_changes = forecasts.iter().any(|forecast| {
        matches!(forecast.forecast, Forecast::Previewed(Preview::Changes { .. } | Preview::Replacement { .. }))
    });
    if !has_changes {
        return None;
    }
    let journal = journals::open_usable(settings).await?;
    let latest = runs::last_success(&*journal, &compiled.plan().workflow).await.ok()?;
    latest.filter(|run| run.plan_digest == compiled.plan().digest())
}

/// Writes the plan to a file, unless a run of it would fail.
fn write(file: &Path, compiled: &CompiledPlan, forecasts: &[StepForecast], exit: Exit) -> Result<(), Failure> {
    if exit == Exit::Failed {
        ui::err(&format!("{} was not written, because a run of this plan would fail", file.display()));
        return Ok(());
    }
    PlanFile::new(compiled.plan(), forecasts.iter().map(step_json).collect()).write(file)
}

/// Returns the exit code. Success promises that a run would change nothing, so a step without a
/// preview counts as a change.
fn exit(forecasts: &[StepForecast]) -> Exit {
    let any = |is: fn(&Forecast) -> bool| forecasts.iter().any(|forecast| is(&forecast.forecast));
    let fails = |forecast: &Forecast| {
        matches!(forecast, Forecast::Failed(_) | Forecast::Previewed(Preview::Replacement { .. }))
    };
    if any(fails) {
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

/// Prints locks, approvals, counts and the next command.
fn show_conclusion(forecasts: &[StepForecast], plan: &Plan, drift: Option<&RunRow>, (exit, args): (Exit, &PlanArgs)) {
    for lock in &plan.locks {
        ui::err(&format!("a run would hold lock {lock}"));
    }
    for step in plan.steps.iter().filter(|step| step.approval.is_some()) {
        ui::err(&format!("a run would wait for approval before {}, unless it is skipped", step.name));
    }
    ui::err(&PlanCounts::new(forecasts).text());
    if let Some(run) = drift {
        let since = format::date_and_time(run.updated_at);
        ui::err(&format!("this is drift: run {} has made the desired state at {since} with the same inputs", run.id));
    }
    match exit {
        Exit::Success => {}
        Exit::Failed => ui::hint("fix the errors above, then run the same command again"),
        _ => {
            let run = args.workflow.as_ref();
            if let Some(file) = &args.out {
                let command = if run.is_some() { "run workflow" } else { "up" };
                return ui::hint(&format!("run `stargate {command} --plan {}` to make the changes", file.display()));
            }
            let command = run.map_or_else(|| "up".to_owned(), |workflow| format!("run workflow {workflow}"));
            ui::hint(&format!("run `stargate {command}` with the same inputs to make the changes"));
        }
    }
}
