use std::collections::BTreeSet;

use serde_json::Value;

use crate::workflow::{SpannedTemplate, TemplateKind};

/// Maximum length of a chain of references. A longer one is a cycle.
const MAX_REFERENCES: usize = 32;
/// Maximum nesting of combinators that is searched, which ends cycles of references. Below it, any
/// value is allowed.
const MAX_DEPTH: usize = 16;

/// A set of kinds of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    /// No kind: no value is allowed.
    pub(super) const NOTHING: Self = Self(0);
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(2);
    pub(super) const INTEGER: Self = Self(4);
    /// Numbers that are not whole.
    pub(super) const FRACTION: Self = Self(8);
    /// Numbers, whole or not.
    pub(super) const NUMBER: Self = Self(4 | 8);
    pub(super) const STRING: Self = Self(16);
    pub(super) const ARRAY: Self = Self(32);
    pub(super) const OBJECT: Self = Self(64);
    pub(super) const ANY: Self = Self(127);

    /// Returns the kinds of a `type` keyword. Unknown types allow any kind.
    fn named(name: &str) -> Self {
        match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => Self::ANY,
        }
    }

    /// Returns the kind of a value. A number with a point or an exponent is no integer: JSON Schema
    /// counts 22.0 among them, but an action that takes an integer refuses it.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number.is_i64() || number.is_u64() => Self::INTEGER,
            Value::Number(_) => Self::FRACTION,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    /// Returns the kinds of a value that is written in a workflow. An expression can have any.
    pub(super) fn of_template(template: &SpannedTemplate) -> Self {
        match &template.kind {
            TemplateKind::Null => Self::NULL,
            TemplateKind::Bool(_) => Self::BOOLEAN,
            TemplateKind::Number(number) => Self::of(&Value::Number(number.clone())),
            TemplateKind::Text(_) | TemplateKind::Parts(_) => Self::STRING,
            TemplateKind::List(_) => Self::ARRAY,
            TemplateKind::Map(_) => Self::OBJECT,
            TemplateKind::Expression(_) | TemplateKind::Unknown => Self::ANY,
        }
    }

    pub(super) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the kinds in both sets.
    pub(super) fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns true if a value can be of a kind in both sets.
    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the kinds as text for people, such as `text or a number`. `null` is omitted next to
    /// other kinds.
    pub(super) fn describe(self) -> String {
        let words = [
            (Self::STRING, "text"),
            (Self::NUMBER, "a number"),
            (Self::BOOLEAN, "true or false"),
            (Self::ARRAY, "a list"),
            (Self::OBJECT, "a map"),
        ];
        if self.both(Self::NUMBER) == Self::INTEGER && self.both(Self::ANY) == self {
            let rest = Self(self.0 & !Self::INTEGER.0 & !Self::NULL.0);
            return if rest == Self::NOTHING {
                "a whole number".into()
            } else {
                format!("a whole number or {}", rest.describe())
            };
        }
        let named: Vec<_> = words.iter().filter(|(kind, _)| self.meets(*kind)).map(|(_, word)| *word).collect();
        if named.is_empty() { "null".into() } else { named.join(" or ") }
    }
}

/// Result of the search for a property or for the items of a schema.
pub(super) enum SchemaLookup<'a> {
    /// A schema describes it.
    Known(Schema<'a>),
    /// Any value is allowed.
    Any,
    /// The schema has no such property. It has these.
    Missing(BTreeSet<&'a str>),
    /// Values of these kinds have neither properties nor items.
    Scalar(Kinds),
}

/// A position in a JSON Schema. References into `$defs` are followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema<'a> {
    root: &'a Value,
    node: &'a Value,
}

impl<'a> Schema<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self { root, node: root }.resolved()
    }

    fn at(self, node: &'a Value) -> Self {
        Self { node, ..self }.resolved()
    }

    /// Follows `$ref` from this position. References to other documents are not followed.
    fn resolved(self) -> Self {
        let mut node = self.node;
        for _ in 0..MAX_REFERENCES {
            let Some(pointer) = node.get("$ref").and_then(Value::as_str) else { break };
            let Some(found) = pointer.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) else { break };
            node = found;
        }
        Self { node, ..self }
    }

    /// Returns the value of a keyword.
    pub(super) fn keyword(self, name: &str) -> Option<&'a Value> {
        self.node.get(name)
    }

    /// Returns the schemas of a combinator such as `anyOf`.
    pub(super) fn branches(self, combinator: &str) -> Vec<Schema<'a>> {
        let list = self.keyword(combinator).and_then(Value::as_array);
        list.into_iter().flatten().map(|node| self.at(node)).collect()
    }

    /// Returns the schemas of `anyOf` and `oneOf`.
    fn alternatives(self) -> Vec<Schema<'a>> {
        ["anyOf", "oneOf"].into_iter().flat_map(|name| self.branches(name)).collect()
    }

    /// Returns the kinds that the schema allows.
    pub(super) fn kinds(self) -> Kinds {
        self.kinds_within(MAX_DEPTH)
    }

    /// Returns the allowed kinds, with at most `depth` levels of combinators.
    fn kinds_within(self, depth: usize) -> Kinds {
        if depth == 0 {
            return Kinds::ANY;
        }
        let mut kinds = self.own_kinds();
        for branch in self.branches("allOf") {
            kinds = kinds.both(branch.kinds_within(depth - 1));
        }
        for combinator in ["anyOf", "oneOf"] {
            let branches = self.branches(combinator);
            if !branches.is_empty() {
                let one = |all: Kinds, branch: &Schema<'_>| all.union(branch.kinds_within(depth - 1));
                kinds = kinds.both(branches.iter().fold(Kinds::NOTHING, one));
            }
        }
        kinds
    }

    /// Returns the kinds that `type`, `const` or `enum` of the schema itself allow.
    fn own_kinds(self) -> Kinds {
        if self.node == &Value::Bool(false) {
            return Kinds::NOTHING;
        }
        match self.keyword("type") {
            Some(Value::String(name)) => return Kinds::named(name),
            Some(Value::Array(names)) => {
                let kinds = names.iter().filter_map(Value::as_str).map(Kinds::named);
                return kinds.fold(Kinds::NOTHING, Kinds::union);
            }
            _ => {}
        }
        match (self.keyword("const"), self.keyword("enum").and_then(Value::as_array)) {
            (Some(value), _) => Kinds::of(value),
            (None, Some(values)) => values.iter().map(Kinds::of).fold(Kinds::NOTHING, Kinds::union),
            (None, None) => Kinds::ANY,
        }
    }

    /// Returns the property `name` of a map.
    pub(super) fn field(self, name: &str) -> SchemaLookup<'a> {
        self.field_within(name, MAX_DEPTH)
    }

    /// Searches a property in the schema itself, then in its alternatives.
    ///
    /// A schema that lists properties is treated as closed unless `additionalProperties` allows
    /// others: a property that is not listed is most likely a typing mistake.
    fn field_within(self, name: &str, depth: usize) -> SchemaLookup<'a> {
        let kinds = self.kinds();
        if depth == 0 {
            return SchemaLookup::Any;
        }
        if !kinds.meets(Kinds::OBJECT) {
            return SchemaLookup::Scalar(kinds);
        }
        let properties = self.keyword("properties").and_then(Value::as_object);
        if let Some(found) = properties.and_then(|properties| properties.get(name)) {
            return SchemaLookup::Known(self.at(found));
        }
        let mut names: BTreeSet<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let mut branches = self.alternatives();
        branches.extend(self.branches("allOf"));
        let closed = branches.iter().any(|branch| branch.kinds().meets(Kinds::OBJECT)) || !names.is_empty();
        for branch in branches.into_iter().filter(|branch| branch.kinds().meets(Kinds::OBJECT)) {
            match branch.field_within(name, depth - 1) {
                SchemaLookup::Missing(others) => names.extend(others),
                SchemaLookup::Scalar(_) => {}
                found => return found,
            }
        }
        match self.keyword("additionalProperties") {
            Some(Value::Bool(false)) => SchemaLookup::Missing(names),
            Some(open @ Value::Object(_)) => SchemaLookup::Known(self.at(open)),
            None if closed => SchemaLookup::Missing(names),
            Some(_) | None => SchemaLookup::Any,
        }
    }

    /// Returns the items of a list.
    pub(super) fn item(self) -> SchemaLookup<'a> {
        let kinds = self.kinds();
        if !kinds.meets(Kinds::ARRAY) {
            return SchemaLookup::Scalar(kinds);
        }
        match self.keyword("items") {
            Some(items @ Value::Object(_)) => SchemaLookup::Known(self.at(items)),
            Some(_) => SchemaLookup::Any,
            None => {
                let lists = self.alternatives().into_iter().filter(|branch| branch.kinds().meets(Kinds::ARRAY));
                lists
                    .map(Schema::item)
                    .find(|below| matches!(below, SchemaLookup::Known(_)))
                    .unwrap_or(SchemaLookup::Any)
            }
        }
    }

    /// Returns the names of the required properties.
    pub(super) fn required(self) -> impl Iterator<Item = &'a str> {
        self.keyword("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_optional_value_is_its_kind_or_null() {
        let schema = json!({"anyOf": [{"type": "string"}, {"type": "null"}]});
        assert_eq!(Schema::new(&schema).kinds(), Kinds::STRING.union(Kinds::NULL));
        assert_eq!(Schema::new(&schema).kinds().describe(), "text");
    }

    #[test]
    fn a_field_is_found_through_references_and_alternatives() {
        let schema = json!({
            "anyOf": [{"$ref": "#/$defs/Subnet"}, {"type": "null"}],
            "$defs": {"Subnet": {"type": "object", "properties": {"prefix": {"type": "string"}}}},
        });
        assert!(
            matches!(Schema::new(&schema).field("prefix"), SchemaLookup::Known(found) if found.kinds() == Kinds::STRING)
        );
        assert!(matches!(Schema::new(&schema).field("name"), SchemaLookup::Missing(names) if names.contains("prefix")));
    }

    #[test]
    fn a_cycle_of_references_ends() {
        let schema = json!({"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}});
        assert_eq!(Schema::new(&schema).kinds(), Kinds::ANY);
        assert!(matches!(Schema::new(&schema).field("x"), SchemaLookup::Any));
    }

    #[test]
    fn a_map_without_properties_may_have_any() {
        assert!(matches!(Schema::new(&json!({"type": "object"})).field("x"), SchemaLookup::Any));
        assert!(matches!(Schema::new(&json!(true)).field("x"), SchemaLookup::Any));
    }
}
