use std::{borrow::Cow, cell::Cell, collections::HashSet, sync::Arc};

use serde_json::{Map, Value};

use super::{
    PlannedExpression, PlannedLoop, Reason, Scope, Template,
    compiled_expression::{CompiledExpression, Compiler},
    error::EvaluationFailure,
    evaluate::{Evaluation, ValueSource},
    inlined_workflow::{ActionStep, InlinedWorkflow},
    names::{IndexResolver, ReferenceTarget},
};
use crate::workflow::{Diagnostic, GivenInputs, SourceFile, Span, SpannedExpression, SpannedTemplate, TemplateKind};

/// Maximum number of instances of a step whose inputs are evaluated.
const MAX_INSTANCES: usize = 100;

/// Expressions of one step, with their places.
#[derive(Debug)]
pub(super) struct StepExpressions {
    source: Arc<SourceFile>,
    scope: usize,
    /// Condition, with those of the steps that inline the workflow.
    when: Option<PlannedExpression>,
    /// Place of the condition, or of the step's name if it has none of its own.
    when_span: Span,
    /// Expressions of the input and of the question.
    inputs: Vec<SpannedExpression>,
    list: Option<ListExpressions>,
}

/// Expressions of a loop.
#[derive(Debug)]
struct ListExpressions {
    items: SpannedExpression,
    variable: String,
    key: PlannedExpression,
    /// Place of the key, or of the list if the items are the keys.
    key_span: Span,
}

impl StepExpressions {
    /// Collects the expressions of a step; `when` is its whole condition.
    pub(super) fn new(inlined: &InlinedWorkflow, step: &ActionStep, when: Option<PlannedExpression>) -> Self {
        let (definition, body) = (inlined.definition(step), inlined.body(step));
        let source = &inlined.scopes[step.scope].workflow.source;
        let planned = |key: &SpannedExpression| PlannedExpression::from_parsed(&key.expression, step.scope);
        let list = body.for_each.as_ref().map(|each| ListExpressions {
            items: each.items.clone(),
            variable: each.variable.value.clone(),
            key: each.key.as_ref().map_or_else(|| PlannedExpression::new(&each.variable.value, step.scope), planned),
            key_span: each.key.as_ref().unwrap_or(&each.items).trimmed(source),
        });
        let templates = std::iter::once(&definition.with).chain(&body.approval);
        let inputs = templates.flat_map(SpannedTemplate::expressions).cloned().collect();
        let when_span = definition.when.as_ref().map_or(definition.name.span, |when| when.trimmed(source));
        Self { source: Arc::clone(source), scope: step.scope, when, when_span, inputs, list }
    }
}

/// Expressions of steps, to be evaluated before a run.
pub(super) struct ValuesBeforeRun<'a> {
    names: IndexResolver,
    scopes: &'a [Scope],
    /// Inputs of the run; `None` if they are not known either.
    inputs: Option<&'a Map<String, Value>>,
    /// Inputs as they were given, with their places.
    given: Option<&'a GivenInputs>,
}

impl<'a> ValuesBeforeRun<'a> {
    /// Creates the values of a run of which no step has been executed.
    pub(super) fn new<'s>(
        steps: impl Iterator<Item = &'s str>,
        scopes: &'a [Scope],
        loops: &[PlannedLoop],
        inputs: Option<&'a Map<String, Value>>,
    ) -> Self {
        Self { names: IndexResolver::new(steps, scopes, loops), scopes, inputs, given: None }
    }

    /// Adds the places of the inputs: an error that one of them causes alone is reported there.
    pub(super) fn with_places(self, given: &'a GivenInputs) -> Self {
        Self { given: Some(given), ..self }
    }

    /// Returns the first expression of a step that has no value for any outputs of the steps before
    /// it.
    ///
    /// A skipped step has no error. If its condition is not known, only errors that do not depend
    /// on inputs are returned.
    pub(super) fn error(&self, step: &StepExpressions) -> Option<Diagnostic> {
        if let Some(when) = &step.when {
            match self.evaluate(when, None, |evaluation, when| evaluation.condition(when)) {
                Knowledge::Value(true) => {}
                Knowledge::Unknown if self.inputs.is_none() => {}
                Knowledge::Value(false) | Knowledge::Unknown => return None,
                Knowledge::Failed(failure) => return Some(step.describe(step.when_span, &failure)),
            }
        }
        let Some(list) = &step.list else { return self.input_error(step, None) };
        let items = PlannedExpression::from_parsed(&list.items.expression, step.scope);
        match self.evaluate(&items, None, |evaluation, items| evaluation.list(items)) {
            Knowledge::Value(items) => self.instance_error(step, list, &items),
            Knowledge::Unknown => None,
            Knowledge::Failed(failure) => Some(step.describe(list.items.trimmed(&step.source), &failure)),
        }
    }

    /// Evaluates a condition.
    pub(super) fn condition(&self, condition: &PlannedExpression) -> Knowledge<bool> {
        self.evaluate(condition, None, |evaluation, condition| evaluation.condition(condition))
    }

    /// Evaluates a text; `None` if it has no value.
    pub(super) fn text(&self, text: &Template) -> Option<String> {
        let compiled = Compiler::new(&self.names).template("text", text, None).ok()?;
        let values = ItemValues { known: self, item: None, is_unknown: Cell::new(false) };
        match Evaluation::new(&values).template(&compiled).ok()? {
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    /// Returns the first error of the keys and the inputs of a step's instances.
    fn instance_error(&self, step: &StepExpressions, list: &ListExpressions, items: &[Value]) -> Option<Diagnostic> {
        let mut seen = HashSet::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let variable = Some((list.variable.as_str(), item));
            match self.evaluate(&list.key, variable, |evaluation, key| evaluation.key(key)) {
                Knowledge::Value(key) if seen.contains(&key) => {
                    let message = format!("two items have the key {key:?}, keys must be unique");
                    if let Some((source, span)) = self.place_of_item(step, list, index) {
                        let hint = "remove one of the items, or change its key".to_owned();
                        return Some(at_item(&source, span, message).with_hint(hint));
                    }
                    let hint = "remove one of the items, or add a `key` that is different for each";
                    return Some(step.diagnostic(list.key_span, message).with_hint(hint.to_owned()));
                }
                Knowledge::Value(key) => drop(seen.insert(key)),
                Knowledge::Unknown => return None,
                Knowledge::Failed(failure) => {
                    return Some(match self.place_of_item(step, list, index) {
                        Some((source, span)) => at_item(&source, span, failure.reason.to_string()),
                        None => step.describe(list.key_span, &failure),
                    });
                }
            }
        }
        let instances = items.iter().take(MAX_INSTANCES);
        instances.into_iter().find_map(|item| self.input_error(step, Some((list.variable.as_str(), item))))
    }

    /// Returns the place of an item of a list that is an input as it was given.
    fn place_of_item(
        &self,
        step: &StepExpressions,
        list: &ListExpressions,
        index: usize,
    ) -> Option<(Arc<SourceFile>, Span)> {
        let name = list.items.expression.source().trim().strip_prefix("inputs.").filter(|_| step.scope == 0)?;
        let place = self.given?.get(name)?.place.as_ref()?;
        let TemplateKind::List(items) = &place.value.kind else { return None };
        Some((Arc::clone(&place.source), items.get(index)?.span))
    }

    /// Returns the first error of the inputs of a step, or of one of its instances. Without the
    /// inputs of the run, only lists and keys are evaluated.
    fn input_error(&self, step: &StepExpressions, item: Option<(&str, &Value)>) -> Option<Diagnostic> {
        self.inputs?;
        step.inputs.iter().find_map(|input| {
            let planned = PlannedExpression::from_parsed(&input.expression, step.scope);
            match self.evaluate(&planned, item, |evaluation, input| evaluation.value(input)) {
                Knowledge::Failed(failure) => Some(step.describe(input.trimmed(&step.source), &failure)),
                Knowledge::Value(_) | Knowledge::Unknown => None,
            }
        })
    }

    /// Evaluates an expression with a loop variable.
    fn evaluate<T>(
        &self,
        expression: &PlannedExpression,
        item: Option<(&str, &Value)>,
        evaluate: impl FnOnce(Evaluation<'_>, &CompiledExpression) -> Result<T, EvaluationFailure>,
    ) -> Knowledge<T> {
        let variable = item.map(|(name, _)| name);
        let compiled = Compiler::new(&self.names).expression("expression", expression, variable);
        // A checked workflow has no such expression.
        let Ok(compiled) = compiled else { return Knowledge::Unknown };
        let values = ItemValues { known: self, item: item.map(|(_, item)| item), is_unknown: Cell::new(false) };
        match evaluate(Evaluation::new(&values), &compiled) {
            _ if values.is_unknown.get() => Knowledge::Unknown,
            Ok(value) => Knowledge::Value(value),
            Err(failure) => Knowledge::Failed(failure),
        }
    }
}

/// Result of an evaluation before a run.
pub(super) enum Knowledge<T> {
    Value(T),
    /// The expression reads a value that is not known yet.
    Unknown,
    Failed(EvaluationFailure),
}

/// Known values, with that of the loop variable.
struct ItemValues<'a> {
    known: &'a ValuesBeforeRun<'a>,
    item: Option<&'a Value>,
    /// A value was read that is not known.
    is_unknown: Cell<bool>,
}

impl ItemValues<'_> {
    /// Evaluates an input of an inlined workflow.
    fn scope_input(&self, scope: usize, name: &str) -> Result<Option<Value>, EvaluationFailure> {
        let inputs = &self.known.scopes[scope].inputs;
        let template = inputs.iter().find(|(input, _)| input == name).map(|(_, template)| template);
        let compiled = template.map(|template| Compiler::new(&self.known.names).template("input", template, None));
        match compiled {
            Some(Ok(template)) => Evaluation::new(self).template(&template).map(Some),
            Some(Err(_)) | None => Ok(None),
        }
    }
}

impl ValueSource for ItemValues<'_> {
    fn value(&self, target: &ReferenceTarget) -> Result<Option<Cow<'_, Value>>, EvaluationFailure> {
        let value = match target {
            ReferenceTarget::Input { scope: 0, name } => {
                self.known.inputs.and_then(|inputs| inputs.get(name)).map(Cow::Borrowed)
            }
            ReferenceTarget::Input { scope, name } => self.scope_input(*scope, name)?.map(Cow::Owned),
            ReferenceTarget::Item => self.item.map(Cow::Borrowed),
            ReferenceTarget::ScopeItem { scope } => self.known.scopes[*scope].value().map(Cow::Borrowed),
            _ => None,
        };
        if value.is_none() {
            self.is_unknown.set(true);
        }
        Ok(value)
    }

    fn absence(&self, _: &ReferenceTarget) -> Option<Reason> {
        None
    }
}

fn at_item(source: &Arc<SourceFile>, span: Span, message: String) -> Diagnostic {
    Diagnostic::new(source, "plan::no_value", span, message, "this item")
}

impl StepExpressions {
    fn describe(&self, span: Span, failure: &EvaluationFailure) -> Diagnostic {
        self.diagnostic(span, format!("the expression {} has no value: {}", failure.expression.trim(), failure.reason))
    }

    fn diagnostic(&self, span: Span, message: String) -> Diagnostic {
        Diagnostic::new(&self.source, "plan::no_value", span, message, "known before the step runs")
    }
}
