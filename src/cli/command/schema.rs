use serde_json::{Map, Value, json};
use stargate_sdk::{DynAction, Registry};

use crate::{
    cli::{Failure, Settings, exit::Exit, ui},
    wiring,
};

/// `schema`: what editors need to complete and check workflow files as they are written.
///
/// It says less than `validate`: what an expression refers to is beyond JSON Schema.
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
                "description": "When `stargate schedule` runs it",
                "properties": { "cron": { "type": "string", "description": "Five fields, such as */5 * * * *" } },
            },
            "locks": {
                "type": "array", "items": { "type": "string" },
                "description": "What no other run may hold while a run of this goes on, such as cluster/${{ inputs.cluster }}",
            },
            "steps": { "type": "object", "minProperties": 1, "additionalProperties": step(registry) },
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
            "secret": { "type": "boolean", "description": "The value is a reference such as env:NAME" },
            "default": { "description": "The value when none is given; without one the input is required" },
        },
    })
}

fn step(registry: &Registry) -> Value {
    let names: Vec<_> = registry.iter().map(|action| action.name()).collect();
    let inputs: Vec<_> = registry.iter().map(|action| with_of(&**action)).collect();
    json!({
        "type": "object",
        "oneOf": [{ "required": ["uses"] }, { "required": ["workflow"] }],
        "additionalProperties": false,
        "properties": {
            "uses": { "enum": names, "description": "The action to run" },
            "workflow": { "type": "string", "description": "A file whose steps take this step's place" },
            "with": { "type": "object", "description": "What it is given" },
            "needs": { "type": "array", "items": { "type": "string" }, "description": "Steps to be done before, beyond those referred to" },
            "when": { "type": ["string", "boolean"], "description": "Whether it is run at all" },
            "approval": { "type": "string", "description": "What a person is asked before it begins; see `stargate approve`" },
            "for_each": { "type": "string", "description": "A list; the step is run for every item" },
            "as": { "type": "string", "description": "What `with` and `key` call the item" },
            "key": { "type": "string", "description": "What tells the items apart" },
            "max_parallel": { "type": "integer", "minimum": 1 },
            "timeout": { "type": "string", "description": "How long one attempt may take, such as 10m" },
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

/// The input of one action, where a step uses it.
fn with_of(action: &dyn DynAction) -> Value {
    json!({
        "if": { "properties": { "uses": { "const": action.name() } }, "required": ["uses"] },
        "then": {
            "description": action.summary(),
            "properties": { "with": open(action.input_schema()) },
        },
    })
}

/// The schema of values in which expressions may stand. The value as a whole stays what it is.
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
    fn a_field_may_be_an_expression_and_its_description_stays_where_editors_look() {
        let schema = json!({ "type": "object", "properties": {
            "list": { "type": "array", "description": "All.", "items": { "type": "integer" } } } });
        let opened = open(&schema);
        let list = &opened["properties"]["list"];
        assert_eq!((&opened["type"], &list["description"]), (&json!("object"), &json!("All.")));
        assert_eq!(list["anyOf"][0]["items"]["anyOf"][0], json!({ "type": "integer" }));
        assert_eq!(list["anyOf"][1]["pattern"], r"\$\{\{");
    }
}
