use std::{borrow::Cow, collections::BTreeSet};

use serde_json::{Map, Value};

use super::{
    CompiledPlan, EvaluationContext, PlannedStep, Reason,
    compiled_expression::CompiledTemplate,
    error::EvaluationFailure,
    evaluate::{Evaluation, ValueSource},
    names::ReferenceTarget,
};

/// Values that the expressions of a plan read in one run.
#[derive(Clone, Copy)]
pub(super) struct PlanValues<'a> {
    /// Plan that the expressions belong to.
    compiled: &'a CompiledPlan,
    /// Results of the run's steps.
    context: &'a dyn EvaluationContext,
    /// Value of the loop variable.
    item: Option<&'a Value>,
    /// True if the result is only shown.
    is_shown: bool,
}

impl<'a> PlanValues<'a> {
    pub(super) fn new(compiled: &'a CompiledPlan, context: &'a dyn EvaluationContext, item: Option<&'a Value>) -> Self {
        Self { compiled, context, item, is_shown: false }
    }

    /// Makes these the values of a text that is only shown. It can contain the mask of a secret.
    pub(super) fn for_display(self) -> Self {
        Self { is_shown: true, ..self }
    }

    /// Evaluates an input or output of an inlined workflow. Those cannot use the loop variable.
    fn scope_value(&self, template: Option<&'a CompiledTemplate>) -> Result<Option<Cow<'a, Value>>, EvaluationFailure> {
        match template {
            None => Ok(None),
            Some(CompiledTemplate::Literal(value)) => Ok(Some(Cow::Borrowed(value))),
            Some(template) => self.evaluate(template).map(|value| Some(Cow::Owned(value))),
        }
    }

    /// Evaluates a template without loop variable.
    fn evaluate(&self, template: &CompiledTemplate) -> Result<Value, EvaluationFailure> {
        Evaluation::new(&Self { item: None, ..*self }).template(template)
    }

    /// Evaluates all outputs of an inlined workflow as a map.
    fn all_outputs(&self, scope: usize) -> Result<Value, EvaluationFailure> {
        let outputs = self.compiled.scope_outputs(scope).iter();
        let values = outputs.map(|(name, template)| Ok((name.clone(), self.evaluate(template)?)));
        values.collect::<Result<Map<_, _>, EvaluationFailure>>().map(Value::Object)
    }

    /// Evaluates the outputs of all instances of an inlined workflow by key. Skipped instances have
    /// none.
    fn loop_outputs(&self, index: usize) -> Result<Value, EvaluationFailure> {
        let mut outputs = Map::new();
        for (key, scope) in &self.compiled.plan().loops[index].instances {
            match self.all_outputs(*scope) {
                Ok(value) => drop(outputs.insert(key.clone(), value)),
                Err(failure) if failure.is_absent() => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(Value::Object(outputs))
    }

    /// Returns true if each step of the inlined workflows was skipped; `None` if that is not known
    /// yet.
    fn all_skipped(&self, scopes: &[usize]) -> Option<bool> {
        let mut steps = scopes.iter().flat_map(|scope| self.steps_inside(*scope));
        if steps.clone().any(|step| self.context.is_undecided(step)) {
            return None;
        }
        Some(steps.all(|step| self.context.skipped(step)))
    }

    /// Returns true if a step of an inlined workflow has failed.
    fn has_failed(&self, scope: usize) -> bool {
        self.steps_inside(scope).any(|step| self.context.failed(step))
    }

    /// Iterates over the steps of an inlined workflow and of those that it inlines.
    fn steps_inside(&self, scope: usize) -> impl Iterator<Item = usize> + Clone + use<'a> {
        let plan = self.compiled.plan();
        let prefix = plan.scopes[scope].prefix.as_str();
        let inside = move |(index, step): (usize, &PlannedStep)| step.name.starts_with(prefix).then_some(index);
        plan.steps.iter().enumerate().filter_map(inside)
    }

    /// Returns the steps of inlined workflows of which it is not known whether they are skipped.
    fn undecided_steps(&self, scopes: &[usize]) -> BTreeSet<usize> {
        let steps = scopes.iter().flat_map(|scope| self.steps_inside(*scope));
        steps.filter(|step| self.context.is_undecided(*step)).collect()
    }

    /// Returns the scopes of a loop's instances.
    fn loop_scopes(&self, index: usize) -> Vec<usize> {
        self.compiled.plan().loops[index].instances.iter().map(|(_, scope)| *scope).collect()
    }
}

impl ValueSource for PlanValues<'_> {
    fn value(&self, target: &ReferenceTarget) -> Result<Option<Cow<'_, Value>>, EvaluationFailure> {
        let plan = self.compiled.plan();
        Ok(match target {
            ReferenceTarget::Input { scope: 0, name } => plan.inputs.get(name).map(Cow::Borrowed),
            ReferenceTarget::Input { scope, name } => self.scope_value(self.compiled.scope_input(*scope, name))?,
            ReferenceTarget::Output { step } => self.context.output(*step).map(Cow::Borrowed),
            ReferenceTarget::Skipped { step } if self.context.is_undecided(*step) => None,
            ReferenceTarget::Skipped { step } => Some(Cow::Owned(self.context.skipped(*step).into())),
            ReferenceTarget::Failed { step } => Some(Cow::Owned(self.context.failed(*step).into())),
            ReferenceTarget::Inlined { scope, name: Some(name) } => {
                self.scope_value(self.compiled.scope_output(*scope, name))?
            }
            ReferenceTarget::Inlined { scope, name: None } => Some(Cow::Owned(self.all_outputs(*scope)?)),
            ReferenceTarget::InlinedSkipped { scope } => self.all_skipped(&[*scope]).map(|it| Cow::Owned(it.into())),
            ReferenceTarget::InlinedFailed { scope } => Some(Cow::Owned(self.has_failed(*scope).into())),
            ReferenceTarget::Loop { index } => Some(Cow::Owned(self.loop_outputs(*index)?)),
            ReferenceTarget::LoopSkipped { index } => {
                self.all_skipped(&self.loop_scopes(*index)).map(|it| Cow::Owned(it.into()))
            }
            ReferenceTarget::LoopFailed { index } => {
                let mut instances = plan.loops[*index].instances.iter();
                Some(Cow::Owned(instances.any(|(_, scope)| self.has_failed(*scope)).into()))
            }
            ReferenceTarget::ScopeItem { scope } => plan.scopes[*scope].value().map(Cow::Borrowed),
            ReferenceTarget::RunId => Some(Cow::Owned(self.context.run_id().into())),
            ReferenceTarget::RunWorkflow => Some(Cow::Owned(plan.workflow.as_str().into())),
            ReferenceTarget::RunChanged => Some(Cow::Owned(self.context.run_changed().into())),
            ReferenceTarget::RunOutcome => self.context.outcome().map(|outcome| Cow::Owned(outcome.into())),
            ReferenceTarget::Item => self.item.map(Cow::Borrowed),
        })
    }

    fn absence(&self, target: &ReferenceTarget) -> Option<Reason> {
        let ReferenceTarget::Output { step } = *target else { return None };
        let name = || self.compiled.plan().steps[step].name.clone();
        if self.context.skipped(step) {
            return Some(Reason::Skipped { step, name: name() });
        }
        // When the steps under `finally` start, no other step gets an output any more.
        let has_ended = self.context.failed(step)
            || self.context.outcome().is_some() && !self.compiled.plan().steps[step].is_finally;
        has_ended.then(|| Reason::StepFailed { name: name() })
    }

    fn unknown_steps(&self, target: &ReferenceTarget) -> Option<BTreeSet<usize>> {
        match target {
            target if self.absence(target).is_some() => None,
            ReferenceTarget::Output { step } | ReferenceTarget::Skipped { step } => Some(BTreeSet::from([*step])),
            ReferenceTarget::Item | ReferenceTarget::ScopeItem { .. } => Some(BTreeSet::new()),
            ReferenceTarget::InlinedSkipped { scope } => Some(self.undecided_steps(&[*scope])),
            ReferenceTarget::LoopSkipped { index } => Some(self.undecided_steps(&self.loop_scopes(*index))),
            ReferenceTarget::Input { .. }
            | ReferenceTarget::Inlined { .. }
            | ReferenceTarget::Failed { .. }
            | ReferenceTarget::InlinedFailed { .. }
            | ReferenceTarget::LoopFailed { .. }
            | ReferenceTarget::RunId
            | ReferenceTarget::RunWorkflow
            | ReferenceTarget::RunChanged
            | ReferenceTarget::RunOutcome
            | ReferenceTarget::Loop { .. } => None,
        }
    }

    fn is_partial(&self, target: &ReferenceTarget) -> bool {
        matches!(target, ReferenceTarget::Output { step } if self.context.is_partial(*step))
    }

    fn can_hide_secrets(&self) -> bool {
        self.is_shown
    }
}
