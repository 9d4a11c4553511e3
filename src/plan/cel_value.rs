use std::collections::HashMap;

use cel::{
    common::{
        types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt},
        value::Val,
    },
    objects,
};
use serde_json::Value;

/// Value of a CEL program that borrows texts and keys from JSON.
pub(super) type BorrowedValue<'v> = Box<dyn Val + 'v>;

/// Converts JSON to a CEL value, without a copy of its texts.
///
/// The conversion through serde would make unsigned numbers of JSON's integers, which CEL cannot
/// add to signed ones. The one through [`objects::Value`] would copy everything twice.
pub(super) fn to_cel(value: &Value) -> BorrowedValue<'_> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => number_to_cel(number),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => Box::new(CelList::from(items.iter().map(to_cel).collect::<Vec<_>>())),
        Value::Object(members) => map_to_cel(members.iter().map(|(name, member)| (name.as_str(), to_cel(member)))),
    }
}

/// Converts a value of which only the size is read: what is inside it becomes `null`.
pub(super) fn sized_to_cel(value: &Value) -> BorrowedValue<'_> {
    match value {
        Value::Array(items) => Box::new(CelList::from(items.iter().map(|_| null()).collect::<Vec<_>>())),
        Value::Object(members) => map_to_cel(members.keys().map(|key| (key.as_str(), null()))),
        other => to_cel(other),
    }
}

/// Creates a CEL map of named members.
pub(super) fn map_to_cel<'v, K: Into<CelMapKey<'v>>>(
    members: impl Iterator<Item = (K, BorrowedValue<'v>)>,
) -> BorrowedValue<'v> {
    let members: HashMap<CelMapKey<'v>, BorrowedValue<'v>> =
        members.map(|(name, value)| (name.into(), value)).collect();
    Box::new(CelMap::from(members))
}

/// Returns CEL's `null`, which takes no memory.
fn null<'v>() -> BorrowedValue<'v> {
    Box::new(CelNull)
}

fn number_to_cel<'v>(number: &serde_json::Number) -> BorrowedValue<'v> {
    match (number.as_i64(), number.as_u64()) {
        (Some(signed), _) => Box::new(CelInt::from(signed)),
        (None, Some(unsigned)) => Box::new(CelUInt::from(unsigned)),
        (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
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
