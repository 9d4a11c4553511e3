use serde_json::{Value, json};
use stargate::plan::{Plan, PlannedStep};

use crate::{
    cli::{
        Failure, Settings,
        args::{GraphArgs, GraphFormat, Output},
        exit::Exit,
        ui,
        workflow_text::WorkflowText,
    },
    wiring,
};

/// `graph`: the steps in an order in which they can be done, and what each waits for.
pub(crate) fn graph(settings: &Settings, args: &GraphArgs) -> Result<Exit, Failure> {
    let (registry, _) = wiring::build(settings)?;
    let plan = WorkflowText::find(&args.workflow)?.outline(&registry)?;
    match (settings.output, args.format) {
        (Output::Json, _) => ui::out_json_pretty(&to_json(&plan)),
        (Output::Text, GraphFormat::Text) => text(&plan),
        (Output::Text, GraphFormat::Dot) => dot(&plan),
        (Output::Text, GraphFormat::Mermaid) => mermaid(&plan),
    }
    Ok(Exit::Success)
}

fn names<'a>(plan: &'a Plan, step: &PlannedStep) -> Vec<&'a str> {
    step.needs.iter().map(|&need| plan.steps[need].name.as_str()).collect()
}

fn to_json(plan: &Plan) -> Value {
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| {
            json!({
                "name": step.name, "action": step.action, "needs": names(plan, step),
                "for_each": step.for_each.is_some(), "conditional": step.when.is_some(),
                "approval": step.approval.is_some(),
            })
        })
        .collect();
    json!({ "workflow": plan.workflow, "locks": plan.locks, "steps": steps })
}

fn text(plan: &Plan) {
    let width =
        |of: fn(&PlannedStep) -> &str| plan.steps.iter().map(|step| of(step).chars().count()).max().unwrap_or_default();
    let (name, action) = (width(|step| &step.name), width(|step| &step.action));
    for step in &plan.steps {
        let waits = match names(plan, step).as_slice() {
            [] => String::new(),
            needs => format!("after {}", needs.join(", ")),
        };
        let line = format!("{:name$}  {:action$}  {}{waits}", step.name, step.action, marks(step));
        ui::out(line.trim_end());
    }
    for lock in &plan.locks {
        ui::err(&format!("a run holds the lock {lock}"));
    }
}

fn marks(step: &PlannedStep) -> String {
    let each = if step.for_each.is_some() { "for each item, " } else { "" };
    let when = if step.when.is_some() { "on a condition, " } else { "" };
    let approval = if step.approval.is_some() { "with approval, " } else { "" };
    format!("{each}{when}{approval}")
}

fn dot(plan: &Plan) {
    ui::out(&format!("digraph {} {{", quoted(&plan.workflow)));
    ui::out("  node [shape=box];");
    for step in &plan.steps {
        ui::out(&format!("  {} [label={}];", quoted(&step.name), quoted(&format!("{}\n{}", step.name, step.action))));
    }
    for step in &plan.steps {
        for need in names(plan, step) {
            ui::out(&format!("  {} -> {};", quoted(need), quoted(&step.name)));
        }
    }
    ui::out("}");
}

/// A quoted string of DOT; a line break in it is a new line of the label.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn mermaid(plan: &Plan) {
    ui::out("flowchart TD");
    for (index, step) in plan.steps.iter().enumerate() {
        let label = format!("{}<br>{}", step.name, step.action).replace('"', "#quot;");
        ui::out(&format!("  s{index}[\"{label}\"]"));
    }
    for (index, step) in plan.steps.iter().enumerate() {
        for need in &step.needs {
            ui::out(&format!("  s{need} --> s{index}"));
        }
    }
}
