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
        schema_text::fields,
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
        for line in fields(schema, 1) {
            ui::out(&line);
        }
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
