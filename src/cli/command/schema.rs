//! Command `schema`: the JSON Schema of workflow files, built from the schemas of the registered
//! actions.

use serde_json::{Map, Value, json};
use stargate_sdk::{DynAction, Registry};

use crate::{
    cli::{Failure, Settings, exit::Exit, ui},
    wiring,
};

/// Command `schema`: prints the JSON Schema of workflow files, for completion and checks in
/// editors.
///
/// The schema accepts more than `validate`: references in expressions are beyond JSON Schema.
pub(crate) fn schema(settings: &Settings) -> Result<Exit, Failure> {
    let (registry, _) = wiring::build(settings)?;
    ui::out_json_pretty(&workflow(&registry));
    Ok(Exit::Success)
}

fn workflow(registry: &Registry) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A workflow of stargate",
        "type": "object",
        "required": ["name", "steps"],
        "additionalProperties": false,
        "properties": {
            "name": { "type": "string" },
            "description": { "type": "string" },
            "inputs": { "type": "object", "additionalProperties": input() },
            "schedule": {
                "type": "object", "required": ["cron"], "additionalProperties": false,
                "description": "Times at which `stargate schedule` runs the workflow",
                "properties": { "cron": { "type": "string", "description": "Five fields, such as */5 * * * *" } },
            },
            "checks": {
                "type": "array",
                "description": "Conditions over inputs, made before a run",
                "items": {
                    "type": "object", "additionalProperties": false, "required": ["that", "message"],
                    "properties": {
                        "that": { "type": "string", "description": "Condition, one expression" },
                        "message": { "type": "string", "description": "Error message if it does not hold" },
                        "hint": { "type": "string", "description": "Correction that helps then" },
                    },
                },
            },
            "locks": {
                "type": "array", "items": { "type": "string" },
                "description": "Names that no other run may hold while a run of this workflow is running, such as cluster/${{ inputs.cluster }}",
            },
            "steps": { "type": "object", "minProperties": 1, "additionalProperties": step(registry) },
            "finally": {
                "type": "object", "additionalProperties": step(registry),
                "description": "Steps that start when all steps have ended, after success, failure and cancellation",
            },
            "outputs": { "type": "object" },
        },
    })
}

fn input() -> Value {
    json!({
        "type": "object",
        "description": "JSON Schema of the input's value, with its default",
        "properties": {
            "description": { "type": "string" },
            "secret": { "type": "boolean", "description": "The value is a secret reference such as env:NAME" },
            "default": { "description": "Value used if none is given; without a default the input is required" },
        },
    })
}

/// Returns the schema of a step. The schema of `with` depends on the action.
fn step(registry: &Registry) -> Value {
    let names: Vec<_> = registry.iter().map(|action| action.name()).collect();
    let inputs: Vec<_> = registry.iter().map(|action| with_of(&**action)).collect();
    json!({
        "type": "object",
        "oneOf": [{ "required": ["uses"] }, { "required": ["workflow"] }],
        "additionalProperties": false,
        "properties": {
            "uses": { "enum": names, "description": "Name of the action" },
            "workflow": { "type": "string", "description": "Workflow that is inlined instead of this step: a file or a name" },
            "with": { "type": "object", "description": "Input of the action or the inlined workflow" },
            "needs": { "type": "array", "items": { "type": "string" }, "description": "Dependencies in addition to the steps that expressions refer to" },
            "after": { "type": "array", "items": { "type": "string" }, "description": "Steps that must have ended, with any result" },
            "needs_each": { "type": "array", "items": { "type": "string" }, "description": "for_each steps of which each instance needs the instance with the same key" },
            "when": { "type": ["string", "boolean"], "description": "Condition; if it is false, the step is skipped" },
            "approval": { "type": "string", "description": "Question that an operator must approve before the step starts; see `stargate approve`" },
            "for_each": { "type": ["string", "array"], "description": "List; the step, or the workflow, has an instance for each item" },
            "as": { "type": "string", "description": "Name of the item in `with`, `key` and `group`; with workflow also in `when`" },
            "key": { "type": "string", "description": "Key of an instance, unique within the step" },
            "group": { "type": "string", "description": "Group under which an instance is reported at the end of a run, such as its site" },
            "max_parallel": { "type": ["integer", "string"], "minimum": 1, "description": "Maximum number of concurrent instances; with workflow also an expression of inputs" },
            "fail_fast": { "type": "boolean", "description": "No further instance starts once one has failed" },
            "max_failures": { "type": "integer", "minimum": 1, "description": "Number of failed instances after which no further one starts; not with workflow" },
            "canary": { "type": "boolean", "description": "With workflow: all other instances need the first one" },
            "allow_failure": { "type": "boolean", "description": "A failure does not fail the run: what needs the step starts, and reads `steps.NAME.failed`" },
            "timeout": { "type": "string", "description": "Maximum duration of one attempt, such as 10m" },
            "retry": retry(),
        },
        "allOf": inputs,
    })
}

fn retry() -> Value {
    let duration = json!({ "type": "string", "pattern": "^([0-9]+(ms|d|h|m|s))+$" });
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "attempts": { "type": "integer", "minimum": 1 },
            "initial": duration, "max": duration, "budget": duration,
            "factor": { "type": "number", "minimum": 1 },
        },
    })
}

/// Returns the condition that gives `with` the input schema of one action.
fn with_of(action: &dyn DynAction) -> Value {
    json!({
        "if": { "properties": { "uses": { "const": action.name() } }, "required": ["uses"] },
        "then": {
            "description": action.summary(),
            "properties": { "with": open(action.input_schema()) },
        },
    })
}

/// Returns the schema with expressions allowed as nested values. The outermost value
/// keeps its type.
fn open(schema: &Value) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let opened = fields.iter().filter(|(key, _)| *key != "$schema").map(|(key, value)| {
        let value = match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                Value::Object(properties.iter().map(|(name, field)| (name.clone(), or_expression(field))).collect())
            }
            ("items" | "additionalProperties", Value::Object(_)) => or_expression(value),
            _ => value.clone(),
        };
        (key.clone(), value)
    });
    Value::Object(opened.collect::<Map<_, _>>())
}

/// Returns a schema that accepts an expression instead of the value. The description stays at the
/// top, where editors read it.
fn or_expression(schema: &Value) -> Value {
    let expression = json!({ "type": "string", "pattern": r"\$\{\{" });
    let mut either = json!({ "anyOf": [open(schema), expression] });
    if let Some(description) = schema.get("description") {
        either["description"] = description.clone();
    }
    either
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_may_be_an_expression_and_keeps_its_description() {
        let schema = json!({ "type": "object", "properties": {
            "list": { "type": "array", "description": "All.", "items": { "type": "integer" } } } });
        let opened = open(&schema);
        let list = &opened["properties"]["list"];
        assert_eq!((&opened["type"], &list["description"]), (&json!("object"), &json!("All.")));
        assert_eq!(list["anyOf"][0]["items"]["anyOf"][0], json!({ "type": "integer" }));
        assert_eq!(list["anyOf"][1]["pattern"], r"\$\{\{");
    }
}
