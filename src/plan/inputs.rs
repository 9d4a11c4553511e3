use std::sync::Arc;

use serde_json::{Map, Value};

use super::{constraints, schema::Schema, schema_check::SchemaCheck};
use crate::workflow::{
    Diagnostic, Diagnostics, GivenInput, GivenInputs, Input, InputPlace, Patterns, SourceFile, SpannedTemplate,
    Workflow, suggest::did_you_mean,
};

/// Checks the values of a run's inputs and adds the defaults. The result is in the order of the
/// workflow.
///
/// # Errors
/// Each input that is missing, not known to the workflow, or does not fit its schema.
pub(super) fn resolve(workflow: &Workflow, given: &GivenInputs) -> Result<Map<String, Value>, Diagnostics> {
    let mut found: Vec<_> = given.as_slice().iter().filter_map(|input| unknown(workflow, input, given)).collect();
    let mut values = Map::new();
    for input in &workflow.inputs {
        let name = &input.name.value;
        match (given.get(name), &input.default) {
            (Some(given_value), _) => {
                found.extend(check_given(workflow, input, given_value, given));
                values.insert(name.clone(), given_value.value.clone());
            }
            (None, Some(default)) => {
                values.insert(name.clone(), default.to_json().unwrap_or_default());
            }
            (None, None) => found.push(missing(workflow, input)),
        }
    }
    Diagnostics::collect(found).map_or(Ok(values), Err)
}

/// Checks a value that was given. An error has its place in the inputs file or the argument. A
/// value that is written nowhere has the place of the input in the workflow.
fn check_given(workflow: &Workflow, input: &Input, given: &GivenInput, all: &GivenInputs) -> Vec<Diagnostic> {
    let patterns = &workflow.patterns;
    if let Some(place) = &given.place {
        return check(&shown_source(workflow, place, all), patterns, input, &place.value);
    }
    let template = SpannedTemplate::from_json(&given.value, input.name.span);
    check(&workflow.source, patterns, input, &template)
}

/// Returns the text around an input as it may be shown: the values of secret inputs are hidden,
/// because one that is not a reference can be the secret itself. So are those of inputs that the
/// workflow does not have: the name of a secret one can be mistyped.
fn shown_source(workflow: &Workflow, place: &InputPlace, all: &GivenInputs) -> Arc<SourceFile> {
    let is_shown = |name: &str| workflow.inputs.iter().any(|input| input.name.value == name && !input.secret);
    let hidden = all.as_slice().iter().filter(|given| !is_shown(&given.name));
    let hidden =
        hidden.filter_map(|given| given.place.as_ref()).filter(|other| Arc::ptr_eq(&other.source, &place.source));
    let spans: Vec<_> = hidden.map(|other| other.value.span).collect();
    if spans.is_empty() { Arc::clone(&place.source) } else { Arc::new(place.source.masked(spans)) }
}

/// Checks a value that is known before a run: a default, or one that was given.
pub(super) fn check(
    source: &Arc<SourceFile>,
    patterns: &Patterns,
    input: &Input,
    template: &SpannedTemplate,
) -> Vec<Diagnostic> {
    let path = format!("input {:?}", input.name.value);
    if input.secret {
        return check_secret(source, patterns, &path, template);
    }
    SchemaCheck { source, patterns, scope: None, hide: false }.check(template, Schema::new(&input.schema), &path)
}

/// Checks the reference to a secret. A value that is not a reference can be the secret itself, so
/// it is not shown.
fn check_secret(
    source: &Arc<SourceFile>,
    patterns: &Patterns,
    path: &str,
    template: &SpannedTemplate,
) -> Vec<Diagnostic> {
    let schema = serde_json::json!({"type": "string", "format": "secret"});
    let value = template.to_json().unwrap_or_default();
    let text = value.as_str().unwrap_or_default();
    let broken = constraints::violations(&Value::String(text.to_owned()), Schema::new(&schema), patterns, true);
    let diagnostic = |violation: constraints::Violation| {
        let message = format!("{path} {}", violation.message);
        Diagnostic::new(source, "plan::secret", template.span, message, violation.label).with_hint(violation.hint)
    };
    broken.into_iter().map(diagnostic).collect()
}

/// Reports a required input without value.
fn missing(workflow: &Workflow, input: &Input) -> Diagnostic {
    let name = &input.name.value;
    let message = format!("input {name:?} is not given and has no default");
    let what = input.description.clone().unwrap_or_else(|| "required".to_owned());
    let value = if input.secret { "env:NAME" } else { "VALUE" };
    Diagnostic::new(&workflow.source, "plan::missing_input", input.name.span, message, what)
        .with_hint(format!("pass it with --input {name}={value}"))
}

/// Reports a value for an input that the workflow does not have.
fn unknown(workflow: &Workflow, given: &GivenInput, all: &GivenInputs) -> Option<Diagnostic> {
    let name = given.name.as_str();
    let names = || workflow.inputs.iter().map(|input| input.name.value.as_str());
    if names().any(|known| known == name) {
        return None;
    }
    let hint = did_you_mean(name, names()).unwrap_or_else(|| {
        let all: Vec<_> = names().collect();
        if all.is_empty() { "it has no inputs".into() } else { format!("it has {}", all.join(", ")) }
    });
    let message = format!("the workflow has no input {name:?}");
    let (source, span, label) = match &given.place {
        Some(place) => (shown_source(workflow, place, all), place.key, "not an input"),
        None => (Arc::clone(&workflow.source), workflow.inputs_span, "not one of these"),
    };
    Some(Diagnostic::new(&source, "plan::unknown_input", span, message, label).with_hint(hint))
}
