use std::{collections::HashSet, sync::Arc};

use serde_json::{Map, Value};

use super::{
    Scope, Template,
    inlined_workflow::InlinedWorkflow,
    input_values::{InputValues, InputsOnly},
    lower,
    names::IndexResolver,
};
use crate::workflow::{Diagnostic, Diagnostics, SourceFile, Span, SpannedTemplate};

/// Maximum length of a lock's name, in bytes: people read it.
const MAX_LOCK_BYTES: usize = 200;

/// Help for a lock that needs more than inputs.
const HINT: &str = "locks are acquired before the run starts; pass the value as an input";

/// A lock of a checked workflow or of one that it inlines.
#[derive(Debug)]
pub(super) struct Lock {
    /// Name of the lock, with expressions.
    template: Template,
    /// File that contains the lock.
    source: Arc<SourceFile>,
    /// Place of the lock in the file.
    span: Span,
}

/// Returns an error for each lock that is not a name, or that needs more than inputs.
pub(super) fn check(inlined: &InlinedWorkflow) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (scope, lock) in all(inlined) {
        let workflow = &inlined.scopes[scope].workflow;
        if let Some(Value::String(text)) = lock.to_json() {
            found.extend(invalid_name(&workflow.source, lock.span, &text));
        }
        for expression in lock.expressions() {
            InputsOnly { inlined, owner: workflow, what: "a lock", hint: HINT }
                .expression(scope, expression, &mut found);
        }
    }
    found
}

/// Returns the locks of a workflow without errors: its own, then those of the workflows that it
/// inlines.
pub(super) fn lower(inlined: &InlinedWorkflow) -> Vec<Lock> {
    let lock = |(scope, lock): (usize, &SpannedTemplate)| Lock {
        template: lower::template(lock, scope),
        source: Arc::clone(&inlined.scopes[scope].workflow.source),
        span: lock.span,
    };
    all(inlined).map(lock).collect()
}

/// Evaluates the locks with these inputs. Equal locks are returned once.
///
/// # Errors
/// A lock has no value, or one that is not a name.
pub(super) fn evaluate(
    locks: &[Lock],
    scopes: &[Scope],
    inputs: &Map<String, Value>,
) -> Result<Vec<String>, Diagnostics> {
    let names = IndexResolver::new(std::iter::empty(), scopes, &[]);
    let values = InputValues { names: &names, scopes, inputs };
    let (mut texts, mut found) = (Vec::with_capacity(locks.len()), Vec::new());
    for lock in locks {
        match values.text(&lock.template) {
            Ok(text) => {
                found.extend(invalid_name(&lock.source, lock.span, &text));
                texts.push(text);
            }
            Err(reason) => {
                let message = format!("the lock has no value: {reason}");
                found.push(Diagnostic::new(&lock.source, "plan::lock", lock.span, message, "with these inputs"));
            }
        }
    }
    Diagnostics::collect(found).map_or_else(|| Ok(deduplicated(texts)), Err)
}

/// Returns the locks as they are written, each once.
pub(super) fn as_written(locks: &[Lock]) -> Vec<String> {
    let text = |lock: &Lock| match lock.template.as_written() {
        Value::String(text) => text,
        other => other.to_string(),
    };
    deduplicated(locks.iter().map(text).collect())
}

/// Returns all locks with their scopes: those of the workflow itself first.
fn all(inlined: &InlinedWorkflow) -> impl Iterator<Item = (usize, &SpannedTemplate)> {
    inlined.originals().flat_map(|(scope, instance)| instance.workflow.locks.iter().map(move |lock| (scope, lock)))
}

/// Removes equal locks and keeps the order.
fn deduplicated(mut locks: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    locks.retain(|lock| seen.insert(lock.clone()));
    locks
}

/// Reports a text that cannot be the name of a lock.
fn invalid_name(source: &Arc<SourceFile>, span: Span, text: &str) -> Option<Diagnostic> {
    let is_name = !text.trim().is_empty() && text.len() <= MAX_LOCK_BYTES && !text.contains(char::is_control);
    (!is_name).then(|| {
        let message =
            format!("{text:?} cannot be a lock: a lock has 1 to {MAX_LOCK_BYTES} bytes and no control characters");
        let hint = "name what only one run may use at a time, such as cluster/${{ inputs.cluster }}".to_owned();
        Diagnostic::new(source, "plan::lock", span, message, "not a name").with_hint(hint)
    })
}
