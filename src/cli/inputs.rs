//! Inputs of a workflow from the command line and from a file.

use std::path::Path;

use serde_json::{Map, Value};
use stargate::workflow::{Input, Workflow};

use super::{Failure, args::InputArgs, exit::Exit};

/// Reads the inputs of the command line: those of the file, overridden by the single ones.
///
/// Types and missing inputs are checked when the plan is compiled.
pub(crate) fn read(args: &InputArgs, workflow: &Workflow) -> Result<Map<String, Value>, Failure> {
    let mut inputs = args.file.as_deref().map(read_file).transpose()?.unwrap_or_default();
    for (name, text) in &args.single {
        let input = workflow.inputs.iter().find(|input| input.name.value == *name);
        inputs.insert(name.clone(), input.map_or_else(|| Value::String(text.clone()), |input| value(input, text)));
    }
    Ok(inputs)
}

/// Reads a YAML or JSON file with a map of inputs.
fn read_file(path: &Path) -> Result<Map<String, Value>, Failure> {
    let unusable = |reason: String| {
        let message = format!("the inputs in {} cannot be used: {reason}", path.display());
        Failure::new(Exit::Invalid, message, "add a YAML or JSON file with a map from input to value")
    };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    serde_saphyr::from_str(&text).map_err(|error| unusable(error.to_string()))
}

/// Converts `text` to the type of the input. A list may be given without brackets: `a,b,c`.
fn value(input: &Input, text: &str) -> Value {
    let is_list = input.schema.get("type").is_some_and(|kind| kind == "array");
    match input.value_of(text) {
        Value::String(text) if is_list => list(&text),
        value => value,
    }
}

/// Converts a value to the text that [`value`] reads back as the same value.
pub(crate) fn to_argument(input: &Input, typed: &Value) -> String {
    match typed {
        Value::String(text) if value(input, text) == *typed => text.clone(),
        other => other.to_string(),
    }
}

/// Splits a list at commas. Spaces around the items and empty items are dropped.
fn list(text: &str) -> Value {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: &str, text: &str) -> Value {
        let yaml = format!("name: x\ninputs: {{a: {{type: {kind}}}}}\nsteps: {{}}\n");
        let workflow = stargate::workflow::parse("x.yaml", &yaml).workflow.expect("workflow");
        value(&workflow.inputs[0], text)
    }

    #[test]
    fn a_value_is_converted_to_the_type_of_its_input() {
        let cases = [
            ("5", "string", json!("5")),
            ("5", "integer", json!(5)),
            ("true", "boolean", json!(true)),
            ("five", "integer", json!("five")),
            ("a, b", "array", json!(["a", "b"])),
            ("", "array", json!([])),
            ("[1]", "array", json!([1])),
            ("{\"a\":1}", "object", json!({"a": 1})),
        ];
        for (text, kind, expected) in cases {
            assert_eq!(read(kind, text), expected, "{text} as {kind}");
        }
    }
}
