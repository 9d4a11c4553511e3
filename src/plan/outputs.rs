use std::{
    fmt,
    ops::{Deref, Index},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::evaluate::descend;
use crate::workflow::PathKey;

/// Outputs of a workflow by name, in the order of the workflow.
///
/// An output that is the output of a step, or a part of it, is in memory once. The JSON of outputs
/// is that of a map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outputs(Vec<(String, OutputValue)>);

impl Outputs {
    /// Adds an output.
    pub(super) fn add(&mut self, name: String, value: OutputValue) {
        self.0.push((name, value));
    }

    /// Returns the output with this name; `None` if the workflow has no such output.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Iterates over names and values, in the order of the workflow.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    /// True if there are no outputs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Returns `null` for a name that the workflow does not have.
impl Index<&str> for Outputs {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::Null)
    }
}

impl Serialize for Outputs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Outputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let outputs = Map::deserialize(deserializer)?;
        Ok(Self(outputs.into_iter().map(|(name, value)| (name, value.into())).collect()))
    }
}

/// A value, or the part of a shared one that a path leads to.
#[derive(Clone)]
pub(super) struct OutputValue {
    whole: Arc<Value>,
    path: Vec<PathKey>,
}

impl OutputValue {
    /// Returns the part of `whole` that `path` leads to; `None` if there is none.
    pub(super) fn part(whole: Arc<Value>, path: &[PathKey]) -> Option<Self> {
        descend(&whole, path).is_ok().then(|| Self { whole, path: path.to_vec() })
    }
}

impl Deref for OutputValue {
    type Target = Value;

    fn deref(&self) -> &Value {
        descend(&self.whole, &self.path).unwrap_or(&Value::Null)
    }
}

impl From<Value> for OutputValue {
    fn from(value: Value) -> Self {
        Self { whole: Arc::new(value), path: Vec::new() }
    }
}

impl PartialEq for OutputValue {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for OutputValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(whole: &Arc<Value>, path: &[PathKey]) -> Option<OutputValue> {
        OutputValue::part(Arc::clone(whole), path)
    }

    #[test]
    fn a_part_of_a_value_is_read_without_a_copy() {
        let whole = Arc::new(json!({"routes": [{"id": "a"}, {"id": "b"}]}));
        let path = [PathKey::Field("routes".into()), PathKey::Index(1)];
        let found = part(&whole, &path).expect("the path leads to an item");
        assert!(std::ptr::eq(&raw const *found, &raw const whole["routes"][1]));
        assert_eq!(part(&whole, &[]).as_deref(), Some(&*whole));
        assert_eq!(part(&whole, &[PathKey::Index(0)]), None);
    }

    #[test]
    fn outputs_are_stored_as_a_map_in_their_order() {
        let whole = Arc::new(json!({"a": [1, 2]}));
        let mut outputs = Outputs::default();
        outputs.add("second".into(), part(&whole, &[PathKey::Field("a".into())]).expect("it has the field"));
        outputs.add("first".into(), json!("text").into());
        let stored = serde_json::to_string(&outputs).expect("JSON");
        assert_eq!(stored, r#"{"second":[1,2],"first":"text"}"#);
        let again: Outputs = serde_json::from_str(&stored).expect("it was stored");
        assert_eq!(again, outputs);
        assert_eq!((&again["first"], &again["third"]), (&json!("text"), &Value::Null));
    }
}
