use super::{Expression, FORMAT, Piece, Plan, PlanError, Template};

/// Checks that every index of a stored plan leads where it must, so that nothing later has to.
pub(super) fn verify(plan: &Plan) -> Result<(), PlanError> {
    if !(1..=FORMAT).contains(&plan.format) {
        return Err(PlanError::Format { found: plan.format, expected: FORMAT });
    }
    for (index, scope) in plan.scopes.iter().enumerate() {
        if scope.parent.map_or(index != 0, |parent| parent >= index) {
            return damaged(format!("scope {:?} is not inside an earlier one", scope.prefix));
        }
    }
    for (index, step) in plan.steps.iter().enumerate() {
        if step.needs.iter().any(|&need| need >= index) {
            return damaged(format!("step {:?} needs a step that comes after it", step.name));
        }
        if step.scope >= plan.scopes.len() {
            return damaged(format!("step {:?} has no scope", step.name));
        }
    }
    match expressions(plan).into_iter().find(|expression| expression.scope >= plan.scopes.len()) {
        Some(expression) => damaged(format!("the expression {:?} has no scope", expression.source)),
        None => Ok(()),
    }
}

fn damaged(what: String) -> Result<(), PlanError> {
    Err(PlanError::Damaged { what })
}

fn expressions(plan: &Plan) -> Vec<&Expression> {
    let mut found = Vec::new();
    for step in &plan.steps {
        template(&step.with, &mut found);
        step.when.iter().for_each(|when| expression(when, &mut found));
        step.approval.iter().for_each(|question| template(question, &mut found));
        step.for_each.iter().for_each(|each| found.extend([&each.items, &each.key]));
    }
    let scopes = plan.scopes.iter().flat_map(|scope| scope.inputs.iter().chain(&scope.outputs));
    scopes.chain(&plan.outputs).for_each(|(_, value)| template(value, &mut found));
    found
}

fn expression<'a>(written: &'a Expression, found: &mut Vec<&'a Expression>) {
    found.push(written);
    written.and.iter().for_each(|and| expression(and, found));
}

fn template<'a>(written: &'a Template, found: &mut Vec<&'a Expression>) {
    match written {
        Template::Literal(_) => {}
        Template::Expression(inner) => expression(inner, found),
        Template::Text(pieces) => pieces.iter().for_each(|piece| match piece {
            Piece::Literal(_) => {}
            Piece::Expression(inner) => expression(inner, found),
        }),
        Template::List(items) => items.iter().for_each(|item| template(item, found)),
        Template::Map(entries) => entries.iter().for_each(|(_, value)| template(value, found)),
    }
}
