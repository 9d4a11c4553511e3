use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    cel_value::{BorrowedValue, map_to_cel},
    hidden::hidden_secret,
};

/// Conversion of a value to CEL.
type Convert = fn(&Value) -> BorrowedValue<'_>;

/// Variables of a CEL program: the values that it reads, under the names it uses, and nothing else.
#[derive(Default)]
pub(super) struct Variables<'v>(BTreeMap<String, VariableTree<'v>>);

enum VariableTree<'v> {
    Map(Variables<'v>),
    Value { value: BorrowedValue<'v>, hidden: Option<String> },
}

impl<'v> Variables<'v> {
    /// Adds the part of `value` that `names[depth..]` leads to, under all of `names`. A missing
    /// field is not added, so that CEL reports it.
    pub(super) fn insert(&mut self, names: &[String], depth: usize, value: &'v Value, convert: Convert) {
        let Some((name, below)) = names.split_first() else { return };
        if depth == 0 {
            let Value::Object(map) = value else { return };
            let Some(field) = map.get(name) else { return };
            return self.put(name, below, 0, field, convert);
        }
        self.put(name, below, depth - 1, value, convert);
    }

    /// Adds `value` under `name`, `depth` levels above the names that lead inside it.
    fn put(&mut self, name: &str, below: &[String], depth: usize, value: &'v Value, convert: Convert) {
        if depth == 0 && (below.is_empty() || !value.is_object()) {
            let tree = VariableTree::Value { value: convert(value), hidden: hidden_secret(value) };
            self.0.insert(name.to_owned(), tree);
        } else if let Some(inner) = self.inner(name) {
            inner.insert(below, depth, value, convert);
        }
    }

    /// Makes sure that `names` lead to a map, if only an empty one.
    pub(super) fn reserve(&mut self, names: &[String]) {
        if let Some((name, below)) = names.split_first()
            && let Some(inner) = self.inner(name)
        {
            inner.reserve(below);
        }
    }

    /// Returns the map under `name`, created if missing; `None` if a complete value is there.
    fn inner(&mut self, name: &str) -> Option<&mut Self> {
        let entry = self.0.entry(name.to_owned()).or_insert_with(|| VariableTree::Map(Self::default()));
        match entry {
            VariableTree::Map(variables) => Some(variables),
            // A value that is not a map has been added completely.
            VariableTree::Value { .. } => None,
        }
    }

    /// Returns the first secret that a value hides, cut around it; `None` if there is none.
    pub(super) fn hidden_secret(&self) -> Option<String> {
        self.0.values().find_map(|tree| match tree {
            VariableTree::Map(variables) => variables.hidden_secret(),
            VariableTree::Value { hidden, .. } => hidden.clone(),
        })
    }

    /// Returns the variables as CEL values, sorted by name.
    pub(super) fn into_cel(self) -> impl Iterator<Item = (String, BorrowedValue<'v>)> {
        self.0.into_iter().map(|(name, tree)| (name, tree.into_cel()))
    }
}

impl<'v> VariableTree<'v> {
    fn into_cel(self) -> BorrowedValue<'v> {
        match self {
            Self::Value { value, .. } => value,
            Self::Map(variables) => map_to_cel(variables.into_cel()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::cel_value::{from_cel, to_cel};

    #[test]
    fn only_the_named_part_of_a_value_is_converted() {
        let output = json!({"size": 7, "raw": (0..10_000).collect::<Vec<_>>()});
        let names = ["steps", "net", "outputs", "size"].map(str::to_owned);
        let mut variables = Variables::default();
        variables.insert(&names, 3, &output, to_cel);
        let json = |value: BorrowedValue| from_cel(&value.as_ref().try_into().expect("a value of JSON"));
        let converted: Vec<_> = variables.into_cel().map(|(name, value)| (name, json(value))).collect();
        assert_eq!(converted, [("steps".to_owned(), Ok(json!({"net": {"outputs": {"size": 7}}})))]);
    }
}
