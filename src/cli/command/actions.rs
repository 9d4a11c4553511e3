//! Implementation of the command `actions`.
//!
//! JSON: a list of `{name, version, summary}`; for one action also `nature`, `recovery`, `input`
//! and `output`, the last two as JSON Schema.

use serde_json::{Value, json};
use stargate_sdk::{DynAction, Registry};

use crate::{
    cli::{
        Failure, Settings,
        args::{ActionsArgs, Output},
        exit::Exit,
        ui::{self, Tone},
    },
    wiring,
};

/// Command `actions`: lists all actions with their summaries, or shows one with its schemas.
pub(crate) fn actions(settings: &Settings, args: &ActionsArgs) -> Result<Exit, Failure> {
    let (registry, _) = wiring::build(settings)?;
    match &args.action {
        None => list(settings.output, &registry),
        Some(name) => one(settings.output, &**registry.find(name).ok_or_else(|| unknown(name))?),
    }
    Ok(Exit::Success)
}

fn unknown(name: &str) -> Failure {
    Failure::usage(format!("there is no action {name:?}"), "run `stargate actions` to list all actions")
}

/// Lists all actions, with aligned summaries.
fn list(output: Output, registry: &Registry) {
    if output == Output::Json {
        return ui::out_json_pretty(&registry.iter().map(|action| summary(&**action)).collect::<Vec<_>>());
    }
    let width = registry.iter().map(|action| action.name().len()).max().unwrap_or_default();
    for action in registry.iter() {
        ui::out(&format!("{:width$}  {}", action.name(), action.summary()));
    }
}

/// Shows name, version, summary, and one line per field of input and output.
fn one(output: Output, action: &dyn DynAction) {
    if output == Output::Json {
        return ui::out_json_pretty(&full(action));
    }
    ui::out(&ui::paint_out(Tone::Strong, &format!("{} version {}", action.name(), action.version())));
    ui::out(action.summary());
    for (what, schema) in [("with", action.input_schema()), ("outputs", action.output_schema())] {
        ui::out("");
        ui::out(&ui::paint_out(Tone::Strong, &format!("{what}:")));
        show_fields(schema, 1);
    }
}

/// Returns an action as an entry of the JSON list.
fn summary(action: &dyn DynAction) -> Value {
    json!({ "name": action.name(), "version": action.version(), "summary": action.summary() })
}

/// Returns an action with its schemas and its recovery, as JSON.
fn full(action: &dyn DynAction) -> Value {
    json!({
        "name": action.name(), "version": action.version(), "summary": action.summary(),
        "nature": action.nature(), "recovery": action.recovery(), "input": action.input_schema(), "output": action.output_schema(),
    })
}

/// Prints one line per field of an object schema, nested fields indented.
fn show_fields(schema: &Value, depth: usize) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<_> = schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
    for (name, field) in properties {
        let optional = if required.iter().any(|key| *key == name) { "" } else { ", optional" };
        let description = field.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let line = format!("{:indent$}{name} ({}{optional})  {description}", "", kind(field), indent = depth * 2);
        ui::out(line.trim_end());
        show_fields(field.get("items").unwrap_or(field), depth + 1);
    }
}

/// Names the type of a field for people, such as `list of string` or `cidr`.
fn kind(schema: &Value) -> String {
    let of = |value: &Value| match value {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect();
            kinds.join(" or ")
        }
        _ => "any".into(),
    };
    let kind = schema.get("type").map_or_else(|| "any".into(), of);
    match (kind.as_str(), schema.get("items"), schema.get("format").and_then(Value::as_str)) {
        ("array", Some(items), _) => format!("list of {}", self::kind(items)),
        ("object", ..) => "map".into(),
        (_, _, Some(format)) => format.into(),
        _ => kind,
    }
}
