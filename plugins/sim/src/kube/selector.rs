use serde_json::Value;

use super::json::{at, namespace_of, str_at};
use super::request::ApiRequest;
use super::resource::Resource;
use super::state::Kube;
use super::status::Refusal;

/// Condition for the objects of a list, a watch or a deletion of a collection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    /// Namespace of the objects; `None` for all.
    namespace: Option<String>,
    /// Requirements for the labels, all of which must hold.
    labels: Vec<Requirement>,
    /// Requirements for fields: path, true for `=` or false for `!=`, and value.
    fields: Vec<(String, bool, String)>,
}

/// Requirement for one label, by its key.
#[derive(Debug, Clone)]
enum Requirement {
    /// Label with one of the values.
    In(String, Vec<String>),
    /// Label that is absent or has none of the values.
    NotIn(String, Vec<String>),
    /// Label with any value.
    Exists(String),
    /// Label that is absent.
    Absent(String),
}

impl Selector {
    /// Parses the label selector and the field selector of a request.
    ///
    /// # Errors
    ///
    /// 400 `BadRequest` for a malformed selector or a field that cannot be selected by.
    pub(crate) fn of(request: &ApiRequest, resource: &Resource, namespace: Option<&str>) -> Result<Self, Refusal> {
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            labels: labels(request.parameter("labelSelector").unwrap_or_default())?,
            fields: fields(request.parameter("fieldSelector").unwrap_or_default(), resource)?,
        })
    }

    /// Parses a label selector in the syntax of `kubectl -l`.
    pub(crate) fn of_labels(namespace: Option<&str>, text: &str) -> Result<Self, Refusal> {
        Ok(Self { namespace: namespace.map(str::to_owned), labels: labels(text)?, fields: Vec::new() })
    }

    /// Returns true if an object meets the selector.
    pub(crate) fn accepts(&self, object: &Value) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| namespace == namespace_of(object))
            && self
                .labels
                .iter()
                .all(|requirement| requirement.holds(object.pointer("/metadata/labels").unwrap_or(&Value::Null)))
            && self.fields.iter().all(|(path, equal, value)| (field(object, path) == *value) == *equal)
    }
}

impl Requirement {
    /// Returns true if labels meet the requirement.
    fn holds(&self, labels: &Value) -> bool {
        let value = |key: &String| labels.get(key).and_then(Value::as_str);
        match self {
            Self::In(key, values) => value(key).is_some_and(|value| values.iter().any(|each| each == value)),
            Self::NotIn(key, values) => value(key).is_none_or(|value| values.iter().all(|each| each != value)),
            Self::Exists(key) => value(key).is_some(),
            Self::Absent(key) => value(key).is_none(),
        }
    }
}

/// Returns the objects of a request to a collection, sorted by place.
pub(crate) fn select<'a>(
    kube: &'a Kube,
    request: &ApiRequest,
    resource: &Resource,
    namespace: Option<&str>,
) -> Result<Vec<&'a Value>, Refusal> {
    let selector = Selector::of(request, resource, namespace)?;
    Ok(kube.all(&resource.qualified()).filter(|object| selector.accepts(object)).collect())
}

/// Returns true if labels meet a `LabelSelector` of an object. An empty selector matches all
/// labels.
pub(crate) fn meets(selector: &Value, labels: &Value) -> bool {
    let pairs = selector.get("matchLabels").and_then(Value::as_object);
    let equal = pairs.is_none_or(|pairs| pairs.iter().all(|(key, value)| labels.get(key) == Some(value)));
    let expressions = super::json::list_at(selector, &["matchExpressions"]);
    equal && expressions.iter().filter_map(expression).all(|requirement| requirement.holds(labels))
}

/// Converts an item of `matchExpressions`; `None` for an unknown operator.
fn expression(expression: &Value) -> Option<Requirement> {
    let key = str_at(expression, &["key"]).to_owned();
    let values = super::json::strings_at(expression, &["values"]);
    match str_at(expression, &["operator"]) {
        "In" => Some(Requirement::In(key, values)),
        "NotIn" => Some(Requirement::NotIn(key, values)),
        "Exists" => Some(Requirement::Exists(key)),
        "DoesNotExist" => Some(Requirement::Absent(key)),
        _ => None,
    }
}

/// Parses a label selector.
fn labels(text: &str) -> Result<Vec<Requirement>, Refusal> {
    parts(text).into_iter().map(|part| requirement(&part).ok_or_else(|| unreadable(text, &part))).collect()
}

/// Returns the refusal of a malformed label selector.
fn unreadable(text: &str, part: &str) -> Refusal {
    Refusal::bad_request(&format!("unable to parse requirement: {part} of label selector {text}"))
}

/// Splits a selector at the commas outside parentheses.
fn parts(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0_usize);
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(letter);
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Parses one requirement of a label selector.
fn requirement(part: &str) -> Option<Requirement> {
    let one = |text: &str| vec![text.trim().to_owned()];
    let key = |text: &str| text.trim().to_owned();
    if let Some((left, right)) = part.split_once(" notin ") {
        return Some(Requirement::NotIn(key(left), set(right)?));
    }
    if let Some((left, right)) = part.split_once(" in ") {
        return Some(Requirement::In(key(left), set(right)?));
    }
    if let Some((left, right)) = part.split_once("!=") {
        return Some(Requirement::NotIn(key(left), one(right)));
    }
    if let Some((left, right)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::In(key(left), one(right)));
    }
    match part.strip_prefix('!') {
        Some(absent) => Some(Requirement::Absent(key(absent))),
        None => (!part.contains(' ')).then(|| Requirement::Exists(key(part))),
    }
}

/// Parses a set of values in parentheses.
fn set(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
}

/// Parses a field selector.
fn fields(text: &str, resource: &Resource) -> Result<Vec<(String, bool, String)>, Refusal> {
    text.split(',').filter(|part| !part.is_empty()).map(|part| field_requirement(part, text, resource)).collect()
}

/// Parses one requirement of a field selector.
fn field_requirement(part: &str, text: &str, resource: &Resource) -> Result<(String, bool, String), Refusal> {
    let (path, equal, value) = if let Some((path, value)) = part.split_once("!=") {
        (path, false, value)
    } else {
        let (path, value) = part.split_once("==").or_else(|| part.split_once('=')).ok_or_else(|| {
            Refusal::bad_request(&format!("invalid field selector {text}: can't understand '{part}'"))
        })?;
        (path, true, value)
    };
    if !is_selectable(resource, path) {
        return Err(Refusal::bad_request(&format!("field label not supported: {path}")));
    }
    Ok((path.to_owned(), equal, value.to_owned()))
}

/// Returns true if the objects of a resource can be selected by a field.
///
/// Name and namespace are selectable in each resource; the others are those of the real server.
fn is_selectable(resource: &Resource, path: &str) -> bool {
    let more: &[&str] = match resource.qualified().as_str() {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "nodes" => &["spec.unschedulable"],
        "namespaces" => &["status.phase"],
        "secrets" => &["type"],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "certificatesigningrequests.certificates.k8s.io" => &["spec.signerName"],
        _ => &[],
    };
    path == "metadata.name" || (path == "metadata.namespace" && resource.namespaced) || more.contains(&path)
}

/// Returns the value of a field as text; empty if it is absent.
fn field(object: &Value, path: &str) -> String {
    let keys: Vec<&str> = path.split('.').collect();
    match at(object, &keys) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) => String::new(),
        Some(value) => value.to_string(),
        // Absent flags are false.
        None if matches!(path, "spec.unschedulable" | "spec.hostNetwork") => "false".to_owned(),
        None => String::new(),
    }
}
