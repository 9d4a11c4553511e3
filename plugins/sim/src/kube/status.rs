use serde_json::{Map, Value, json};

use super::resource::Resource;

/// Refusal of a request: status code and `Status` object.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// Status code of HTTP.
    pub(crate) code: u16,
    /// Object `Status` of the reply.
    pub(crate) body: Box<Value>,
    /// Value of `Retry-After` in seconds; `None` for no header.
    pub(crate) retry_after: Option<u64>,
}

/// Violation in one field of an object.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    /// Machine-readable reason, such as `FieldValueInvalid`.
    reason: &'static str,
    /// Message without the path of the field.
    message: String,
    /// Path of the field, such as `spec.replicas`.
    field: String,
}

impl Cause {
    /// Creates the cause for a missing field.
    pub(crate) fn required(field: &str, detail: &str) -> Self {
        let message = format!("Required value: {detail}").trim_end_matches(": ").to_owned();
        Self { reason: "FieldValueRequired", message, field: field.to_owned() }
    }

    /// Creates the cause for an invalid value.
    pub(crate) fn invalid(field: &str, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        Self { reason: "FieldValueInvalid", message, field: field.to_owned() }
    }

    /// Creates the cause for a field that must not be set or changed.
    pub(crate) fn forbidden(field: &str, detail: &str) -> Self {
        let message = format!("Forbidden: {detail}");
        Self { reason: "FieldValueForbidden", message, field: field.to_owned() }
    }

    /// Creates the cause for a value that is not one of `supported`.
    pub(crate) fn unsupported(field: &str, value: &Value, supported: &[Value]) -> Self {
        let supported: Vec<String> = supported.iter().map(Value::to_string).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", supported.join(", "));
        Self { reason: "FieldValueNotSupported", message, field: field.to_owned() }
    }

    /// Returns the cause as the message of the refusal contains it.
    fn text(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }

    /// Returns the cause as an item of `details.causes`.
    fn json(&self) -> Value {
        json!({ "reason": self.reason, "message": self.message, "field": self.field })
    }
}

impl Refusal {
    /// Creates a refusal. An empty `reason` is omitted.
    pub(crate) fn new(code: u16, reason: &str, message: &str, details: Option<Value>) -> Self {
        let mut body = Map::new();
        body.insert("kind".to_owned(), json!("Status"));
        body.insert("apiVersion".to_owned(), json!("v1"));
        body.insert("metadata".to_owned(), json!({}));
        body.insert("status".to_owned(), json!("Failure"));
        body.insert("message".to_owned(), json!(message));
        if !reason.is_empty() {
            body.insert("reason".to_owned(), json!(reason));
        }
        if let Some(details) = details {
            body.insert("details".to_owned(), details);
        }
        body.insert("code".to_owned(), json!(code));
        Self { code, body: Box::new(Value::Object(body)), retry_after: None }
    }

    /// Returns the human-readable `message` of the `Status`.
    pub(crate) fn message(&self) -> &str {
        self.body.get("message").and_then(Value::as_str).unwrap_or_default()
    }

    /// Creates the refusal 400 for a malformed request.
    pub(crate) fn bad_request(message: &str) -> Self {
        Self::new(400, "BadRequest", message, None)
    }

    /// Creates the refusal 401 for invalid credentials.
    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized", None)
    }

    /// Creates the refusal 404 for a path that is not served.
    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource", Some(json!({})))
    }

    /// Creates the refusal 405 for a method that the path does not support.
    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message, Some(json!({})))
    }

    /// Creates the refusal 404 for a missing object.
    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::new(404, "NotFound", &message, Some(details(resource, name)))
    }

    /// Creates the refusal 409 for an object whose name is in use.
    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::new(409, "AlreadyExists", &message, Some(details(resource, name)))
    }

    /// Creates the refusal 409 for an outdated resource version.
    pub(crate) fn modified(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::new(409, "Conflict", &message, Some(details(resource, name)))
    }

    /// Creates the refusal 409 for an unmet precondition on the UID or the resource version. The
    /// real server names the kind only in this refusal.
    pub(crate) fn precondition(resource: &Resource, name: &str, property: &str, given: &str, held: &str) -> Self {
        let cause = if property == "UID" { "deleted and then recreated" } else { "modified" };
        let why = format!(
            "the {property} in the precondition ({given}) does not match the {property} in record ({held}). The object might have \
             been {cause}"
        );
        let kind = if resource.group.is_empty() {
            resource.kind.clone()
        } else {
            format!("{}.{}", resource.kind, resource.group)
        };
        let message = format!("Operation cannot be fulfilled on {kind} \"{name}\": {why}");
        let mut details = details(resource, name);
        details["kind"] = json!(resource.kind);
        Self::new(409, "Conflict", &message, Some(details))
    }

    /// Creates the refusal 403 for a request that admission forbids.
    pub(crate) fn forbidden(resource: &Resource, name: Option<&str>, why: &str) -> Self {
        Self::forbidden_in(&resource.group, &resource.plural, name, why)
    }

    /// Creates the refusal 403 for a request without permission, to a resource that need not exist.
    pub(crate) fn forbidden_in(group: &str, plural: &str, name: Option<&str>, why: &str) -> Self {
        let qualified = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
        let subject = name.map_or_else(|| qualified.clone(), |name| format!("{qualified} \"{name}\""));
        let details = details_in(group, plural, name.unwrap_or_default());
        Self::new(403, "Forbidden", &format!("{subject} is forbidden: {why}"), Some(details))
    }

    /// Creates the refusal 422 for an object with invalid fields, with one cause each.
    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let texts: Vec<String> = causes.iter().map(Cause::text).collect();
        let list = if let [one] = texts.as_slice() { one.clone() } else { format!("[{}]", texts.join(", ")) };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut details = Map::new();
        if !name.is_empty() {
            details.insert("name".to_owned(), json!(name));
        }
        if !group.is_empty() {
            details.insert("group".to_owned(), json!(group));
        }
        if !kind.is_empty() {
            details.insert("kind".to_owned(), json!(kind));
        }
        details.insert("causes".to_owned(), causes.iter().map(Cause::json).collect());
        let message = format!("{qualified} \"{name}\" is invalid: {list}");
        Self::new(422, "Invalid", &message, Some(Value::Object(details)))
    }

    /// Creates the refusal 415 for an unsupported type of patch.
    pub(crate) fn media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", &message, None)
    }

    /// Creates the refusal 406 for a client that accepts no media type of the server.
    pub(crate) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::new(406, "NotAcceptable", message, None)
    }

    /// Creates the refusal 410 for a compacted revision.
    pub(crate) fn expired(message: &str) -> Self {
        Self::new(410, "Expired", message, None)
    }
}

/// Returns the `details` of a refusal about one object, or about the resource if `name` is empty.
fn details(resource: &Resource, name: &str) -> Value {
    details_in(&resource.group, &resource.plural, name)
}

/// Returns the `details` of a refusal about a resource that need not exist.
fn details_in(group: &str, plural: &str, name: &str) -> Value {
    let mut details = Map::new();
    for (key, value) in [("name", name), ("group", group)] {
        if !value.is_empty() {
            details.insert(key.to_owned(), json!(value));
        }
    }
    details.insert("kind".to_owned(), json!(plural));
    Value::Object(details)
}

/// Returns the reply to a completed deletion.
pub(crate) fn deleted(resource: &Resource, name: &str, uid: &str) -> Value {
    let mut details = details(resource, name);
    details["uid"] = json!(uid);
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}
