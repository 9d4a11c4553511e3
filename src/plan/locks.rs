use std::{borrow::Cow, collections::HashSet, sync::Arc};

use serde_json::{Map, Value};

use super::{
    Scope, Template,
    compiled_expression::Compiler,
    error::EvaluationFailure,
    evaluate::{Evaluation, ValueSource},
    inlined_workflow::InlinedWorkflow,
    lower,
    names::{IndexResolver, ReferenceTarget, Resolved},
};
use crate::workflow::{Diagnostic, Diagnostics, SourceFile, Span, SpannedExpression, SpannedTemplate, Workflow};

/// Maximum length of a lock's name, in bytes: people read it.
const MAX_LOCK_BYTES: usize = 200;

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
            LockInputs { inlined, lock_of: workflow }.expression(scope, expression, &mut found);
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
    let names = IndexResolver::new(std::iter::empty(), scopes);
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
    let scopes = inlined.scopes.iter().enumerate();
    scopes.flat_map(|(scope, instance)| instance.workflow.locks.iter().map(move |lock| (scope, lock)))
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

/// Inputs of a run and of the workflows that it inlines: all that a lock can read.
struct InputValues<'a> {
    names: &'a IndexResolver,
    scopes: &'a [Scope],
    inputs: &'a Map<String, Value>,
}

impl InputValues<'_> {
    /// Evaluates one lock. A number is converted to text.
    fn text(&self, lock: &Template) -> Result<String, String> {
        let template = Compiler::new(self.names).template("lock", lock, None).map_err(|error| error.to_string())?;
        match Evaluation::new(self).template(&template).map_err(|failure| failure.reason.to_string())? {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => Err("its value is not text".into()),
        }
    }

    /// Evaluates an input of an inlined workflow. The check made sure that it needs nothing but
    /// other inputs.
    fn scope_input(&self, scope: usize, name: &str) -> Result<Option<Value>, EvaluationFailure> {
        let inputs = &self.scopes[scope].inputs;
        let Some((_, template)) = inputs.iter().find(|(input, _)| input == name) else { return Ok(None) };
        let compiled = Compiler::new(self.names).template("lock", template, None);
        let compiled = compiled.expect("an input that a lock needs refers to inputs only");
        Evaluation::new(self).template(&compiled).map(Some)
    }
}

impl ValueSource for InputValues<'_> {
    fn value(&self, target: &ReferenceTarget) -> Result<Option<Cow<'_, Value>>, EvaluationFailure> {
        match target {
            ReferenceTarget::Input { scope: 0, name } => Ok(self.inputs.get(name).map(Cow::Borrowed)),
            ReferenceTarget::Input { scope, name } => Ok(self.scope_input(*scope, name)?.map(Cow::Owned)),
            _ => Ok(None),
        }
    }

    fn skipped_step(&self, _: &ReferenceTarget) -> Option<(usize, &str)> {
        None
    }
}

/// Checks that a lock needs nothing but inputs, also through the inputs of inlined workflows.
struct LockInputs<'a> {
    inlined: &'a InlinedWorkflow,
    /// Workflow that the lock belongs to.
    lock_of: &'a Workflow,
}

impl LockInputs<'_> {
    /// Reports each reference that is not an input, in the workflow that contains it.
    fn expression(&self, scope: usize, expression: &SpannedExpression, found: &mut Vec<Diagnostic>) {
        let workflow = &self.inlined.scopes[scope].workflow;
        for (reference, resolved) in self.inlined.resolve_all(scope, expression) {
            if let Ok(Resolved { target: ReferenceTarget::Input { scope, name }, .. }) = resolved {
                self.input(scope, &name, found);
            } else if matches!(reference.root(), "steps" | "run") {
                let span = expression.span_of(&workflow.source, &reference.range());
                found.push(self.not_an_input(workflow, span));
            }
        }
    }

    /// Checks the value that the inlining step gives to an input. Defaults contain no expressions.
    fn input(&self, scope: usize, input: &str, found: &mut Vec<Diagnostic>) {
        let Some((parent, step)) = self.inlined.inliner(scope) else { return };
        let given = step.with.entry(input).map(SpannedTemplate::expressions).unwrap_or_default();
        for expression in given {
            self.expression(parent, expression, found);
        }
    }

    /// Creates the error for a reference that is not an input.
    fn not_an_input(&self, workflow: &Workflow, span: Span) -> Diagnostic {
        let message = if std::ptr::eq(workflow, self.lock_of) {
            "a lock can use inputs only".into()
        } else {
            format!(
                "a lock of the workflow {:?} depends on this value, so it can use inputs only",
                self.lock_of.name.value
            )
        };
        let hint = "locks are acquired before the run starts; pass the value as an input";
        Diagnostic::new(&workflow.source, "plan::lock", span, message, "not known before the run starts")
            .with_hint(hint.to_owned())
    }
}
