use std::sync::Arc;

use super::{
    PlannedExpression, Template,
    inlined_workflow::InlinedWorkflow,
    input_values::InputsOnly,
    known::{Knowledge, ValuesBeforeRun},
    lower,
};
use crate::workflow::{Diagnostic, SourceFile, Span};

/// Help for a check that needs more than inputs.
const HINT: &str = "checks are made before the run starts; use a step with core.assert for what a step has read";

/// A condition over inputs that must hold before a run.
#[derive(Debug)]
pub(super) struct InputCheck {
    that: PlannedExpression,
    message: Template,
    hint: Option<String>,
    /// File that contains the check.
    source: Arc<SourceFile>,
    /// Place of the condition in the file.
    span: Span,
}

/// Returns an error for each check of the workflow itself that needs more than inputs.
///
/// Inputs of an inlined workflow can be outputs of steps: its checks are made where inputs decide
/// them.
pub(super) fn check(inlined: &InlinedWorkflow) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (scope, instance) in inlined.originals() {
        for expression in instance.workflow.checks.iter().flat_map(|check| check.expressions()) {
            let check = InputsOnly { inlined, owner: &instance.workflow, what: "a check", hint: HINT };
            check.own_expression(scope, expression, &mut found);
        }
    }
    found
}

/// Returns the checks of a workflow without errors and of those that it inlines.
pub(super) fn lower(inlined: &InlinedWorkflow) -> Vec<InputCheck> {
    let mut found = Vec::new();
    for (scope, instance) in inlined.originals() {
        let source = &instance.workflow.source;
        found.extend(instance.workflow.checks.iter().map(|check| InputCheck {
            that: PlannedExpression::from_parsed(&check.that.expression, scope),
            message: lower::template(&check.message, scope),
            hint: check.hint.clone(),
            source: Arc::clone(source),
            span: check.that.trimmed(source),
        }));
    }
    found
}

/// Returns an error for each check that does not hold. Checks that inputs do not decide are left
/// out.
pub(super) fn errors(checks: &[InputCheck], values: &ValuesBeforeRun<'_>) -> Vec<Diagnostic> {
    checks.iter().filter_map(|check| check.error(values)).collect()
}

impl InputCheck {
    fn error(&self, values: &ValuesBeforeRun<'_>) -> Option<Diagnostic> {
        let message = match values.condition(&self.that) {
            Knowledge::Value(true) | Knowledge::Unknown => return None,
            Knowledge::Value(false) => values.text(&self.message).unwrap_or_else(|| "the check does not hold".into()),
            Knowledge::Failed(failure) => format!("the check has no value: {}", failure.reason),
        };
        let error = Diagnostic::new(&self.source, "plan::check", self.span, message, "does not hold with these inputs");
        Some(error.with_hint(self.hint.clone()))
    }
}
