//! Implementation of the command `graph`.
//!
//! JSON: `{workflow, locks, steps: [{name, action, needs, for_each, conditional, approval}]}`.

use serde_json::{Value, json};
use stargate::plan::{Outline, PlannedStep};

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

/// Command `graph`: shows the steps in a topological order, with their dependencies.
pub(crate) fn graph(settings: &Settings, args: &GraphArgs) -> Result<Exit, Failure> {
    let (registry, _) = wiring::build(settings)?;
    let outline = WorkflowText::find(&args.workflow)?.with_includes(settings.includes).outline(&registry)?;
    match (settings.output, args.format) {
        (Output::Json, _) => ui::out_json_pretty(&to_json(&outline)),
        (Output::Text, GraphFormat::Text) => text(&outline),
        (Output::Text, GraphFormat::Dot) => dot(&outline),
        (Output::Text, GraphFormat::Mermaid) => mermaid(&outline),
    }
    Ok(Exit::Success)
}

/// Returns the names of a step's dependencies.
fn names<'a>(outline: &'a Outline, step: &PlannedStep) -> Vec<&'a str> {
    step.predecessors().map(|before| outline.steps[before].name.as_str()).collect()
}

fn to_json(outline: &Outline) -> Value {
    let steps: Vec<_> = outline
        .steps
        .iter()
        .map(|step| {
            json!({
                "name": step.name, "action": step.action, "needs": names(outline, step),
                "for_each": step.for_each.is_some(), "conditional": step.when.is_some(),
                "approval": step.approval.is_some(), "allow_failure": step.allow_failure, "finally": step.is_finally,
            })
        })
        .collect();
    json!({ "workflow": outline.workflow, "locks": outline.locks, "steps": steps })
}

/// Prints one line per step: name, action, properties and dependencies.
fn text(outline: &Outline) {
    let width = |of: fn(&PlannedStep) -> &str| {
        outline.steps.iter().map(|step| of(step).chars().count()).max().unwrap_or_default()
    };
    let (name, action) = (width(|step| &step.name), width(|step| &step.action));
    for step in &outline.steps {
        let dependencies = match names(outline, step).as_slice() {
            [] => String::new(),
            needs => format!("after {}", needs.join(", ")),
        };
        let line = format!("{:name$}  {:action$}  {}{dependencies}", step.name, step.action, marks(step));
        ui::out(line.trim_end());
    }
    for lock in &outline.locks {
        ui::err(&format!("a run holds lock {lock}"));
    }
}

/// Lists the properties of a step that affect its execution.
fn marks(step: &PlannedStep) -> String {
    let each = if step.for_each.is_some() { "for each item, " } else { "" };
    let when = if step.when.is_some() { "conditional, " } else { "" };
    let approval = if step.approval.is_some() { "requires approval, " } else { "" };
    let failure = if step.allow_failure { "may fail, " } else { "" };
    let finally = if step.is_finally { "at the end, " } else { "" };
    format!("{each}{when}{approval}{failure}{finally}")
}

/// Prints the graph for Graphviz; an edge leads from a dependency to its dependent.
fn dot(outline: &Outline) {
    ui::out(&format!("digraph {} {{", quoted(&outline.workflow)));
    ui::out("  node [shape=box];");
    for step in &outline.steps {
        ui::out(&format!("  {} [label={}];", quoted(&step.name), quoted(&format!("{}\n{}", step.name, step.action))));
    }
    for step in &outline.steps {
        for need in names(outline, step) {
            ui::out(&format!("  {} -> {};", quoted(need), quoted(&step.name)));
        }
    }
    ui::out("}");
}

/// Quotes a string for DOT. A line break becomes a new line of the label.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Prints the graph for Mermaid. Steps are numbered, because their names can contain brackets.
fn mermaid(outline: &Outline) {
    ui::out("flowchart TD");
    for (index, step) in outline.steps.iter().enumerate() {
        let label = format!("{}<br>{}", step.name, step.action).replace('"', "#quot;");
        ui::out(&format!("  s{index}[\"{label}\"]"));
    }
    for (index, step) in outline.steps.iter().enumerate() {
        for need in step.predecessors() {
            ui::out(&format!("  s{need} --> s{index}"));
        }
    }
}
