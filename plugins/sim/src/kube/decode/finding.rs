use serde_json::{Map, Value};

use super::quantity;

/// Step of a path from the root of an object to a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PathStep {
    /// Key of an object.
    Key(String),
    /// Index in a list.
    Item(usize),
}

/// Field of an object that its type does not declare, or whose value has another type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldFinding {
    /// Path of the field.
    pub(crate) path: Vec<PathStep>,
    /// Mismatch of the value; `None` for an undeclared field.
    pub(crate) mismatch: Option<Mismatch>,
}

/// Value that does not have the type of its field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mismatch {
    /// Innermost Go struct that contains the field, such as `PodSpec`.
    pub(crate) structure: &'static str,
    /// Fields from the root, joined by dots, without indexes and keys of maps.
    pub(crate) field: String,
    /// Problem with the value.
    pub(crate) problem: Problem,
}

/// Problem with the value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Problem {
    /// Value of another type than the Go type of the field, such as `[]v1.Container`.
    Type { expected: String, found: Value },
    /// Text that cannot be parsed, with the error of the Go parser.
    Parse(String),
}

impl FieldFinding {
    /// Creates the finding of an undeclared field.
    pub(crate) fn undeclared(path: Vec<PathStep>) -> Self {
        Self { path, mismatch: None }
    }

    /// Creates the finding of a mismatched value.
    pub(super) fn mismatch(path: Vec<PathStep>, mismatch: Mismatch) -> Self {
        Self { path, mismatch: Some(mismatch) }
    }

    /// Returns true for a mismatched value.
    pub(super) fn is_mismatch(&self) -> bool {
        self.mismatch.is_some()
    }
}

/// Returns a path as the API names fields, such as `spec.containers[0].name`.
pub(crate) fn dotted(path: &[PathStep]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            PathStep::Key(key) if text.is_empty() => text.push_str(key),
            PathStep::Key(key) => text.extend([".", key]),
            PathStep::Item(index) => text.extend(["[", &index.to_string(), "]"]),
        }
    }
    text
}

impl Mismatch {
    /// Returns the error of the Go JSON decoder, which decodes bodies.
    pub(crate) fn json_error(&self) -> String {
        let (expected, found) = match &self.problem {
            Problem::Parse(error) => return error.clone(),
            Problem::Type { expected, .. } if expected == "resource.Quantity" => return quantity::FORMAT.to_owned(),
            Problem::Type { expected, found } => (expected.as_str(), found),
        };
        let expected = if expected == "intstr.IntOrString" { "int32" } else { expected };
        let found = match found {
            Value::Number(number) if is_numeric(expected) => format!("number {number}"),
            other => json_type(other).to_owned(),
        };
        format!(
            "json: cannot unmarshal {found} into Go struct field {}.{} of type {expected}",
            self.structure, self.field
        )
    }

    /// Returns the error of the converter from maps to Go types, which strategic patches pass
    /// through.
    pub(crate) fn conversion_error(&self) -> String {
        let (expected, found) = match &self.problem {
            Problem::Parse(error) => return error.clone(),
            Problem::Type { expected, .. } if expected == "resource.Quantity" => return quantity::FORMAT.to_owned(),
            Problem::Type { expected, found } => (expected.as_str(), found),
        };
        match go_kind(found) {
            kind if expected == "intstr.IntOrString" => {
                let found = if kind == "float64" { found.to_string() } else { json_type(found).to_owned() };
                format!("json: cannot unmarshal {found} into Go value of type int32")
            }
            kind if expected.starts_with("[]") => format!("cannot restore slice from {kind}"),
            kind if expected.starts_with("map[") => format!("cannot restore map from {kind}"),
            kind if expected.starts_with("v1.") => format!("cannot restore struct from: {kind}"),
            "int64" if expected == "string" => "cannot convert int64 to string".to_owned(),
            "float64" if is_numeric(expected) => format!("cannot convert float64 to {expected}"),
            _ => format!("unrecognized type: {expected}"),
        }
    }

    /// Returns the error of the typed values that server-side apply merges; `None` if the value
    /// passes there and fails only in the conversion after it.
    pub(crate) fn typed_error(&self) -> Option<String> {
        let Problem::Type { expected, found } = &self.problem else { return None };
        let shown = go_value(found);
        Some(match expected.as_str() {
            "string" | "[]uint8" => format!("expected string, got &value.valueUnstructured{{Value:{shown}}}"),
            "bool" => format!("expected boolean, got &{{{shown}}}"),
            "resource.Quantity" | "intstr.IntOrString" if found.is_boolean() => return None,
            "resource.Quantity" | "intstr.IntOrString" => format!("expected any scalar, got &{{{shown}}}"),
            numeric if is_numeric(numeric) && found.is_number() => return None,
            numeric if is_numeric(numeric) => {
                let found = match go_kind(found) {
                    "map" => "map[string]interface {}",
                    "slice" => "[]interface {}",
                    scalar => scalar,
                };
                format!("expected numeric (int or float), got {found}")
            }
            list if list.starts_with("[]") => format!("expected list, got &{{{shown}}}"),
            _ => format!("expected map, got &{{{shown}}}"),
        })
    }
}

/// Returns true for a Go type of numbers.
fn is_numeric(go_type: &str) -> bool {
    matches!(go_type, "int32" | "int64" | "float64")
}

/// Returns the name of the type of a JSON value in errors of the Go decoder.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Returns the kind of the Go value that an untyped JSON value becomes.
fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

/// Returns a value as the verb `%v` of Go formats it, such as `map[a:[1 true]]`.
pub(crate) fn go_value(value: &Value) -> String {
    let joined = |items: Vec<String>| items.join(" ");
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(go_value).collect())),
        Value::Object(map) => format!("map[{}]", joined(sorted(map).into_iter().map(entry).collect())),
        scalar => scalar.to_string(),
    }
}

/// Returns an entry of a map as the verb `%v` of Go formats it.
fn entry((key, value): (&String, &Value)) -> String {
    format!("{key}:{}", go_value(value))
}

/// Returns the entries of a map sorted by key.
fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| key.as_str());
    entries
}

/// Removes the field at a path; does nothing if there is none.
pub(crate) fn remove(object: &mut Value, path: &[PathStep]) {
    if let Some((PathStep::Key(key), parent)) = path.split_last()
        && let Some(Value::Object(map)) = at(object, parent)
    {
        map.shift_remove(key);
    }
}

/// Replaces the value at a path; does nothing if there is none.
pub(crate) fn set(object: &mut Value, path: &[PathStep], new: Value) {
    if let Some(value) = at(object, path) {
        *value = new;
    }
}

/// Returns the value at a path.
fn at<'a>(object: &'a mut Value, path: &[PathStep]) -> Option<&'a mut Value> {
    path.iter().try_fold(object, |value, step| match step {
        PathStep::Key(key) => value.get_mut(key),
        PathStep::Item(index) => value.get_mut(index),
    })
}
