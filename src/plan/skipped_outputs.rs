use std::collections::BTreeSet;

use super::inlined_workflow::InlinedWorkflow;
use crate::workflow::{Condition, Diagnostic, PathKey, Reference, Severity, SpannedExpression, Step, Workflow};

/// Returns a warning for each step that reads outputs of a step with a condition, and neither
/// checks whether that step was skipped nor has the same condition; and for each one that reads
/// outputs of a step with `allow_failure` and does not check whether it has failed.
pub(super) fn skipped_outputs(inlined: &InlinedWorkflow) -> Vec<Diagnostic> {
    let workflows = inlined.scopes.iter().map(|scope| &*scope.workflow);
    workflows.flat_map(|workflow| workflow.steps.iter().flat_map(|step| warnings(workflow, step))).collect()
}

/// Returns the warnings about one step: one for each step that it reads.
fn warnings(workflow: &Workflow, step: &Step) -> Vec<Diagnostic> {
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    if step.is_finally {
        return found; // it is skipped if an output does not exist
    }
    for expression in step.expressions() {
        for reference in expression.expression.references() {
            let Some(read) = conditional(workflow, reference) else { continue };
            let name = read.name.value.as_str();
            let is_checked =
                |how| checks(expression, name, how) || step.when.as_ref().is_some_and(|when| checks(when, name, how));
            if read.allow_failure && !is_checked("failed") {
                found.extend(seen.insert(name).then(|| failure(workflow, step, expression, reference, name)));
            } else if read.when.is_some() && !is_checked("skipped") && !implies(workflow, step, read) {
                found.extend(seen.insert(name).then(|| skip(workflow, step, expression, reference, name)));
            }
        }
    }
    found
}

/// Returns the step with a condition or `allow_failure` whose outputs the reference reads.
fn conditional<'a>(workflow: &'a Workflow, reference: &Reference) -> Option<&'a Step> {
    let name = reference.step_name().filter(|_| reference.field(2) == Some("outputs"))?;
    workflow.steps.iter().find(|step| step.name.value == name && (step.when.is_some() || step.allow_failure))
}

/// True if the expression reads whether the step was skipped or has failed, as `property` says, or
/// whether it has the output.
fn checks(expression: &SpannedExpression, name: &str, property: &str) -> bool {
    let references = expression.expression.references();
    let reads = references.iter().any(|r| r.step_name() == Some(name) && r.field(2) == Some(property));
    let is_step = |keys: &Vec<PathKey>| keys.starts_with(&step_keys(name));
    reads || Condition::of(&expression.expression).presence_tests().iter().any(is_step)
}

/// True if the step is executed only if `read` is: its condition has each term of one of the
/// alternatives of the other one.
fn implies(workflow: &Workflow, step: &Step, read: &Step) -> bool {
    let (Some(when), Some(required)) = (condition(step), condition(read)) else { return false };
    let mut terms = when.terms();
    // A step that was not skipped has met its condition.
    let negated: Vec<_> = terms.iter().filter_map(Condition::negated_reference).collect();
    let is_met = |other: &&Step| {
        let skipped = [step_keys(&other.name.value).as_slice(), &[PathKey::Field("skipped".into())]].concat();
        negated.contains(&skipped)
    };
    terms.extend(workflow.steps.iter().filter(is_met).filter_map(condition).flat_map(|met| met.terms()));
    let has_terms = |alternative: &Condition| alternative.terms().iter().all(|term| terms.contains(term));
    terms.contains(&required) || required.alternatives().iter().any(has_terms)
}

/// Returns the condition of a step.
fn condition(step: &Step) -> Option<Condition> {
    step.when.as_ref().map(|when| Condition::of(&when.expression))
}

/// Keys of a reference to a step.
fn step_keys(name: &str) -> [PathKey; 2] {
    [PathKey::Field("steps".into()), PathKey::Field(name.to_owned())]
}

/// Warns that a step fails if the one that it reads has failed.
fn failure(
    workflow: &Workflow,
    step: &Step,
    expression: &SpannedExpression,
    reference: &Reference,
    read: &str,
) -> Diagnostic {
    let message = format!("step {:?} fails if {read:?} has failed: it reads its outputs", step.name.value);
    let hint = format!("check steps.{read}.failed in the expression or in `when`");
    warning(workflow, expression, reference, message, hint)
}

/// Warns that a step fails if the one that it reads is skipped.
fn skip(
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
    warning(workflow, expression, reference, message, hint)
}

fn warning(
    workflow: &Workflow,
    expression: &SpannedExpression,
    reference: &Reference,
    message: String,
    hint: String,
) -> Diagnostic {
    let span = expression.span_of(&workflow.source, &reference.range());
    Diagnostic::new(&workflow.source, "plan::skipped_output", span, message, "has no value then")
        .with_hint(hint)
        .with_severity(Severity::Warning)
}
