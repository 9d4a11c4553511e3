use std::collections::BTreeSet;

use super::inlined_workflow::InlinedWorkflow;
use crate::workflow::{Diagnostic, Reference, Severity, SpannedExpression, Step, Workflow};

/// Returns a warning for each step that reads outputs of a step with a condition, and neither
/// checks whether that step was skipped nor has the same condition.
pub(super) fn skipped_outputs(inlined: &InlinedWorkflow) -> Vec<Diagnostic> {
    let workflows = inlined.scopes.iter().map(|scope| &*scope.workflow);
    workflows.flat_map(|workflow| workflow.steps.iter().flat_map(|step| warnings(workflow, step))).collect()
}

/// Returns the warnings about one step: one for each step that it reads.
fn warnings(workflow: &Workflow, step: &Step) -> Vec<Diagnostic> {
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for expression in step.expressions() {
        for reference in expression.expression.references() {
            let Some(read) = conditional(workflow, reference) else { continue };
            let name = read.name.value.as_str();
            let is_checked = checks(expression, name) || step.when.as_ref().is_some_and(|when| checks(when, name));
            if !is_checked && !implies(workflow, step, read) && seen.insert(name) {
                found.push(describe(workflow, step, expression, reference, name));
            }
        }
    }
    found
}

/// Returns the step with a condition whose outputs the reference reads.
fn conditional<'a>(workflow: &'a Workflow, reference: &Reference) -> Option<&'a Step> {
    let name = reference.step_name().filter(|_| reference.field(2) == Some("outputs"))?;
    workflow.steps.iter().find(|step| step.name.value == name && step.when.is_some())
}

/// True if the expression reads whether the step was skipped, or whether it has the output.
fn checks(expression: &SpannedExpression, name: &str) -> bool {
    let references = expression.expression.references();
    let reads = references.iter().any(|r| r.step_name() == Some(name) && r.field(2) == Some("skipped"));
    reads || squeezed(expression).contains(&format!("has(steps.{name}."))
}

/// True if the step is executed only if `read` is: its condition has each term of one of the
/// alternatives of the other one.
fn implies(workflow: &Workflow, step: &Step, read: &Step) -> bool {
    let (Some(when), Some(required)) = (&step.when, &read.when) else { return false };
    let mut terms: BTreeSet<String> = split(&squeezed(when), "&&").into_iter().collect();
    // A step that was not skipped has met its condition.
    let met = workflow.steps.iter().filter(|other| terms.contains(&format!("!steps.{}.skipped", other.name.value)));
    let met: Vec<String> =
        met.filter_map(|other| other.when.as_ref()).flat_map(|when| split(&squeezed(when), "&&")).collect();
    terms.extend(met);
    let required = squeezed(required);
    terms.contains(&required)
        || split(&required, "||").iter().any(|part| split(part, "&&").iter().all(|term| terms.contains(term)))
}

/// Returns the source of an expression without blanks.
fn squeezed(expression: &SpannedExpression) -> String {
    expression.expression.source().split_whitespace().collect()
}

/// Splits at an operator outside of brackets and texts, and drops brackets around a part.
fn split(source: &str, operator: &str) -> Vec<String> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (at, c) in source.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 && at >= start && source[at..].starts_with(operator) => {
                parts.push(&source[start..at]);
                start = at + operator.len();
            }
            (Some(_) | None, _) => {}
        }
    }
    parts.push(&source[start..]);
    parts.into_iter().map(|part| unwrapped(part).to_owned()).collect()
}

/// Drops one pair of brackets around a whole part.
fn unwrapped(part: &str) -> &str {
    let inner = part.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    inner.filter(|inner| !inner.contains(['(', ')'])).unwrap_or(part)
}

fn describe(
    workflow: &Workflow,
    step: &Step,
    expression: &SpannedExpression,
    reference: &Reference,
    read: &str,
) -> Diagnostic {
    let message = format!("step {:?} fails if {read:?} is skipped: it reads its outputs", step.name.value);
    let hint = format!(
        "check steps.{read}.skipped in the expression or in `when`, or repeat the condition of {read:?} in `when`"
    );
    let span = expression.span_of(&workflow.source, &reference.range());
    Diagnostic::new(&workflow.source, "plan::skipped_output", span, message, "has no value then")
        .with_hint(hint)
        .with_severity(Severity::Warning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_split_outside_of_brackets_and_texts() {
        assert_eq!(split("a&&(b||c)&&(d)&&'x&&y'", "&&"), ["a", "b||c", "d", "'x&&y'"]);
        assert_eq!(split("a||b&&c", "||"), ["a", "b&&c"]);
        assert_eq!(split("(a)&&(b)", "||"), ["(a)&&(b)"]);
        assert_eq!(split("f(a&&b)", "&&"), ["f(a&&b)"]);
    }
}
