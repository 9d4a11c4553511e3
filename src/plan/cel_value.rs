use std::{collections::HashMap, sync::Arc};

use cel::objects;
use serde_json::Value;

/// Converts JSON to a CEL value.
///
/// The conversion through serde would make unsigned numbers of JSON's integers, which CEL cannot
/// add to signed ones.
pub(super) fn to_cel(value: &Value) -> objects::Value {
    convert(value, &mut HashMap::new())
}

/// Converts a value of which only the size is read: what is inside it becomes `null`.
pub(super) fn sized_to_cel(value: &Value) -> objects::Value {
    match value {
        Value::Array(items) => objects::Value::List(Arc::new(vec![objects::Value::Null; items.len()])),
        Value::Object(members) => {
            let map = members.keys().map(|key| (key.as_str().into(), objects::Value::Null)).collect();
            objects::Value::Map(objects::Map { map: Arc::new(map) })
        }
        other => to_cel(other),
    }
}

/// Converts a value. `keys` are the keys of maps so far: those of a list's items are the same, and
/// exist once.
fn convert<'a>(value: &'a Value, keys: &mut HashMap<&'a str, objects::Key>) -> objects::Value {
    match value {
        Value::Null => objects::Value::Null,
        Value::Bool(value) => objects::Value::Bool(*value),
        Value::Number(number) => number_to_cel(number),
        Value::String(text) => objects::Value::String(Arc::new(text.clone())),
        Value::Array(items) => objects::Value::List(Arc::new(items.iter().map(|item| convert(item, keys)).collect())),
        Value::Object(members) => {
            let mut map = HashMap::with_capacity(members.len());
            for (name, member) in members {
                let key = keys.entry(name).or_insert_with(|| name.as_str().into()).clone();
                map.insert(key, convert(member, keys));
            }
            objects::Value::Map(objects::Map { map: Arc::new(map) })
        }
    }
}

fn number_to_cel(number: &serde_json::Number) -> objects::Value {
    match (number.as_i64(), number.as_u64()) {
        (Some(signed), _) => objects::Value::Int(signed),
        (None, Some(unsigned)) => objects::Value::UInt(unsigned),
        (None, None) => objects::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// Converts a CEL value to JSON.
///
/// # Errors
/// The value, or one inside it, has no form in JSON, such as bytes or a number that is not finite.
pub(super) fn from_cel(value: &objects::Value) -> Result<Value, String> {
    match value {
        objects::Value::Null => Ok(Value::Null),
        objects::Value::Bool(value) => Ok(Value::Bool(*value)),
        objects::Value::Int(number) => Ok((*number).into()),
        objects::Value::UInt(number) => Ok((*number).into()),
        objects::Value::Float(number) => serde_json::Number::from_f64(*number)
            .map(Value::Number)
            .ok_or_else(|| format!("the number {number} has no form in JSON")),
        objects::Value::String(text) => Ok(Value::String(text.to_string())),
        objects::Value::List(items) => items.iter().map(from_cel).collect(),
        objects::Value::Map(map) => map_from_cel(map),
        other => Err(format!("its value has the type {}, which JSON does not have", other.type_of())),
    }
}

/// Converts a map, with its keys sorted: CEL's maps have no order, and equal inputs must give equal
/// outputs.
fn map_from_cel(map: &objects::Map) -> Result<Value, String> {
    let mut entries = Vec::with_capacity(map.map.len());
    for (key, value) in map.map.iter() {
        entries.push((key.to_string(), from_cel(value)?));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Value::Object(entries.into_iter().collect()))
}
