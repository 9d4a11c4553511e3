use std::sync::Arc;

use serde_json::{Value, json};
use stargate::plan::{CompiledPlan, Plan};
use stargate_sdk::Preview;

use super::forecast::{Forecast, Prospect, forecast};
use crate::{
    cli::{
        Failure, Settings,
        args::{Output, PlanArgs},
        exit::Exit,
        inputs, phrase,
        ui::{self, Tone},
        workflows::Text,
    },
    wiring,
};

/// `plan`: what a run would change, found out without changing anything.
pub(crate) async fn plan(settings: &Settings, args: &PlanArgs) -> Result<Exit, Failure> {
    let text = Text::find(&args.workflow.workflow)?;
    let (registry, secrets) = wiring::build(settings)?;
    let workflow = text.validate(&registry)?;
    let inputs = inputs::read(&args.workflow.inputs, &workflow)?;
    let plan = text.compile(&workflow, &registry, inputs)?;
    wiring::require(settings, plan.steps.iter().map(|step| step.action.as_str()))?;
    let compiled = CompiledPlan::new(Arc::new(plan))?;
    let width = compiled.plan().steps.iter().map(|step| step.name.chars().count()).max().unwrap_or_default();
    let seen = |forecast: &Forecast| {
        if settings.output == Output::Text {
            show(forecast, width);
        }
    };
    let forecasts = forecast(&compiled, &registry, &Arc::new(secrets), &seen).await;
    let exit = exit(&forecasts);
    match settings.output {
        Output::Json => ui::out_json_pretty(&to_json(&forecasts, compiled.plan(), exit)),
        Output::Text => conclude(&forecasts, compiled.plan(), exit, &args.workflow.workflow),
    }
    Ok(exit)
}

/// Nothing to change is a promise: a step that cannot tell breaks it as much as one that has something to change.
fn exit(forecasts: &[Forecast]) -> Exit {
    let any = |is: fn(&Prospect) -> bool| forecasts.iter().any(|forecast| is(&forecast.prospect));
    if any(|prospect| matches!(prospect, Prospect::Failed(_))) {
        Exit::Failed
    } else if any(|prospect| !matches!(prospect, Prospect::Seen(Preview::Unchanged { .. }) | Prospect::Skipped)) {
        Exit::Changes
    } else {
        Exit::Done
    }
}

fn show(Forecast { step, prospect }: &Forecast, width: usize) {
    let (tone, said) = words(prospect);
    ui::out(&format!("{step:width$}  {}", ui::paint_out(tone, &said)));
    if let Prospect::Seen(Preview::Changes { differences }) = prospect {
        for difference in differences {
            ui::out(&format!("{:width$}    {difference}", ""));
        }
    }
}

fn conclude(forecasts: &[Forecast], plan: &Plan, exit: Exit, workflow: &str) {
    for lock in &plan.locks {
        ui::err(&format!("a run would hold the lock {lock}"));
    }
    for step in plan.steps.iter().filter(|step| step.approval.is_some()) {
        ui::err(&format!("a run would wait for a person's approval before {}, unless it is skipped", step.name));
    }
    ui::err(&sentence(forecasts));
    match exit {
        Exit::Done => {}
        Exit::Failed => ui::hint("mend what could not be looked at, then run the same command again"),
        _ => ui::hint(&format!("run `stargate run workflow {workflow}` with the same inputs to apply it")),
    }
}

fn words(prospect: &Prospect) -> (Tone, String) {
    match prospect {
        Prospect::Seen(Preview::Unchanged { .. }) => (Tone::Good, "in order".into()),
        Prospect::Seen(Preview::Changes { differences }) => {
            (Tone::Notable, format!("would change {}", phrase::count(differences.len(), "thing")))
        }
        Prospect::Seen(Preview::Opaque) => (Tone::Notable, "cannot tell without running".into()),
        Prospect::Unknown { until, said } => {
            let verb = if until.len() == 1 { "is" } else { "are" };
            let now = said.as_ref().map(|said| format!("; now: {said}")).unwrap_or_default();
            (Tone::Quiet, format!("unknown until {} {verb} applied{now}", until.join(", ")))
        }
        Prospect::Skipped => (Tone::Quiet, "would be skipped".into()),
        Prospect::Failed(error) => (Tone::Bad, format!("cannot be looked at: {error}")),
    }
}

fn sentence(forecasts: &[Forecast]) -> String {
    let count = |is: fn(&Prospect) -> bool| forecasts.iter().filter(|forecast| is(&forecast.prospect)).count();
    let in_order = count(|p| matches!(p, Prospect::Seen(Preview::Unchanged { .. }) | Prospect::Skipped));
    let change = count(|p| matches!(p, Prospect::Seen(Preview::Changes { .. })));
    let failed = count(|p| matches!(p, Prospect::Failed(_)));
    let unknown = forecasts.len() - in_order - change - failed;
    if in_order == forecasts.len() {
        return format!("nothing to change: {} in order", phrase::count(in_order, "step"));
    }
    let failed = if failed == 0 { String::new() } else { format!(", {failed} cannot be looked at") };
    format!("{} would change, {unknown} unknown, {in_order} in order{failed}", phrase::count(change, "step"))
}

fn to_json(forecasts: &[Forecast], plan: &Plan, exit: Exit) -> Value {
    let steps: Vec<_> = forecasts.iter().map(|forecast| step_json(&forecast.step, &forecast.prospect)).collect();
    let asking = plan.steps.iter().filter(|step| step.approval.is_some()).map(|step| step.name.as_str());
    json!({
        "changes": exit != Exit::Done, "exit": exit.code(), "locks": plan.locks,
        "approvals": asking.collect::<Vec<_>>(), "steps": steps,
    })
}

fn step_json(step: &str, prospect: &Prospect) -> Value {
    match prospect {
        Prospect::Seen(Preview::Unchanged { output }) => json!({ "step": step, "is": "in_order", "output": output }),
        Prospect::Seen(Preview::Changes { differences }) => {
            json!({ "step": step, "is": "changes", "differences": differences })
        }
        Prospect::Seen(Preview::Opaque) => json!({ "step": step, "is": "opaque" }),
        Prospect::Unknown { until, said } => json!({ "step": step, "is": "unknown", "until": until, "said": said }),
        Prospect::Skipped => json!({ "step": step, "is": "skipped" }),
        Prospect::Failed(error) => json!({ "step": step, "is": "failed", "error": error }),
    }
}
