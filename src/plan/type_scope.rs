use std::ops::Range;

use super::{
    inlined_workflow::InlinedWorkflow,
    names::{ReferenceTarget, Resolved, Unresolved, resolve},
    schema::{Kinds, Schema},
    typing::{NoSuchField, Type},
};
use crate::workflow::{
    Reference, ResultType, SpannedExpression, SpannedTemplate, Step, TemplateKind, suggest::did_you_mean,
};

/// Types of the names that expressions of one scope can use, with the loop variable if there is
/// one.
#[derive(Clone)]
pub(super) struct TypeScope<'a> {
    inlined: &'a InlinedWorkflow,
    scope: usize,
    variable: Option<(&'a str, Type<'a>)>,
    /// True for the expressions of steps under `finally`.
    is_finally: bool,
}

/// Error for a reference without a target.
pub(super) struct DeadReference {
    /// Bytes of the expression's source that are wrong.
    pub(super) range: Range<usize>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl<'a> TypeScope<'a> {
    /// Creates the scope of all expressions that cannot use a loop variable.
    pub(super) fn of_scope(inlined: &'a InlinedWorkflow, scope: usize) -> Self {
        let around = inlined.inliner(scope);
        let is_finally = around.is_some_and(|(parent, step)| inlined.is_finally(parent, step));
        Self { inlined, scope, variable: None, is_finally }
    }

    /// Creates the scope of a step's expressions that cannot use its loop variable.
    pub(super) fn around_step(inlined: &'a InlinedWorkflow, scope: usize, step: &Step) -> Self {
        let outside = Self::of_scope(inlined, scope);
        Self { is_finally: outside.is_finally || step.is_finally, ..outside }
    }

    /// Creates the scope of a step's `with`, `key` and `group`, which can use the loop variable.
    pub(super) fn of_step(inlined: &'a InlinedWorkflow, scope: usize, step: &'a Step) -> Self {
        let outside = Self::around_step(inlined, scope, step);
        let Some(each) = step.for_each() else { return outside };
        let item = outside.type_of(&each.items).item();
        Self { variable: Some((&each.variable.value, item)), ..outside }
    }

    /// Returns name and type of the loop variable.
    pub(super) fn variable(&self) -> Option<&(&'a str, Type<'a>)> {
        self.variable.as_ref()
    }

    /// Returns the type of an expression's value.
    pub(super) fn type_of(&self, expression: &SpannedExpression) -> Type<'a> {
        match expression.expression.result_type() {
            ResultType::Reference => {
                let reference = expression.expression.as_reference();
                reference.and_then(|reference| self.resolve(reference).ok()).unwrap_or(Type::Any)
            }
            ResultType::Boolean => Type::Kind(Kinds::BOOLEAN),
            ResultType::String => Type::Kind(Kinds::STRING),
            ResultType::Integer => Type::Kind(Kinds::INTEGER),
            ResultType::List => Type::Kind(Kinds::ARRAY),
            ResultType::Object => Type::Kind(Kinds::OBJECT),
            ResultType::Any => Type::Any,
        }
    }

    /// Returns the type of a template's value.
    pub(super) fn template_type(&self, template: &'a SpannedTemplate) -> Type<'a> {
        match &template.kind {
            TemplateKind::Expression(expression) => self.type_of(expression),
            TemplateKind::Map(entries) => Type::Written(Box::new(self.clone()), entries),
            TemplateKind::Unknown => Type::Any,
            _ => Type::Kind(Kinds::of_template(template)),
        }
    }

    /// Returns the type of the value that a reference leads to.
    ///
    /// # Errors
    /// The reference has no target, or leads to a field that does not exist.
    pub(super) fn resolve(&self, reference: &Reference) -> Result<Type<'a>, DeadReference> {
        let variable = self.variable.as_ref().map(|(name, _)| *name);
        match resolve(self.inlined, self.scope, variable, reference) {
            Ok(Resolved { target, depth, .. }) => self.type_at(&target, depth, reference),
            Err(Unresolved::UnknownStep) => Ok(Type::Any),
            Err(unresolved) => Err(self.unresolved(unresolved, reference)),
        }
    }

    /// Returns the type of a resolved reference; `depth` segments lead to the target.
    fn type_at(
        &self,
        target: &ReferenceTarget,
        depth: usize,
        reference: &Reference,
    ) -> Result<Type<'a>, DeadReference> {
        let found = match target {
            ReferenceTarget::Input { name, .. } => self.input(name, reference)?,
            ReferenceTarget::Output { step } => {
                return self.outputs(self.action_outputs(*step), Some(*step), reference);
            }
            ReferenceTarget::Inlined { scope, .. } => {
                let inner = Self::of_scope(self.inlined, *scope);
                let outputs = &self.inlined.scopes[*scope].workflow.outputs;
                return self.outputs(Type::Written(Box::new(inner), outputs), None, reference);
            }
            ReferenceTarget::Loop { index } => {
                let each = self.inlined.loops[*index].instances.first().map_or(Type::Any, |(_, scope)| {
                    let outputs = &self.inlined.scopes[*scope].workflow.outputs;
                    Type::Written(Box::new(Self::of_scope(self.inlined, *scope)), outputs)
                });
                return self.outputs(Type::Instances(Box::new(each)), None, reference);
            }
            ReferenceTarget::Failed { .. }
            | ReferenceTarget::InlinedFailed { .. }
            | ReferenceTarget::LoopFailed { .. } => {
                self.check_can_fail(target, reference)?;
                Type::Kind(Kinds::BOOLEAN)
            }
            ReferenceTarget::Skipped { .. }
            | ReferenceTarget::InlinedSkipped { .. }
            | ReferenceTarget::LoopSkipped { .. }
            | ReferenceTarget::RunChanged => Type::Kind(Kinds::BOOLEAN),
            ReferenceTarget::RunOutcome if !self.is_finally => {
                let message = "the outcome of the run is known only to the steps under finally".to_owned();
                return Err(dead(reference, 1, message, "move the step to `finally`".into()));
            }
            ReferenceTarget::RunId | ReferenceTarget::RunWorkflow | ReferenceTarget::RunOutcome => {
                Type::Kind(Kinds::STRING)
            }
            ReferenceTarget::ScopeItem { .. } => Type::Any,
            ReferenceTarget::Item => self.variable.as_ref().map_or(Type::Any, |(_, item)| item.clone()),
        };
        descend(found, reference, depth)
    }

    /// Checks that a step whose failure is read has `allow_failure`: others stop what reads it.
    fn check_can_fail(&self, target: &ReferenceTarget, reference: &Reference) -> Result<(), DeadReference> {
        let step = match target {
            ReferenceTarget::Failed { step } => Some(self.inlined.definition(&self.inlined.steps[*step])),
            ReferenceTarget::InlinedFailed { scope } => self.inlined.inliner(*scope).map(|(_, step)| step),
            ReferenceTarget::LoopFailed { index } => {
                let (scope, step) = self.inlined.loops[*index].step;
                Some(&self.inlined.scopes[scope].workflow.steps[step])
            }
            _ => None,
        };
        if self.is_finally || step.is_none_or(|step| step.allow_failure) {
            return Ok(());
        }
        let name = reference.step_name().unwrap_or_default();
        let message = format!("nothing that reads it starts once step {name:?} has failed");
        Err(dead(reference, 2, message, format!("add `allow_failure: true` to step {name:?}")))
    }

    /// Returns the type of an input, which must exist.
    fn input(&self, name: &str, reference: &Reference) -> Result<Type<'a>, DeadReference> {
        let inputs = &self.inlined.scopes[self.scope].workflow.inputs;
        if let Some(input) = inputs.iter().find(|input| input.name.value == name) {
            return Ok(Type::Schema(Schema::new(&input.schema)));
        }
        let names = inputs.iter().map(|input| input.name.value.as_str());
        let hint = did_you_mean(name, names).unwrap_or_else(|| "add it to `inputs`".into());
        Err(dead(reference, 1, format!("there is no input {name:?}"), hint))
    }

    /// Returns the type of a step's outputs: for a loop, a map of them by key.
    fn action_outputs(&self, step: usize) -> Type<'a> {
        let step = &self.inlined.steps[step];
        let each = step.action.as_ref().map_or(Type::Any, |action| Type::Schema(Schema::new(action.output_schema())));
        let is_loop = self.inlined.body(step).for_each.is_some();
        if is_loop { Type::Instances(Box::new(each)) } else { each }
    }

    /// Follows `steps.NAME.outputs…`, whose third segment is in messages an output and not a field.
    fn outputs(
        &self,
        outputs: Type<'a>,
        step: Option<usize>,
        reference: &Reference,
    ) -> Result<Type<'a>, DeadReference> {
        let Some(segment) = reference.segments.get(3) else { return Ok(outputs) };
        let name = reference.step_name().unwrap_or_default();
        let action = step.map(|step| &self.inlined.body(&self.inlined.steps[step]).uses.value);
        let action = action.map(|action| format!(" ({action})")).unwrap_or_default();
        match outputs.below(&segment.key, &format!("step {name:?}{action}")) {
            Ok(below) => descend(below, reference, 4),
            Err(NoSuchField { message, hint }) => {
                let message = message.replace("has no field", "has no output");
                Err(DeadReference { range: segment.range.clone(), message, hint })
            }
        }
    }

    /// Creates the message and hint for a reference without target.
    fn unresolved(&self, unresolved: Unresolved, reference: &Reference) -> DeadReference {
        let name = reference.field(1).unwrap_or_default();
        match unresolved {
            Unresolved::Root | Unresolved::UnknownStep => self.unknown_root(reference),
            Unresolved::NoInputName => dead(reference, 0, "inputs is not a value".into(), "write inputs.NAME".into()),
            Unresolved::NoRunField => {
                let at = 1.min(reference.segments.len() - 1);
                dead(
                    reference,
                    at,
                    "run has only id, workflow, changed and, under finally, outcome".into(),
                    "write run.id".into(),
                )
            }
            Unresolved::NoStepName => {
                let hint = "write steps.NAME.outputs.FIELD".into();
                dead(reference, 0, "steps is not a value".into(), hint)
            }
            Unresolved::NoSuchStep => {
                let steps = &self.inlined.scopes[self.scope].workflow.steps;
                let hint = did_you_mean(name, steps.iter().map(|step| step.name.value.as_str()))
                    .unwrap_or_else(|| "the names of the steps are the keys of `steps`".into());
                dead(reference, 1, format!("there is no step {name:?}"), hint)
            }
            Unresolved::NoProperty => {
                let hint = format!("write steps.{name}.outputs.FIELD");
                dead(reference, 1, format!("step {name:?} is not a value"), hint)
            }
            Unresolved::NoSuchProperty => {
                let property = reference.field(2).unwrap_or_default();
                let hint = if reference.segments.len() == 3 {
                    format!("did you mean steps.{name}.outputs.{property}?")
                } else {
                    "a step has outputs, skipped and failed".to_owned()
                };
                dead(reference, 2, format!("step {name:?} has no {property:?}"), hint)
            }
        }
    }

    /// Creates the error for an unknown first name.
    fn unknown_root(&self, reference: &Reference) -> DeadReference {
        let root = reference.root();
        let mut known = vec!["inputs", "steps", "run"];
        known.extend(self.variable.iter().map(|(name, _)| *name));
        let hint = did_you_mean(root, known.iter().copied())
            .unwrap_or_else(|| format!("expressions can use {}", known.join(", ")));
        dead(reference, 0, format!("unknown name {root:?}"), hint)
    }
}

/// Follows the segments of a reference from `from` on.
fn descend<'a>(start: Type<'a>, reference: &Reference, from: usize) -> Result<Type<'a>, DeadReference> {
    let mut found = start;
    for at in from..reference.segments.len() {
        let path = reference.path(at);
        found = found.below(&reference.segments[at].key, &path).map_err(|NoSuchField { message, hint }| {
            DeadReference { range: reference.segments[at].range.clone(), message, hint }
        })?;
    }
    Ok(found)
}

/// Creates the error for the segment `at` of a reference.
fn dead(reference: &Reference, at: usize, message: String, hint: String) -> DeadReference {
    DeadReference { range: reference.segments[at].range.clone(), message, hint: Some(hint) }
}
