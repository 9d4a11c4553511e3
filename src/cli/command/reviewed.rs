//! Runs of a plan that was reviewed: exactly that plan, and only while the actual state is the one
//! that it was made for.

use std::{path::Path, sync::Arc};

use serde_json::Value;
use stargate::plan::CompiledPlan;

use super::{forecast::forecast, plan_view::step_json};
use crate::{
    cli::{
        Failure, Settings, args::WorkflowArgs, exit::Exit, format, inputs, plan_file::ReviewedPlan,
        planned::PlannedWorkflow, ui, workflow_text::WorkflowText,
    },
    wiring,
};

/// Number of steps that a refusal names.
const MAX_NAMED_STEPS: usize = 5;

/// Keys of a step's forecast that must be the same. What a read returns shows in the values of the
/// steps that use it; an error of a preview that was only tried may have other words.
const COMPARED: [&str; 6] = ["forecast", "differences", "forced_by", "input", "known_later", "after"];

/// Reads a reviewed plan and computes its forecast again.
///
/// # Errors
///
/// A usage failure if the file cannot be used, or if `workflow` is another one or has other inputs;
/// [`Exit::Changes`] if the forecast is not that of the file.
pub(super) async fn prepare(
    settings: &Settings,
    file: &Path,
    workflow: Option<&WorkflowArgs>,
) -> Result<PlannedWorkflow, Failure> {
    let reviewed = ReviewedPlan::read(file)?;
    if let Some(named) = workflow {
        let text = WorkflowText::find(&named.workflow)?.with_includes(settings.includes);
        let planned = PlannedWorkflow::new(settings, &text, |workflow| inputs::read(&named.inputs, workflow))?;
        reviewed.check_same(&planned.plan)?;
    }
    wiring::require(settings, reviewed.plan.steps.iter().map(|step| step.action.as_str()))?;
    let (registry, secrets) = wiring::build(settings)?;
    let (secrets, compiled) = (Arc::new(secrets), CompiledPlan::new(Arc::new(reviewed.plan.clone()))?);
    let steps = compiled.plan().steps.len();
    ui::err(&format!("comparing {} with the plan {}", format::plural(steps, "step"), reviewed.path.display()));
    let forecasts = forecast(&compiled, &registry, &secrets, &|_| {}).await;
    let now: Vec<_> = forecasts.iter().map(step_json).collect();
    check_unmoved(&reviewed, &now)?;
    drop((registry, secrets));
    Ok(PlannedWorkflow { plan: reviewed.plan, actions: wiring::build(settings)? })
}

/// Checks that the forecast of each step is that of the reviewed plan.
fn check_unmoved(reviewed: &ReviewedPlan, now: &[Value]) -> Result<(), Failure> {
    let moved = moved_steps(&reviewed.steps, now);
    if moved.is_empty() {
        return Ok(());
    }
    for text in moved.iter().take(MAX_NAMED_STEPS) {
        ui::err(text);
    }
    if moved.len() > MAX_NAMED_STEPS {
        ui::err(&format!("… and {} more", moved.len() - MAX_NAMED_STEPS));
    }
    let message = format!(
        "the actual state has changed since the plan {} was made: {} would be executed differently. Nothing was changed",
        reviewed.path.display(),
        format::plural(moved.len(), "step"),
    );
    Err(Failure::new(Exit::Changes, message, "make the plan again with `stargate plan --out FILE`, and look at it"))
}

/// Describes the steps whose forecast differs.
fn moved_steps(before: &[Value], now: &[Value]) -> Vec<String> {
    let find = |steps: &[Value], step: &Value| steps.iter().find(|other| other["step"] == *step).cloned();
    let mut moved = Vec::new();
    for old in before {
        match find(now, &old["step"]) {
            None => moved.push(format!("{}  is no longer part of the plan", name(old))),
            Some(new) => moved.extend(difference(old, &new)),
        }
    }
    let new = now.iter().filter(|new| find(before, &new["step"]).is_none());
    moved.extend(new.map(|new| format!("{}  was not part of the plan", name(new))));
    moved
}

/// Describes the difference between two forecasts of a step; `None` if they are the same.
fn difference(old: &Value, new: &Value) -> Option<String> {
    // A step that only reads changes nothing itself.
    let keys = if old["only_reads"] == true { &COMPARED[..1] } else { &COMPARED[..] };
    let key = keys.iter().find(|key| old[**key] != new[**key])?;
    let text = match *key {
        "forecast" => format!("was {}, and is {} now", words(&old["forecast"]), words(&new["forecast"])),
        "differences" | "forced_by" => format!("would make other changes: {}", changes(&new[*key])),
        _ => "has other values".to_owned(),
    };
    Some(format!("{}  {text}", name(old)))
}

fn name(step: &Value) -> &str {
    step["step"].as_str().unwrap_or_default()
}

/// Returns a name of JSON in words.
fn words(name: &Value) -> String {
    name.as_str().unwrap_or("unknown").replace('_', " ")
}

fn changes(differences: &Value) -> String {
    let names = differences.as_array().into_iter().flatten().map(|difference| {
        let (operation, what) = (difference["operation"].as_str(), difference["what"].as_str());
        format!("{} {}", operation.unwrap_or_default(), what.unwrap_or_default())
    });
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(forecast: &str, input: &Value) -> Value {
        json!({ "step": "a", "only_reads": false, "forecast": forecast, "input": input })
    }

    #[test]
    fn a_step_with_another_forecast_or_value_has_moved() {
        let old = [step("changes", &json!({ "x": 1 }))];
        assert_eq!(moved_steps(&old, &old), [""; 0]);
        let moved = |new| moved_steps(&old, &[new]);
        assert_eq!(moved(step("unchanged", &json!({ "x": 1 }))), ["a  was changes, and is unchanged now"]);
        assert_eq!(moved(step("changes", &json!({ "x": 2 }))), ["a  has other values"]);
        assert_eq!(moved_steps(&old, &[]), ["a  is no longer part of the plan"]);
        assert_eq!(moved_steps(&[], &old), ["a  was not part of the plan"]);
    }

    #[test]
    fn what_a_read_returns_is_compared_where_it_is_used() {
        let read = |output: u8| json!({ "step": "a", "only_reads": true, "forecast": "unchanged", "output": output });
        assert_eq!(moved_steps(&[read(1)], &[read(2)]), [""; 0]);
    }
}
