use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stargate_sdk::ActionError;

use crate::{field::text, object_ref::ObjectRef};

/// What is to be applied.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Manifest {
    /// Several objects, in order.
    Many(Vec<Map<String, Value>>),
    /// One object, or a `List` of several.
    One(Map<String, Value>),
}

/// One object of a manifest.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) object: ObjectRef,
    pub(crate) body: Value,
}

impl Manifest {
    /// The objects, in order. One that lacks `apiVersion`, `kind` or a name is a `Permanent` error.
    pub(crate) fn objects(&self) -> Result<Vec<Wanted>, ActionError> {
        let documents = match self {
            Self::Many(many) => many.iter().cloned().map(Value::Object).collect(),
            Self::One(one) => vec![Value::Object(one.clone())],
        };
        documents.into_iter().flat_map(items).enumerate().map(|(index, body)| wanted(index, body)).collect()
    }
}

/// The objects of a document: those of a `List`, or itself.
pub(crate) fn items(document: Value) -> Vec<Value> {
    match document.get("items") {
        Some(Value::Array(items)) if document["kind"] == "List" => items.clone(),
        _ => vec![document],
    }
}

fn wanted(index: usize, body: Value) -> Result<Wanted, ActionError> {
    let field = |pointer: &str| {
        text(&body, pointer).map(str::to_owned).ok_or_else(|| {
            let name = pointer.trim_start_matches('/').replace('/', ".");
            ActionError::permanent(format!("object {} of the manifest has no {name}", index + 1))
        })
    };
    let object = ObjectRef {
        api_version: field("/apiVersion")?,
        kind: field("/kind")?,
        namespace: text(&body, "/metadata/namespace").map(str::to_owned),
        name: field("/metadata/name")?,
    };
    if object.kind == "Secret" {
        return Err(ActionError::permanent(format!(
            "{object}: a manifest is kept in the journal, so it may hold no secret"
        ))
        .with_hint("refer to a secret at use, for example with bootstrap-token:"));
    }
    Ok(Wanted { object, body })
}
