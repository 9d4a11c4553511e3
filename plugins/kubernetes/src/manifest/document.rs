use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stargate_kubernetes_client::{ObjectRef, json::text};
use stargate_sdk::ActionError;

/// Desired state of objects, as the input has it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Manifest {
    /// Several documents, in order.
    Many(Vec<Map<String, Value>>),
    /// One document: an object, or a `List` of objects.
    One(Map<String, Value>),
}

/// One object of a manifest.
#[derive(Debug)]
pub(crate) struct ManifestObject {
    /// Kind and name of the object.
    pub(crate) object: ObjectRef,
    /// The whole object.
    pub(crate) body: Value,
}

impl Manifest {
    /// The objects, in order.
    ///
    /// # Errors
    /// `Permanent` for an object without `apiVersion`, `kind` or name, and for a `Secret`.
    pub(crate) fn objects(&self) -> Result<Vec<ManifestObject>, ActionError> {
        let documents = match self {
            Self::Many(many) => many.iter().cloned().map(Value::Object).collect(),
            Self::One(one) => vec![Value::Object(one.clone())],
        };
        documents.into_iter().flat_map(items).enumerate().map(|(index, body)| parse(index, body)).collect()
    }
}

/// The objects of a document: those of a `List`, or the document itself.
pub(crate) fn items(document: Value) -> Vec<Value> {
    match document.get("items") {
        Some(Value::Array(items)) if document["kind"] == "List" => items.clone(),
        _ => vec![document],
    }
}

fn parse(index: usize, body: Value) -> Result<ManifestObject, ActionError> {
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
            "{object}: a manifest is stored in the journal, so it must not contain a secret"
        ))
        .with_hint("refer to the secret, for example with bootstrap-token:"));
    }
    Ok(ManifestObject { object, body })
}
