use serde::Serialize;
use serde_json::Value;

/// A generated model as the body of a request.
pub(crate) fn body(model: &impl Serialize) -> Value {
    serde_json::to_value(model).expect("models are structs of JSON values")
}
