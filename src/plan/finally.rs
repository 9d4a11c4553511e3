use super::inlined_workflow::InlinedWorkflow;
use crate::workflow::{Diagnostic, Spanned, Step, Workflow};

/// Returns an error for each name with which a step refers to one on the other side of `finally`:
/// a step that comes before to a step under it, or a step under it as a dependency to one before.
pub(super) fn check(inlined: &InlinedWorkflow) -> Vec<Diagnostic> {
    let workflows = inlined.originals().map(|(_, instance)| &*instance.workflow);
    let steps = workflows.flat_map(|workflow| workflow.steps.iter().map(move |step| (workflow, step)));
    steps.flat_map(|(workflow, step)| errors(workflow, step)).collect()
}

fn errors(workflow: &Workflow, step: &Step) -> Vec<Diagnostic> {
    let listed = [&step.needs, &step.after, &step.needs_each].into_iter().flatten();
    let other_side = |name: &str| {
        let found = workflow.steps.iter().find(|other| other.name.value == name);
        found.is_some_and(|other| other.is_finally != step.is_finally)
    };
    let wrong = listed.filter(|need| other_side(&need.value));
    let mut found: Vec<_> = wrong.map(|need| dependency(workflow, step, need)).collect();
    if step.is_finally {
        return found; // it can read what all other steps have left
    }
    for expression in step.expressions() {
        for reference in expression.expression.references() {
            let Some(name) = reference.step_name().filter(|name| other_side(name)) else { continue };
            let span = expression.span_of(&workflow.source, &reference.range());
            let message = format!("step {name:?} is under finally, and starts when this step has ended");
            found.push(Diagnostic::new(&workflow.source, "plan::finally", span, message, "has no value yet"));
        }
    }
    found
}

/// Describes a dependency on a step on the other side.
fn dependency(workflow: &Workflow, step: &Step, need: &Spanned<String>) -> Diagnostic {
    let (message, hint) = if step.is_finally {
        let message = format!("step {:?} is not under finally: all such steps have ended before", need.value);
        (message, "remove it: a step under finally waits for none of them".to_owned())
    } else {
        let message = format!("step {:?} is under finally, and starts when this step has ended", need.value);
        (message, format!("remove it, or move step {:?} to `finally`", step.name.value))
    };
    Diagnostic::new(&workflow.source, "plan::finally", need.span, message, "on the other side of finally")
        .with_hint(hint)
}
