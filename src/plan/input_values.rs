//! What is known before a run: inputs, and all that they decide.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    PlannedExpression, Reason, Scope, Template,
    compiled_expression::{CompiledExpression, Compiler},
    error::EvaluationFailure,
    evaluate::{Evaluation, ValueSource},
    inlined_workflow::InlinedWorkflow,
    names::{IndexResolver, ReferenceTarget, Resolved},
};
use crate::workflow::{Diagnostic, Span, SpannedExpression, SpannedTemplate, Workflow};

/// Inputs of a run and of the workflows that it inlines: all that a lock, and a loop over a
/// workflow, can read.
pub(super) struct InputValues<'a> {
    pub(super) names: &'a IndexResolver,
    pub(super) scopes: &'a [Scope],
    pub(super) inputs: &'a Map<String, Value>,
}

impl InputValues<'_> {
    /// Evaluates a text. A number is converted to text.
    pub(super) fn text(&self, template: &Template) -> Result<String, String> {
        let template = Compiler::new(self.names).template("lock", template, None).map_err(|error| error.to_string())?;
        match Evaluation::new(self).template(&template).map_err(|failure| failure.reason.to_string())? {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => Err("its value is not text".into()),
        }
    }

    /// Evaluates the list of a loop.
    pub(super) fn list(&self, items: &PlannedExpression) -> Result<Vec<Value>, String> {
        Evaluation::new(self).list(&self.compile(items)?).map_err(|failure| failure.reason.to_string())
    }

    /// Evaluates the key of an instance.
    pub(super) fn key(&self, key: &PlannedExpression) -> Result<String, String> {
        Evaluation::new(self).key(&self.compile(key)?).map_err(|failure| failure.reason.to_string())
    }

    /// Evaluates the maximum number of concurrent instances.
    pub(super) fn limit(&self, limit: &PlannedExpression) -> Result<usize, String> {
        let value = Evaluation::new(self).value(&self.compile(limit)?).map_err(|failure| failure.reason.to_string())?;
        let count = value.as_u64().filter(|count| *count >= 1).and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| format!("max_parallel must be a whole number of at least 1, this is {value}"))
    }

    fn compile(&self, expression: &PlannedExpression) -> Result<CompiledExpression, String> {
        Compiler::new(self.names).expression("for_each", expression, None).map_err(|error| error.to_string())
    }

    /// Evaluates an input of an inlined workflow. The check made sure that it needs nothing but
    /// other inputs.
    fn scope_input(&self, scope: usize, name: &str) -> Result<Option<Value>, EvaluationFailure> {
        let inputs = &self.scopes[scope].inputs;
        let Some((_, template)) = inputs.iter().find(|(input, _)| input == name) else { return Ok(None) };
        let compiled = Compiler::new(self.names).template("input", template, None);
        let compiled = compiled.expect("an input that is needed before a run refers to inputs only");
        Evaluation::new(self).template(&compiled).map(Some)
    }
}

impl ValueSource for InputValues<'_> {
    fn value(&self, target: &ReferenceTarget) -> Result<Option<Cow<'_, Value>>, EvaluationFailure> {
        match target {
            ReferenceTarget::Input { scope: 0, name } => Ok(self.inputs.get(name).map(Cow::Borrowed)),
            ReferenceTarget::Input { scope, name } => Ok(self.scope_input(*scope, name)?.map(Cow::Owned)),
            ReferenceTarget::ScopeItem { scope } => Ok(self.scopes[*scope].value().map(Cow::Borrowed)),
            _ => Ok(None),
        }
    }

    fn absence(&self, _: &ReferenceTarget) -> Option<Reason> {
        None
    }
}

/// Checks that an expression needs nothing but inputs, also through the inputs of inlined
/// workflows.
pub(super) struct InputsOnly<'a> {
    pub(super) inlined: &'a InlinedWorkflow,
    /// Workflow that the expression belongs to.
    pub(super) owner: &'a Workflow,
    /// Use of the expression, such as `a lock`.
    pub(super) what: &'static str,
    pub(super) hint: &'static str,
}

impl InputsOnly<'_> {
    /// Reports each reference of the expression itself that is not an input.
    pub(super) fn own_expression(&self, scope: usize, expression: &SpannedExpression, found: &mut Vec<Diagnostic>) {
        let workflow = &self.inlined.scopes[scope].workflow;
        let references = expression.expression.references().iter();
        for reference in references.filter(|reference| matches!(reference.root(), "steps" | "run")) {
            found.push(self.not_an_input(workflow, expression.span_of(&workflow.source, &reference.range())));
        }
    }

    /// Reports each reference that is not an input, in the workflow that contains it.
    pub(super) fn expression(&self, scope: usize, expression: &SpannedExpression, found: &mut Vec<Diagnostic>) {
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
        let what = self.what;
        let message = if std::ptr::eq(workflow, self.owner) {
            format!("{what} can use inputs only")
        } else {
            let owner = &self.owner.name.value;
            format!("{what} of the workflow {owner:?} depends on this value, so it can use inputs only")
        };
        Diagnostic::new(&workflow.source, "plan::lock", span, message, "not known before the run starts")
            .with_hint(self.hint.to_owned())
    }
}
