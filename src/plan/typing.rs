use super::{
    schema::{Kinds, Schema, SchemaLookup},
    type_scope::TypeScope,
};
use crate::workflow::{PathKey, Spanned, SpannedTemplate, suggest::did_you_mean};

/// Knowledge about a value before a run.
#[derive(Clone)]
pub(super) enum Type<'a> {
    /// Nothing is known.
    Any,
    /// Only the kind is known.
    Kind(Kinds),
    /// The schema is known.
    Schema(Schema<'a>),
    /// A map from the keys of a `for_each` step's instances to their outputs.
    Instances(Box<Type<'a>>),
    /// A map that is written in a workflow, with the scope of its expressions. Its entries are
    /// typed on demand: outputs of inlined workflows can refer to each other, and their number can
    /// grow exponentially with the nesting.
    Written(Box<TypeScope<'a>>, &'a [(Spanned<String>, SpannedTemplate)]),
}

/// Error for a field or item that a value does not have.
pub(super) struct NoSuchField {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl<'a> Type<'a> {
    /// Returns the kinds of JSON that the value can have.
    pub(super) fn kinds(&self) -> Kinds {
        match self {
            Self::Any => Kinds::ANY,
            Self::Kind(kinds) => *kinds,
            Self::Schema(schema) => schema.kinds(),
            Self::Instances(_) | Self::Written(..) => Kinds::OBJECT,
        }
    }

    /// Returns the type of a field or item. `path` names this value in messages.
    pub(super) fn below(&self, key: &PathKey, path: &str) -> Result<Type<'a>, NoSuchField> {
        match (self, key) {
            (Self::Any, _) => Ok(Self::Any),
            (Self::Kind(kinds), _) => Self::below_kind(*kinds, key, path),
            (Self::Schema(schema), PathKey::Field(name)) => Self::from_lookup(schema.field(name), key, path),
            (Self::Schema(schema), PathKey::Index(_)) => Self::from_lookup(schema.item(), key, path),
            (Self::Instances(each), PathKey::Field(_)) => Ok((**each).clone()),
            (Self::Written(scope, entries), PathKey::Field(name)) => {
                match entries.iter().find(|(entry, _)| entry.value == *name) {
                    Some((_, template)) => Ok(scope.template_type(template)),
                    None => Err(missing(name, path, entries.iter().map(|(entry, _)| entry.value.as_str()))),
                }
            }
            (Self::Instances(_) | Self::Written(..), PathKey::Index(_)) => Self::below_kind(Kinds::OBJECT, key, path),
        }
    }

    /// Returns the type below a value of which only the kind is known.
    fn below_kind(kinds: Kinds, key: &PathKey, path: &str) -> Result<Type<'a>, NoSuchField> {
        let required = if matches!(key, PathKey::Index(_)) { Kinds::ARRAY } else { Kinds::OBJECT };
        if kinds.meets(required) { Ok(Self::Any) } else { Err(scalar(kinds, key, path)) }
    }

    fn from_lookup(lookup: SchemaLookup<'a>, key: &PathKey, path: &str) -> Result<Type<'a>, NoSuchField> {
        match lookup {
            SchemaLookup::Known(schema) => Ok(Self::Schema(schema)),
            SchemaLookup::Any => Ok(Self::Any),
            SchemaLookup::Missing(names) => Err(missing(&key.to_string(), path, names.into_iter())),
            SchemaLookup::Scalar(kinds) => Err(scalar(kinds, key, path)),
        }
    }

    /// Returns the type of a list's items.
    pub(super) fn item(&self) -> Type<'a> {
        self.below(&PathKey::Index(0), "").unwrap_or(Self::Any)
    }
}

/// Creates the error for a field or item of a value that has neither.
fn scalar(kinds: Kinds, key: &PathKey, path: &str) -> NoSuchField {
    let level = if matches!(key, PathKey::Index(_)) { "items" } else { "fields" };
    NoSuchField { message: format!("{path} is {} and has no {level}", kinds.describe()), hint: None }
}

/// Creates the error for a field that does not exist, with the similar name or all names as a hint.
fn missing<'n>(name: &str, path: &str, names: impl Iterator<Item = &'n str>) -> NoSuchField {
    let all: Vec<_> = names.collect();
    let hint = did_you_mean(name, all.iter().copied()).or_else(|| match all.as_slice() {
        [] => None,
        [one] => Some(format!("it has only {one}")),
        [first @ .., last] => Some(format!("it has {} and {last}", first.join(", "))),
    });
    NoSuchField { message: format!("{path} has no field {name:?}"), hint }
}
