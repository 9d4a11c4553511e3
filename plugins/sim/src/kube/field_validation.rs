use serde_json::{Value, json};

use super::decode::{self, Decoded, FieldFinding, PathStep, dotted, go_value};
use super::fields::item_path;
use super::json::{name_of, namespace_of};
use super::request::ApiRequest;
use super::resource::Resource;
use super::schema;
use super::shape::Shape;
use super::status::{Cause, Refusal};

/// Treatment of undeclared fields, which the parameter `fieldValidation` selects. They are dropped
/// from the object in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldValidation {
    /// Drops undeclared fields silently.
    Ignore,
    /// Drops undeclared fields with one warning each; the default.
    Warn,
    /// Refuses an object with undeclared fields; the choice of `kubectl`.
    Strict,
}

impl FieldValidation {
    /// Returns the treatment that a request selects, or the refusal 422 of an unknown one.
    fn of(request: &ApiRequest) -> Result<Self, Refusal> {
        match request.parameter("fieldValidation").unwrap_or_default() {
            "" | "Warn" => Ok(Self::Warn),
            "Ignore" => Ok(Self::Ignore),
            "Strict" => Ok(Self::Strict),
            other => {
                let options = match request.method.as_str() {
                    "POST" => "CreateOptions",
                    "PUT" => "UpdateOptions",
                    _ => "PatchOptions",
                };
                let supported = ["", "Ignore", "Strict", "Warn"].map(Value::from);
                let cause = Cause::unsupported("fieldValidation", &json!(other), &supported);
                Err(Refusal::invalid("meta.k8s.io", options, "", &[cause]))
            }
        }
    }

    /// Returns the warnings of a request, or refuses it for its undeclared fields.
    fn treat(self, fields: Vec<String>, refuse: impl FnOnce(&str) -> Refusal) -> Result<Vec<String>, Refusal> {
        match self {
            Self::Strict if !fields.is_empty() => Err(refuse(&format!("strict decoding error: {}", fields.join(", ")))),
            Self::Warn => Ok(fields),
            Self::Strict | Self::Ignore => Ok(Vec::new()),
        }
    }
}

/// Checks the body of a `POST` or `PUT`, and drops its undeclared fields. Returns the warnings.
///
/// # Errors
///
/// 400 `BadRequest` for a value of a wrong type, and for undeclared fields under `Strict`.
pub(crate) fn check_body(
    request: &ApiRequest,
    resource: &Resource,
    object: &mut Value,
) -> Result<Vec<String>, Refusal> {
    let validation = FieldValidation::of(request)?;
    let refuse = |error: &str| {
        let Resource { kind, version, .. } = resource;
        Refusal::bad_request(&format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {error}"))
    };
    let decoded = decode(resource, object);
    if let Some(mismatch) = first_mismatch(&decoded) {
        return Err(refuse(&mismatch.json_error()));
    }
    validation.treat(adopt(decoded, object), refuse)
}

/// Checks an object after a patch other than a server-side apply, and drops its undeclared fields.
/// Returns the warnings.
///
/// # Errors
///
/// 422 `Invalid` for a value of a wrong type, and for undeclared fields under `Strict`.
pub(crate) fn check_patched(
    request: &ApiRequest,
    resource: &Resource,
    object: &mut Value,
    strategic: Option<&Value>,
) -> Result<Vec<String>, Refusal> {
    let validation = FieldValidation::of(request)?;
    let decoded = decode(resource, object);
    let shown = strategic.map_or_else(|| object.to_string(), go_value);
    let refuse = |error: &str| Refusal::invalid("", "", "", &[Cause::invalid("patch", &json!(shown), error)]);
    if let Some(mismatch) = first_mismatch(&decoded) {
        let is_converted = strategic.is_some();
        return Err(refuse(&if is_converted { mismatch.conversion_error() } else { mismatch.json_error() }));
    }
    let mut fields = adopt(decoded, object);
    if strategic.is_some() {
        fields.sort();
    }
    validation.treat(fields, refuse)
}

/// Checks the body of a server-side apply, which must not have undeclared fields.
///
/// # Errors
///
/// 500 without a reason, as from the real server.
pub(crate) fn check_applied(resource: &Resource, object: &mut Value) -> Result<(), Refusal> {
    let decoded = decode(resource, object);
    let kind = format!("{}/{}, Kind={}", resource.group, resource.version, resource.kind);
    let subject = format!("{}/{}; {kind}", namespace_of(object), name_of(object));
    let errors: Vec<String> =
        decoded.findings.iter().filter_map(|finding| typed_error(resource, object, finding)).collect();
    let message = match (errors.as_slice(), first_mismatch(&decoded)) {
        ([], None) => {
            adopt(decoded, object);
            return Ok(());
        }
        ([], Some(mismatch)) => format!(
            "failed to convert new object ({subject}) to proper version: unable to convert unstructured object to {kind}: {}",
            mismatch.conversion_error()
        ),
        ([error], _) => format!("failed to create typed patch object ({subject}): {error}"),
        (errors, _) => {
            format!("failed to create typed patch object ({subject}): errors:\n  {}", errors.join("\n  "))
        }
    };
    Err(Refusal::new(500, "", &message, None))
}

/// Decodes an object into its type; the metadata of a custom object, and the rest by its schema.
fn decode(resource: &Resource, object: &Value) -> Decoded {
    decode::decode(&resource.qualified(), object).filter(|_| resource.custom.is_none()).unwrap_or_else(|| {
        let mut decoded = decode::decode_metadata(object);
        decoded.findings.extend(schema::undeclared(resource, object).into_iter().map(FieldFinding::undeclared));
        decoded
    })
}

/// Returns the first value of a wrong type.
fn first_mismatch(decoded: &Decoded) -> Option<&decode::Mismatch> {
    decoded.findings.iter().find_map(|finding| finding.mismatch.as_ref())
}

/// Changes an object to what the API server reads from it: without undeclared fields, and with
/// values in their canonical form. Returns one error for each undeclared field.
fn adopt(decoded: Decoded, object: &mut Value) -> Vec<String> {
    for (path, value) in decoded.canonical {
        decode::set(object, &path, value);
    }
    let errors = decoded.findings.iter().map(|finding| {
        decode::remove(object, &finding.path);
        format!("unknown field \"{}\"", dotted(&finding.path))
    });
    errors.collect()
}

/// Returns the error of a finding as server-side apply reports it; `None` if it passes there.
fn typed_error(resource: &Resource, object: &Value, finding: &FieldFinding) -> Option<String> {
    let error = match &finding.mismatch {
        None => "field not declared in schema".to_owned(),
        Some(mismatch) => mismatch.typed_error()?,
    };
    Some(format!("{}: {error}", typed_path(resource, object, &finding.path)))
}

/// Returns a path as server-side apply names fields, such as `.spec.containers[name="c"].image`.
fn typed_path(resource: &Resource, object: &Value, path: &[PathStep]) -> String {
    let (mut shape, mut value, mut text) = (Shape::of(resource), object, String::new());
    for step in path {
        match step {
            PathStep::Key(key) => {
                text.push('.');
                text.push_str(key);
                (shape, value) = (shape.field(key), value.get(key).unwrap_or(&Value::Null));
            }
            PathStep::Item(index) => {
                value = value.get(index).unwrap_or(&Value::Null);
                text.push_str(&item_path(shape, value, *index));
                shape = shape.items();
            }
        }
    }
    text
}
