use super::{
    schema::{Below, Kinds, Schema},
    scope::Names,
};
use crate::workflow::{Key, Spanned, Template, nearest::did_you_mean};

/// What is known of a value before a run.
#[derive(Clone)]
pub(super) enum Type<'a> {
    /// Nothing.
    Any,
    /// Only its kind.
    Kind(Kinds),
    /// What a schema says.
    Schema(Schema<'a>),
    /// A map from the keys of a `for_each` step's instances to their outputs.
    Instances(Box<Type<'a>>),
    /// A map that is written in a workflow. Looked into only as far as somebody asks: outputs of inlined workflows can
    /// name each other's, and all of them together may be very many.
    Written(Box<Names<'a>>, &'a [(Spanned<String>, Template)]),
}

/// Why there is nothing one level down.
pub(super) struct Dead {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl<'a> Type<'a> {
    pub(super) fn kinds(&self) -> Kinds {
        match self {
            Self::Any => Kinds::ANY,
            Self::Kind(kinds) => *kinds,
            Self::Schema(schema) => schema.kinds(),
            Self::Instances(_) | Self::Written(..) => Kinds::OBJECT,
        }
    }

    /// One level down; `so_far` is how the reader knows this value.
    pub(super) fn below(&self, key: &Key, so_far: &str) -> Result<Type<'a>, Dead> {
        match (self, key) {
            (Self::Any, _) => Ok(Self::Any),
            (Self::Kind(kinds), _) => Self::below_kind(*kinds, key, so_far),
            (Self::Schema(schema), Key::Field(name)) => Self::found(schema.field(name), key, so_far),
            (Self::Schema(schema), Key::Index(_)) => Self::found(schema.item(), key, so_far),
            (Self::Instances(each), Key::Field(_)) => Ok((**each).clone()),
            (Self::Written(names, entries), Key::Field(name)) => {
                match entries.iter().find(|(entry, _)| entry.value == *name) {
                    Some((_, template)) => Ok(names.template_type(template)),
                    None => Err(missing(name, so_far, entries.iter().map(|(entry, _)| entry.value.as_str()))),
                }
            }
            (Self::Instances(_) | Self::Written(..), Key::Index(_)) => Self::below_kind(Kinds::OBJECT, key, so_far),
        }
    }

    fn below_kind(kinds: Kinds, key: &Key, so_far: &str) -> Result<Type<'a>, Dead> {
        let wanted = if matches!(key, Key::Index(_)) { Kinds::ARRAY } else { Kinds::OBJECT };
        if kinds.meets(wanted) { Ok(Self::Any) } else { Err(scalar(kinds, key, so_far)) }
    }

    fn found(below: Below<'a>, key: &Key, so_far: &str) -> Result<Type<'a>, Dead> {
        match below {
            Below::Known(schema) => Ok(Self::Schema(schema)),
            Below::Any => Ok(Self::Any),
            Below::Missing(names) => Err(missing(&key.to_string(), so_far, names.into_iter())),
            Below::Scalar(kinds) => Err(scalar(kinds, key, so_far)),
        }
    }

    /// What the items of a list are.
    pub(super) fn item(&self) -> Type<'a> {
        self.below(&Key::Index(0), "").unwrap_or(Self::Any)
    }
}

fn scalar(kinds: Kinds, key: &Key, so_far: &str) -> Dead {
    let level = if matches!(key, Key::Index(_)) { "items" } else { "fields" };
    Dead { message: format!("{so_far} is {} and has no {level}", kinds.describe()), hint: None }
}

fn missing<'n>(name: &str, so_far: &str, names: impl Iterator<Item = &'n str>) -> Dead {
    let all: Vec<_> = names.collect();
    let hint = did_you_mean(name, all.iter().copied()).or_else(|| match all.as_slice() {
        [] => None,
        [one] => Some(format!("it has only {one}")),
        [first @ .., last] => Some(format!("it has {} and {last}", first.join(", "))),
    });
    Dead { message: format!("{so_far} has no field {name:?}"), hint }
}
