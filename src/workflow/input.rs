use serde_json::{Map, Value};

use super::{
    Input,
    reader::{Reader, list},
    yaml_node::{YamlEntry, YamlNode, YamlValue},
};

/// Keywords that the schema of an input can contain: the part of JSON Schema that is checked.
const KEYWORDS: [&str; 18] = [
    "type",
    "description",
    "default",
    "enum",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "items",
    "properties",
    "required",
    "additionalProperties",
    "secret",
    "title",
];
/// Types that a schema can name.
const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "array", "object", "null"];
/// Formats that the schema of an input can name.
const FORMATS: [&str; 3] = ["cidr", "ip", "duration"];

/// Reads one entry of `inputs`. After an error, the part that could be read is returned.
pub(super) fn read_input(reader: &mut Reader, entry: &YamlEntry) -> Input {
    let what = format!("input {:?}", entry.key.value);
    if !matches!(entry.value.kind, YamlValue::Map(_)) {
        reader.expected(&entry.value, &what, "a map such as {type: string}");
        let schema = Value::Object(Map::new());
        return Input { name: entry.key.clone(), description: None, schema, default: None, secret: false };
    }
    let fields = reader.fields(&entry.value, &what, &KEYWORDS);
    let secret = fields.value("secret").is_some_and(|node| read_bool(reader, node, "secret"));
    let default = fields.find("default").map(|default| reader.template(&default.value));
    let description =
        fields.value("description").and_then(|node| reader.text(node, "description")).map(|text| text.value);
    let mut schema = read_schema(reader, &entry.value, &what);
    for key in ["default", "description", "secret"] {
        schema.shift_remove(key);
    }
    if fields.find("type").is_none() && fields.find("enum").is_none() {
        if secret {
            schema.insert("type".into(), "string".into());
        } else {
            let hint = format!("add `type:`, one of {}", list(&TYPES));
            reader.report("workflow::missing", entry.key.span, format!("{what} has no type"), "no type", hint);
        }
    }
    if secret && schema.get("type").is_some_and(|kind| kind != "string") {
        let message = format!("{what} is secret, so its type must be string");
        let hint = "a secret is given by reference, such as env:NAME, and references are text".to_owned();
        reader.report("workflow::schema", entry.key.span, message, "not text", hint);
    }
    Input { name: entry.key.clone(), description, schema: Value::Object(schema), default, secret }
}

/// Reads and checks a schema. Keywords with errors are omitted.
fn read_schema(reader: &mut Reader, node: &YamlNode, what: &str) -> Map<String, Value> {
    let mut schema = Map::new();
    let YamlValue::Map(entries) = &node.kind else {
        reader.expected(node, what, "a schema such as {type: string}");
        return schema;
    };
    for entry in entries {
        if let Some(value) = read_keyword(reader, &entry.key.value, &entry.value) {
            schema.insert(entry.key.value.clone(), value);
        }
    }
    schema
}

/// Reads the value of one keyword of a schema; `None` if it has an error.
fn read_keyword(reader: &mut Reader, keyword: &str, node: &YamlNode) -> Option<Value> {
    let fits = match keyword {
        "type" => return read_type(reader, node),
        "format" => return read_word(reader, node, "format", &FORMATS),
        "pattern" => return read_pattern(reader, node),
        "items" => {
            nested_keys(reader, node, "items");
            return Some(Value::Object(read_schema(reader, node, "items")));
        }
        "properties" => return Some(read_properties(reader, node)),
        "additionalProperties" if matches!(node.kind, YamlValue::Bool(_)) => return Some(node.to_json()),
        "additionalProperties" => {
            nested_keys(reader, node, "additionalProperties");
            return Some(Value::Object(read_schema(reader, node, "additionalProperties")));
        }
        "minimum" | "maximum" => matches!(node.kind, YamlValue::Number(_)),
        "minLength" | "maxLength" | "minItems" | "maxItems" => {
            matches!(&node.kind, YamlValue::Number(number) if number.is_u64())
        }
        "enum" => matches!(&node.kind, YamlValue::List(items) if !items.is_empty()),
        "required" => {
            matches!(&node.kind, YamlValue::List(items) if items.iter().all(|item| matches!(item.kind, YamlValue::Text(_))))
        }
        "description" | "title" | "default" | "secret" => true,
        _ => return None,
    };
    if !fits {
        let expected = match keyword {
            "enum" => "a list of the values that are allowed",
            "required" => "a list of names",
            "minimum" | "maximum" => "a number",
            _ => "a whole number from 0 on",
        };
        reader.expected(node, keyword, expected);
        return None;
    }
    Some(node.to_json())
}

/// Reports unknown keywords of a nested schema, which has neither default nor secret.
fn nested_keys(reader: &mut Reader, node: &YamlNode, what: &str) {
    if matches!(node.kind, YamlValue::Map(_)) {
        let known: Vec<&str> = KEYWORDS.into_iter().filter(|key| !matches!(*key, "default" | "secret")).collect();
        reader.fields(node, what, &known);
    }
}

/// Reads `properties`: a schema for each name.
fn read_properties(reader: &mut Reader, node: &YamlNode) -> Value {
    let entries = reader.entries(node, "properties");
    let mut properties = Map::new();
    for entry in entries {
        let what = format!("property {:?}", entry.key.value);
        nested_keys(reader, &entry.value, &what);
        properties.insert(entry.key.value.clone(), Value::Object(read_schema(reader, &entry.value, &what)));
    }
    Value::Object(properties)
}

/// Reads true or false; false after an error.
fn read_bool(reader: &mut Reader, node: &YamlNode, what: &str) -> bool {
    if let YamlValue::Bool(value) = node.kind {
        return value;
    }
    reader.expected(node, what, "true or false");
    false
}

/// Reads `type`: one type or a list of them.
fn read_type(reader: &mut Reader, node: &YamlNode) -> Option<Value> {
    match &node.kind {
        YamlValue::List(items) if !items.is_empty() => {
            items.iter().map(|item| read_word(reader, item, "type", &TYPES)).collect::<Option<Value>>()
        }
        _ => read_word(reader, node, "type", &TYPES),
    }
}

/// Reads one of a fixed set of words.
fn read_word(reader: &mut Reader, node: &YamlNode, what: &str, words: &[&str]) -> Option<Value> {
    let word = reader.text(node, what)?;
    if words.contains(&word.value.as_str()) {
        return Some(Value::String(word.value));
    }
    let hint = super::suggest::did_you_mean(&word.value, words.iter().copied())
        .unwrap_or_else(|| format!("{what} is one of {}", list(words)));
    reader.report("workflow::schema", word.span, format!("unknown {what} {:?}", word.value), "not known", hint);
    None
}

/// Reads a regular expression, which is compiled for the check.
fn read_pattern(reader: &mut Reader, node: &YamlNode) -> Option<Value> {
    let pattern = reader.text(node, "pattern")?;
    match reader.patterns.compile(&pattern.value) {
        Ok(_) => Some(Value::String(pattern.value)),
        Err(reason) => {
            let message = format!("{:?} is not a regular expression: {reason}", pattern.value);
            reader.report("workflow::schema", pattern.span, message, "cannot be used", None);
            None
        }
    }
}
