//! Implementation of the command `workflows`.
//!
//! JSON: a list of `{name, file, description}`, `file` being null for a workflow that ships; for
//! one workflow also `inputs`, a list of `{name, required, secret, description, default, schema}`,
//! and `locks`, `schedule`, `steps` and `outputs`.

use serde_json::{Value, json};
use stargate::workflow::{Input, SpannedTemplate, StepBody, Workflow, parse};

use crate::cli::{
    Failure, Settings,
    args::{Output, WorkflowsArgs},
    exit::Exit,
    schema_text::{fields, kind},
    ui::{self, Tone},
    workflow_text::{CORRECT_HINT, WorkflowText},
};

/// Command `workflows`: lists the workflows that can be named, or describes one.
///
/// # Errors
///
/// There is no such workflow, or it has errors.
pub(crate) fn workflows(settings: &Settings, args: &WorkflowsArgs) -> Result<Exit, Failure> {
    match &args.workflow {
        None => list(settings.output),
        Some(name) => {
            let text = WorkflowText::find(name)?;
            let read = parse(text.name(), text.yaml()).into_result();
            let workflow = read.map_err(|found| Failure::invalid(found, CORRECT_HINT))?;
            match settings.output {
                Output::Json => ui::out_json_pretty(&full(&text, &workflow)),
                Output::Text => describe(&text, &workflow),
            }
        }
    }
    Ok(Exit::Success)
}

/// Lists the workflows of ./workflows and those that ship, each with the first sentence of its
/// description. A file that cannot be read as a workflow is listed with its first error.
fn list(output: Output) {
    let found: Vec<_> = WorkflowText::known().into_iter().map(|(name, text)| (name, summary(text))).collect();
    if output == Output::Json {
        let entry = |(name, (file, description)): &(String, (Option<String>, String))| json!({ "name": name, "file": file, "description": description });
        return ui::out_json_pretty(&found.iter().map(entry).collect::<Vec<_>>());
    }
    let width = found.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    for (name, (file, description)) in &found {
        let file = file.as_ref().map(|file| format!(" ({file})")).unwrap_or_default();
        ui::out(&format!("{name:width$}  {}{file}", first_sentence(description)));
    }
}

/// Returns file and description of a workflow.
fn summary(text: Result<WorkflowText, Failure>) -> (Option<String>, String) {
    let text = match text {
        Ok(text) => text,
        Err(failure) => return (None, failure.to_string()),
    };
    let file = (!text.is_embedded()).then(|| text.name().to_owned());
    let description = match parse(text.name(), text.yaml()).into_result() {
        Ok(workflow) => workflow.description.unwrap_or_default(),
        Err(found) => found.iter().next().map(|first| format!("cannot be read: {}", first.message)).unwrap_or_default(),
    };
    (file, description)
}

/// Returns the text up to the first full stop.
fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

/// Shows description, inputs, locks, steps and outputs.
fn describe(text: &WorkflowText, workflow: &Workflow) {
    ui::out(&ui::paint_out(Tone::Strong, &workflow.name.value));
    if !text.is_embedded() {
        ui::out(&format!("file: {}", text.name()));
    }
    if let Some(description) = &workflow.description {
        ui::out(description.trim_end());
    }
    section("inputs", workflow.inputs.iter().flat_map(input_lines));
    section("checks", workflow.checks.iter().map(|check| format!("  {}", check.that.expression.source().trim())));
    section("locks", locks(workflow).iter().map(|lock| format!("  {lock}")));
    section("schedule", workflow.schedule.iter().map(|cron| format!("  {}", cron.value)));
    section("steps", workflow.steps.iter().map(|step| format!("  {} ({})", step.name.value, used(&step.body))));
    section("outputs", workflow.outputs.iter().map(|(name, _)| format!("  {}", name.value)));
}

/// Shows a heading and its lines; nothing without lines.
fn section(heading: &str, lines: impl Iterator<Item = String>) {
    for (index, line) in lines.enumerate() {
        if index == 0 {
            ui::out("");
            ui::out(&ui::paint_out(Tone::Strong, &format!("{heading}:")));
        }
        ui::out(line.trim_end());
    }
}

/// Returns the line of an input, and those of its fields.
fn input_lines(input: &Input) -> Vec<String> {
    let default = input.default.as_ref().and_then(SpannedTemplate::to_json);
    let default = default.map_or_else(|| "required".to_owned(), |value| format!("default {value}"));
    let secret = if input.secret { ", a reference to a secret" } else { "" };
    let description = input.description.as_deref().unwrap_or_default().replace('\n', " ");
    let mut lines = vec![format!("  {} ({}, {default}{secret})  {description}", input.name.value, kind(&input.schema))];
    lines.extend(fields(input.schema.get("items").unwrap_or(&input.schema), 2));
    lines
}

fn locks(workflow: &Workflow) -> Vec<String> {
    workflow.locks.iter().map(|lock| workflow.source.slice(lock.span).trim_matches(['"', '\'']).to_owned()).collect()
}

/// Returns the action or the workflow of a step.
fn used(body: &StepBody) -> String {
    match body {
        StepBody::Action(body) if body.for_each.is_some() => format!("{}, for each item", body.uses.value),
        StepBody::Action(body) => body.uses.value.clone(),
        StepBody::Inline(body) if body.for_each.is_some() => format!("workflow {}, for each item", body.file.value),
        StepBody::Inline(body) => format!("workflow {}", body.file.value),
        StepBody::Unknown => "unknown".to_owned(),
    }
}

/// Returns a workflow as JSON.
fn full(text: &WorkflowText, workflow: &Workflow) -> Value {
    let input = |input: &Input| {
        json!({
            "name": input.name.value, "required": input.default.is_none(), "secret": input.secret,
            "description": input.description, "default": input.default.as_ref().and_then(SpannedTemplate::to_json),
            "schema": input.schema,
        })
    };
    json!({
        "name": workflow.name.value,
        "file": (!text.is_embedded()).then(|| text.name()),
        "description": workflow.description,
        "inputs": workflow.inputs.iter().map(input).collect::<Vec<_>>(),
        "locks": locks(workflow),
        "schedule": workflow.schedule.as_ref().map(|cron| cron.value.to_string()),
        "steps": workflow.steps.iter().map(|step| json!({ "name": step.name.value, "uses": used(&step.body) })).collect::<Vec<_>>(),
        "outputs": workflow.outputs.iter().map(|(name, _)| &name.value).collect::<Vec<_>>(),
    })
}
