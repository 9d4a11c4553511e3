use super::{
    DEFAULT_TIMEOUT_MS, ForEach, PlannedExpression, PlannedLoop, PlannedStep, Retry, Scope, ScopeItem, Template,
    inlined_workflow::{ActionStep, InlinedWorkflow, WorkflowLoop},
};
use crate::workflow::{
    Expression, ForEachDefinition, RetryDefinition, SpannedExpression, SpannedTemplate, TemplateKind, TextPart,
    Workflow,
};

/// Returns the scopes of a plan.
pub(super) fn scopes(inlined: &InlinedWorkflow) -> Vec<Scope> {
    (0..inlined.scopes.len()).map(|each| scope(inlined, each)).collect()
}

/// Returns one scope. Inputs have the value that the inlining step gives, or else their default.
pub(super) fn scope(inlined: &InlinedWorkflow, scope: usize) -> Scope {
    let instance = &inlined.scopes[scope];
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    if let Some((parent, step)) = inlined.inliner(scope).filter(|_| instance.item.is_none()) {
        for input in &instance.workflow.inputs {
            let given = step.with.entry(&input.name.value).map(|value| template(value, parent));
            let value = given.or_else(|| input.default.as_ref().map(|value| template(value, parent)));
            inputs.extend(value.map(|value| (input.name.value.clone(), value)));
        }
        outputs = self::outputs(&instance.workflow, scope);
    }
    Scope {
        prefix: instance.prefix.clone(),
        workflow: instance.workflow.name.value.clone(),
        parent: match &instance.item {
            Some((copy_of, _)) => Some(*copy_of),
            None => instance.parent.map(|(parent, _)| parent),
        },
        inputs,
        outputs,
        item: instance.item.as_ref().map(|(copy_of, item)| ScopeItem {
            copy_of: *copy_of,
            variable: item.variable.clone(),
            value: item.value.clone(),
        }),
        allow_failure: instance.item.is_none() && inlined.inliner(scope).is_some_and(|(_, step)| step.allow_failure),
    }
}

/// Returns the loops of a plan.
pub(super) fn loops(inlined: &InlinedWorkflow) -> Vec<PlannedLoop> {
    let planned = |each: &WorkflowLoop| PlannedLoop { name: each.name.clone(), instances: each.instances.clone() };
    inlined.loops.iter().map(planned).collect()
}

/// Returns the outputs of a workflow with this scope.
pub(super) fn outputs(workflow: &Workflow, scope: usize) -> Vec<(String, Template)> {
    workflow.outputs.iter().map(|(name, value)| (name.value.clone(), template(value, scope))).collect()
}

/// Returns one step of a plan, without its dependencies.
pub(super) fn step(inlined: &InlinedWorkflow, step: &ActionStep) -> PlannedStep {
    let action = step.action.as_ref().expect("a checked workflow has known actions only");
    let (definition, body) = (inlined.definition(step), inlined.body(step));
    PlannedStep {
        name: inlined.scopes[step.scope].full_name(&definition.name.value),
        action: action.name().to_owned(),
        version: action.version(),
        nature: action.nature(),
        recovery: action.recovery(),
        with: template(&definition.with, step.scope),
        needs: Vec::new(),
        after: Vec::new(),
        needs_each: Vec::new(),
        when: condition(inlined, step),
        approval: body.approval.as_ref().map(|question| template(question, step.scope)),
        for_each: body.for_each.as_ref().map(|each| for_each(each, step.scope)),
        retry: retry(&body.retry),
        timeout_ms: body.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS),
        scope: step.scope,
        allow_failure: definition.allow_failure,
        is_finally: inlined.is_finally(step.scope, definition),
    }
}

/// Joins the condition of a step with those of the steps that inline its workflow. The outermost is
/// evaluated first.
pub(super) fn condition(inlined: &InlinedWorkflow, step: &ActionStep) -> Option<PlannedExpression> {
    let mut conditions: Vec<PlannedExpression> = Vec::new();
    let planned = |when: &SpannedExpression, scope| expression(&when.expression, scope);
    conditions.extend(inlined.definition(step).when.as_ref().map(|when| planned(when, step.scope)));
    let mut scope = step.scope;
    while let Some((parent, inliner)) = inlined.inliner(scope) {
        conditions.extend(inliner.when.as_ref().map(|when| planned(when, parent)));
        scope = parent;
    }
    conditions.into_iter().rev().fold(None, |outer, inner| Some(inner.and_before(outer)))
}

/// Returns the loop of a step. Without a key, the item itself is the key.
fn for_each(each: &ForEachDefinition, scope: usize) -> ForEach {
    let variable = each.variable.value.clone();
    let key = each.key.as_ref().map(|key| expression(&key.expression, scope));
    ForEach {
        items: expression(&each.items.expression, scope),
        key: key.unwrap_or_else(|| PlannedExpression::new(&variable, scope)),
        group: each.group.as_ref().map(|group| expression(&group.expression, scope)),
        max_parallel: each.max_parallel,
        max_failures: each.max_failures,
        variable,
    }
}

/// Returns the retry policy. The maximum backoff is never shorter than the first one.
fn retry(definition: &RetryDefinition) -> Retry {
    let default = Retry::default();
    let initial_ms = definition.initial_ms.unwrap_or(default.initial_ms);
    Retry {
        attempts: definition.attempts.unwrap_or(default.attempts),
        initial_ms,
        factor: definition.factor.unwrap_or(default.factor),
        max_ms: definition.max_ms.unwrap_or(default.max_ms).max(initial_ms),
        budget_ms: definition.budget_ms.unwrap_or(default.budget_ms),
    }
}

fn expression(expression: &Expression, scope: usize) -> PlannedExpression {
    PlannedExpression::from_parsed(expression, scope)
}

/// Returns a value of a workflow with this scope. Parts without expressions become literals.
pub(super) fn template(written: &SpannedTemplate, scope: usize) -> Template {
    if let Some(value) = written.to_json() {
        return Template::Literal(value);
    }
    match &written.kind {
        TemplateKind::Expression(inner) => Template::Expression(expression(&inner.expression, scope)),
        TemplateKind::Parts(parts) => Template::Text(parts.iter().map(|part| text_part(part, scope)).collect()),
        TemplateKind::List(items) => Template::List(items.iter().map(|item| template(item, scope)).collect()),
        TemplateKind::Map(entries) => {
            Template::Map(entries.iter().map(|(key, value)| (key.value.clone(), template(value, scope))).collect())
        }
        other => unreachable!("{other:?} is a literal, or a mistake that was reported"),
    }
}

fn text_part(part: &TextPart<SpannedExpression>, scope: usize) -> TextPart<PlannedExpression> {
    match part {
        TextPart::Literal(text) => TextPart::Literal(text.clone()),
        TextPart::Expression(inner) => TextPart::Expression(expression(&inner.expression, scope)),
    }
}
