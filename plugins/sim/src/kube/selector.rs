use serde_json::Value;

use super::call::Call;
use super::json::{at, namespace_of, str_at};
use super::resource::Resource;
use super::state::Kube;
use super::status::Refusal;

/// Which objects a list or a watch is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    namespace: Option<String>,
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Debug, Clone)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Selector {
    /// Reads the selectors of a request.
    pub(crate) fn of(call: &Call, resource: &Resource, namespace: Option<&str>) -> Result<Self, Refusal> {
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            labels: labels(call.parameter("labelSelector").unwrap_or_default())?,
            fields: fields(call.parameter("fieldSelector").unwrap_or_default(), resource)?,
        })
    }

    /// Labels alone, as `kubectl -l` takes them, in one namespace if one is named.
    pub(crate) fn of_labels(namespace: Option<&str>, text: &str) -> Result<Self, Refusal> {
        Ok(Self { namespace: namespace.map(str::to_owned), labels: labels(text)?, fields: Vec::new() })
    }

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

/// The objects that a request to a collection is about, in order of their places.
pub(crate) fn select<'a>(
    kube: &'a Kube,
    call: &Call,
    resource: &Resource,
    namespace: Option<&str>,
) -> Result<Vec<&'a Value>, Refusal> {
    let selector = Selector::of(call, resource, namespace)?;
    Ok(kube.all(&resource.qualified()).filter(|object| selector.accepts(object)).collect())
}

/// Whether labels meet a `LabelSelector`; an empty one meets all.
pub(crate) fn meets(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.get("matchLabels").and_then(Value::as_object);
    let equal = wanted.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
    let expressions = super::json::list_at(selector, &["matchExpressions"]);
    equal && expressions.iter().filter_map(expression).all(|requirement| requirement.holds(labels))
}

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

fn labels(text: &str) -> Result<Vec<Requirement>, Refusal> {
    parts(text).into_iter().map(|part| requirement(&part).ok_or_else(|| unreadable(text, &part))).collect()
}

fn unreadable(text: &str, part: &str) -> Refusal {
    Refusal::bad_request(&format!("unable to parse requirement: {part} of label selector {text}"))
}

/// Splits at the commas that are outside parentheses.
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

fn set(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
}

fn fields(text: &str, resource: &Resource) -> Result<Vec<(String, bool, String)>, Refusal> {
    text.split(',').filter(|part| !part.is_empty()).map(|part| field_requirement(part, text, resource)).collect()
}

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

/// What can be selected by, besides name and namespace.
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

fn field(object: &Value, path: &str) -> String {
    let keys: Vec<&str> = path.split('.').collect();
    match at(object, &keys) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) => String::new(),
        Some(value) => value.to_string(),
        // Flags are false where they are absent.
        None if matches!(path, "spec.unschedulable" | "spec.hostNetwork") => "false".to_owned(),
        None => String::new(),
    }
}
