use super::{FORMAT, Plan, PlanError, PlannedExpression};

/// Checks that each index of a stored plan is in range and refers to an earlier step or scope, so
/// that later code can rely on it.
///
/// # Errors
/// [`PlanError::Format`] for a format that is not known, otherwise [`PlanError::Damaged`].
pub(super) fn verify(plan: &Plan) -> Result<(), PlanError> {
    if !(1..=FORMAT).contains(&plan.format) {
        return Err(PlanError::Format { found: plan.format, expected: FORMAT });
    }
    for (index, scope) in plan.scopes.iter().enumerate() {
        if scope.parent.map_or(index != 0, |parent| parent >= index) {
            return damaged(format!("scope {:?} is not inside an earlier one", scope.prefix));
        }
    }
    let copies = plan.scopes.iter().enumerate().filter_map(|(at, scope)| Some((at, scope.item.as_ref()?.copy_of)));
    if let Some((at, _)) = { copies }.find(|(at, copy_of)| copy_of >= at || plan.scopes[*copy_of].item.is_some()) {
        return damaged(format!("scope {at} is not a copy of an earlier one"));
    }
    let mut instances = plan.loops.iter().flat_map(|each| &each.instances);
    if let Some((key, _)) = instances.find(|(_, scope)| *scope >= plan.scopes.len()) {
        return damaged(format!("the instance {key:?} has no scope"));
    }
    for (index, step) in plan.steps.iter().enumerate() {
        if step.predecessors().any(|before| before >= index) {
            return damaged(format!("step {:?} depends on a step that comes after it", step.name));
        }
        if step.scope >= plan.scopes.len() {
            return damaged(format!("step {:?} has no scope", step.name));
        }
    }
    let mut without_scope = None;
    visit_expressions(plan, &mut |expression| {
        if expression.scope >= plan.scopes.len() {
            without_scope.get_or_insert(&expression.source);
        }
    });
    match without_scope {
        Some(source) => damaged(format!("the expression {source:?} has no scope")),
        None => Ok(()),
    }
}

fn damaged(what: String) -> Result<(), PlanError> {
    Err(PlanError::Damaged { what })
}

/// Calls `visit` for each expression of a plan, the conditions of inlining steps included.
fn visit_expressions<'a>(plan: &'a Plan, visit: &mut impl FnMut(&'a PlannedExpression)) {
    let mut visit = |expression| with_conditions(expression).for_each(&mut *visit);
    for step in &plan.steps {
        step.with.visit(&mut visit);
        step.when.iter().for_each(&mut visit);
        step.approval.iter().for_each(|question| question.visit(&mut visit));
        let looped = step.for_each.iter().flat_map(|each| [&each.items, &each.key].into_iter().chain(&each.group));
        looped.for_each(&mut visit);
    }
    let scopes = plan.scopes.iter().flat_map(|scope| scope.inputs.iter().chain(&scope.outputs));
    scopes.chain(&plan.outputs).for_each(|(_, value)| value.visit(&mut visit));
}

/// Returns an expression and the conditions that must hold with it.
fn with_conditions(expression: &PlannedExpression) -> impl Iterator<Item = &PlannedExpression> {
    std::iter::successors(Some(expression), |expression| expression.and.as_deref())
}
