//! Inputs of a workflow from the command line and from a file.

use std::path::Path;

use serde_json::Value;
use stargate::workflow::{GivenInputs, Input, Workflow};

use super::{
    Failure,
    args::InputArgs,
    deployment,
    exit::Exit,
    text_file::{self, STANDARD_INPUT},
    workflow_text::CORRECT_HINT,
};

/// Reads the inputs of the command line: those of the file, overridden by the single ones.
///
/// Types and missing inputs are checked when the plan is compiled.
pub(crate) fn read(args: &InputArgs, workflow: &Workflow) -> Result<GivenInputs, Failure> {
    let mut inputs = args.file.as_deref().map(read_file).transpose()?.unwrap_or_default();
    deployment::keep_declared(&mut inputs, workflow)?;
    for (name, text) in &args.single {
        let input = workflow.inputs.iter().find(|input| input.name.value == *name);
        let value = match input {
            Some(input) => checked_value(input, text)?,
            None => Value::String(text.clone()),
        };
        inputs.set_argument(name, text, value);
    }
    Ok(inputs)
}

/// Reads a YAML or JSON file with a map of inputs; `-` is standard input.
fn read_file(path: &Path) -> Result<GivenInputs, Failure> {
    let name = if path == Path::new("-") { STANDARD_INPUT.into() } else { path.display().to_string() };
    let text = text_file::read_or_standard_input(path).map_err(|reason| {
        let message = format!("cannot read the inputs in {name}: {reason}");
        Failure::new(Exit::Invalid, message, "add a YAML or JSON file with a map from input to value, or `-`")
    })?;
    GivenInputs::parse(&name, &text).map_err(|diagnostics| Failure::invalid(diagnostics, CORRECT_HINT))
}

/// Converts `text` to the type of the input. Text that begins as a list or a map of JSON must be
/// one.
fn checked_value(input: &Input, text: &str) -> Result<Value, Failure> {
    let begins = [("array", '['), ("object", '{')].iter().any(|(kind, bracket)| {
        input.schema.get("type").is_some_and(|known| known == kind) && text.trim_start().starts_with(*bracket)
    });
    match serde_json::from_str::<Value>(text) {
        Err(error) if begins => {
            let message = format!("the input {:?} is not JSON: {error}", input.name.value);
            Err(Failure::new(Exit::Invalid, message, "correct the value, or put it into a file for --inputs"))
        }
        _ => Ok(value(input, text)),
    }
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
    fn text_that_begins_as_json_is_json() {
        let yaml = "name: x\ninputs: {a: {type: array}, s: {type: string}}\nsteps: {}\n";
        let workflow = stargate::workflow::parse("x.yaml", yaml).workflow.expect("workflow");
        let failed = checked_value(&workflow.inputs[0], r#"[{"x":1},{"y":2}"#).expect_err("no end");
        assert!(format!("{failed:?}").contains("line 1 column 16"), "{failed:?}");
        assert_eq!(checked_value(&workflow.inputs[0], "[1, 2]").expect("JSON"), json!([1, 2]));
        assert_eq!(checked_value(&workflow.inputs[1], "[1").expect("text"), json!("[1"));
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
