use super::{
    DEFAULT_TIMEOUT_MS, Expression, ForEach, Piece, PlannedStep, Retry, Scope, Template,
    dependencies::entry,
    expand::{Expanded, Unit},
};
use crate::workflow::{self, Placed, TemplateKind};

/// The scopes of a plan.
pub(super) fn scopes(expanded: &Expanded<'_>) -> Vec<Scope> {
    (0..expanded.places.len()).map(|scope| lower_scope(expanded, scope)).collect()
}

fn lower_scope(expanded: &Expanded<'_>, scope: usize) -> Scope {
    let place = &expanded.places[scope];
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    if let Some((parent, step)) = expanded.inliner(scope) {
        for input in &place.workflow.inputs {
            let given = entry(&step.with, &input.name.value).map(|value| template(value, parent));
            let value = given.or_else(|| input.default.as_ref().map(|value| template(value, parent)));
            inputs.extend(value.map(|value| (input.name.value.clone(), value)));
        }
        outputs = lower_outputs(&place.workflow, scope);
    }
    Scope {
        prefix: place.prefix.clone(),
        workflow: place.workflow.name.value.clone(),
        parent: place.parent.map(|(parent, _)| parent),
        inputs,
        outputs,
    }
}

/// The outputs of a workflow that is in `scope`.
pub(super) fn lower_outputs(workflow: &workflow::Workflow, scope: usize) -> Vec<(String, Template)> {
    workflow.outputs.iter().map(|(name, value)| (name.value.clone(), template(value, scope))).collect()
}

/// One step of a plan; `None` when its action is not known.
pub(super) fn step(expanded: &Expanded<'_>, unit: &Unit<'_>, needs: Vec<usize>) -> Option<PlannedStep> {
    let action = unit.action?;
    let (step, body) = (expanded.step(unit), expanded.body(unit));
    Some(PlannedStep {
        name: expanded.places[unit.scope].full_name(&step.name.value),
        action: action.name().to_owned(),
        version: action.version(),
        recovery: action.recovery(),
        with: template(&step.with, unit.scope),
        needs,
        when: condition(expanded, unit),
        approval: body.approval.as_ref().map(|question| template(question, unit.scope)),
        for_each: body.for_each.as_ref().map(|each| for_each(each, unit.scope)),
        retry: retry(&body.retry),
        timeout_ms: body.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS),
        scope: unit.scope,
    })
}

// The conditions of the steps around hold for all that they inline; the outermost is looked at first.
fn condition(expanded: &Expanded<'_>, unit: &Unit<'_>) -> Option<Expression> {
    let mut conditions: Vec<Expression> = Vec::new();
    conditions.extend(expanded.step(unit).when.as_ref().map(|when| expression(when, unit.scope)));
    let mut scope = unit.scope;
    while let Some((parent, step)) = expanded.inliner(scope) {
        conditions.extend(step.when.as_ref().map(|when| expression(when, parent)));
        scope = parent;
    }
    let join = |outer: Option<Expression>, inner: Expression| Some(Expression { and: outer.map(Box::new), ..inner });
    conditions.into_iter().rev().fold(None, join)
}

fn for_each(each: &workflow::ForEach, scope: usize) -> ForEach {
    let variable = each.variable.value.clone();
    let itself = || Expression { source: variable.clone(), scope, and: None };
    ForEach {
        items: expression(&each.items, scope),
        key: each.key.as_ref().map_or_else(itself, |key| expression(key, scope)),
        max_parallel: each.max_parallel,
        variable,
    }
}

fn retry(written: &workflow::Retry) -> Retry {
    let default = Retry::default();
    let initial_ms = written.initial_ms.unwrap_or(default.initial_ms);
    Retry {
        attempts: written.attempts.unwrap_or(default.attempts),
        initial_ms,
        factor: written.factor.unwrap_or(default.factor),
        max_ms: written.max_ms.unwrap_or(default.max_ms).max(initial_ms),
        budget_ms: written.budget_ms.unwrap_or(default.budget_ms),
    }
}

fn expression(placed: &Placed, scope: usize) -> Expression {
    Expression { source: placed.expression.source().trim().to_owned(), scope, and: None }
}

/// A value of a workflow that is in `scope`.
pub(super) fn template(written: &workflow::Template, scope: usize) -> Template {
    if let Some(value) = written.to_json() {
        return Template::Literal(value);
    }
    match &written.kind {
        TemplateKind::Expression(placed) => Template::Expression(expression(placed, scope)),
        TemplateKind::Pieces(pieces) => Template::Text(pieces.iter().map(|each| piece(each, scope)).collect()),
        TemplateKind::List(items) => Template::List(items.iter().map(|item| template(item, scope)).collect()),
        TemplateKind::Map(entries) => {
            Template::Map(entries.iter().map(|(key, value)| (key.value.clone(), template(value, scope))).collect())
        }
        other => unreachable!("{other:?} is a literal, or a mistake that was reported"),
    }
}

fn piece(written: &workflow::Piece, scope: usize) -> Piece {
    match written {
        workflow::Piece::Literal(text) => Piece::Literal(text.clone()),
        workflow::Piece::Expression(placed) => Piece::Expression(expression(placed, scope)),
    }
}
