use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

use super::{
    EvaluateError, PartialInput, Plan, PlanError, PlannedStep,
    compiled_expression::{CompiledExpression, CompiledKind, CompiledTemplate, Compiler},
    error::EvaluationFailure,
    evaluate::Evaluation,
    names::{IndexResolver, ReferenceTarget},
    outputs::{OutputValue, Outputs},
    plan_values::PlanValues,
    verify::verify,
};

/// Values of a run that expressions can read.
pub trait EvaluationContext {
    /// Returns the output of a step that succeeded. For a `for_each` step: an object from instance
    /// key to output.
    fn output(&self, step: usize) -> Option<&Value>;
    /// Returns the output of a step that succeeded, to be held together with the context; `None`
    /// if it has to be copied.
    fn shared_output(&self, _step: usize) -> Option<Arc<Value>> {
        None
    }
    /// Returns true if the output of the step lacks fields that are not known yet. An expression
    /// that needs one of them has no value.
    fn is_partial(&self, _step: usize) -> bool {
        false
    }
    /// Returns true if the step was skipped.
    fn skipped(&self, step: usize) -> bool;
    /// Returns true if the step, or an instance of it, has failed or was stopped.
    fn failed(&self, step: usize) -> bool;
    /// Returns the outcome of the steps that are not under `finally`, once they have ended.
    fn outcome(&self) -> Option<&str> {
        None
    }
    /// Returns true if it is not known yet whether the step is skipped.
    fn is_undecided(&self, _step: usize) -> bool {
        false
    }
    /// Returns the id of the run.
    fn run_id(&self) -> &str;
    /// Returns true if a step has changed something in an external system until now.
    fn run_changed(&self) -> bool;
}

/// A plan with each expression compiled once, to be evaluated any number of times.
///
/// Evaluation uses the stack of the calling thread. Its depth is bounded by the nesting that the
/// parser of expressions accepts.
pub struct CompiledPlan {
    plan: Arc<Plan>,
    steps: Vec<CompiledStep>,
    /// Inputs of each inlined workflow, by scope.
    inputs: Vec<Vec<(String, CompiledTemplate)>>,
    /// Outputs of each inlined workflow, by scope.
    inlined: Vec<Vec<(String, CompiledTemplate)>>,
    outputs: Vec<(String, CompiledTemplate)>,
}

/// Compiled expressions of one [`PlannedStep`].
struct CompiledStep {
    /// Template of the action's input.
    with: CompiledTemplate,
    /// Condition of the step.
    when: Option<CompiledExpression>,
    /// Question for the operator.
    approval: Option<CompiledTemplate>,
    /// List of a `for_each` step.
    items: Option<CompiledExpression>,
    /// Key of a `for_each` step's instances.
    key: Option<CompiledExpression>,
    /// Group of a `for_each` step's instances.
    group: Option<CompiledExpression>,
}

impl CompiledPlan {
    /// Compiles each expression of `plan`.
    ///
    /// Expressions of a plan that [`Checked::plan`](super::Checked::plan) made in this process are
    /// parsed already and never fail. Those of a stored plan are parsed here, equal ones once.
    ///
    /// # Errors
    /// The plan was written in a newer format, is damaged, or has an expression that this version
    /// cannot use.
    pub fn new(plan: Arc<Plan>) -> Result<Self, PlanError> {
        verify(&plan)?;
        let names = IndexResolver::new(plan.steps.iter().map(|step| step.name.as_str()), &plan.scopes, &plan.loops);
        let mut compiler = Compiler::new(&names);
        let steps = plan.steps.iter().map(|step| compile_step(&mut compiler, step)).collect::<Result<_, _>>()?;
        let mut inputs = Vec::new();
        let mut inlined = Vec::new();
        for scope in &plan.scopes {
            let place = format!("workflow {:?}", scope.prefix.trim_end_matches('/'));
            inputs.push(compiler.templates(&place, &scope.inputs)?);
            inlined.push(compiler.templates(&place, &scope.outputs)?);
        }
        let outputs = compiler.templates("output", &plan.outputs)?;
        Ok(Self { plan, steps, inputs, inlined, outputs })
    }

    /// Returns the plan that was compiled.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Evaluates `with` of `step`, the input of its action. `item` is the value of the loop
    /// variable.
    ///
    /// # Errors
    /// An expression has no value: it needs a skipped step, or its evaluation fails.
    ///
    /// # Panics
    /// The plan has no such step.
    pub fn input(
        &self,
        step: usize,
        item: Option<&Value>,
        context: &dyn EvaluationContext,
    ) -> Result<Value, EvaluateError> {
        let values = PlanValues::new(self, context, item);
        Evaluation::new(&values).template(&self.steps[step].with).map_err(|failure| failure.at(self.place(step)))
    }

    /// Evaluates the condition of `step`; true if it has none.
    ///
    /// # Errors
    /// The condition has no value, or one that is not a boolean.
    ///
    /// # Panics
    /// The plan has no such step.
    pub fn when(&self, step: usize, context: &dyn EvaluationContext) -> Result<bool, EvaluateError> {
        let Some(when) = &self.steps[step].when else { return Ok(true) };
        let values = PlanValues::new(self, context, None);
        Evaluation::new(&values).condition(when).map_err(|failure| failure.at(self.place(step)))
    }

    /// Evaluates the question that an operator must approve before `step` starts; `None` if there
    /// is none, or if it is blank.
    ///
    /// # Errors
    /// An expression of the question has no value.
    ///
    /// # Panics
    /// The plan has no such step.
    pub fn approval(&self, step: usize, context: &dyn EvaluationContext) -> Result<Option<String>, EvaluateError> {
        let Some(approval) = &self.steps[step].approval else { return Ok(None) };
        let values = PlanValues::new(self, context, None).for_display();
        let question = Evaluation::new(&values).template(approval);
        let question = match question.map_err(|failure| failure.at(self.place(step)))? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(Some(question).filter(|text| !text.trim().is_empty()))
    }

    /// Evaluates the instances of a `for_each` step: key and item of each, with unique keys. Empty
    /// for other steps.
    ///
    /// # Errors
    /// The list or a key has no value or the wrong type, or two items have the same key.
    ///
    /// # Panics
    /// The plan has no such step.
    pub fn items(&self, step: usize, context: &dyn EvaluationContext) -> Result<Vec<(String, Value)>, EvaluateError> {
        let CompiledStep { items: Some(items), key: Some(key), .. } = &self.steps[step] else { return Ok(Vec::new()) };
        self.instances(items, key, context).map_err(|failure| failure.at(self.place(step)))
    }

    /// Evaluates list and keys of a `for_each` step, and refuses duplicate keys.
    fn instances(
        &self,
        items: &CompiledExpression,
        key: &CompiledExpression,
        context: &dyn EvaluationContext,
    ) -> Result<Vec<(String, Value)>, EvaluationFailure> {
        let list = Evaluation::new(&PlanValues::new(self, context, None)).list(items)?;
        let mut seen = HashSet::with_capacity(list.len());
        let mut instances = Vec::with_capacity(list.len());
        for item in list {
            let name = Evaluation::new(&PlanValues::new(self, context, Some(&item))).key(key)?;
            if !seen.insert(name.clone()) {
                return Err(key.failure(format!("two items have the key {name:?}, keys must be unique")));
            }
            instances.push((name, item));
        }
        Ok(instances)
    }

    /// True if the instances of `step` are reported in groups.
    ///
    /// # Panics
    /// The plan has no such step.
    pub fn is_grouped(&self, step: usize) -> bool {
        self.steps[step].group.is_some()
    }

    /// Evaluates the group under which an instance of a `for_each` step is reported; `None` if the
    /// step has no groups, or if the item has none.
    ///
    /// # Panics
    /// The plan has no such step.
    pub fn group(&self, step: usize, item: &Value, context: &dyn EvaluationContext) -> Option<String> {
        let group = self.steps[step].group.as_ref()?;
        Evaluation::new(&PlanValues::new(self, context, Some(item)).for_display()).key(group).ok()
    }

    /// Evaluates the outputs of a run whose steps are all done or skipped. An output that needs a
    /// skipped or failed step is `null`.
    ///
    /// # Errors
    /// The evaluation of an output fails for another reason than a skipped or failed step.
    pub fn outputs(&self, context: &dyn EvaluationContext) -> Result<Outputs, EvaluateError> {
        let plan_values = PlanValues::new(self, context, None).for_display();
        let evaluation = Evaluation::new(&plan_values);
        let mut outputs = Outputs::default();
        for (name, template) in &self.outputs {
            let value = match shared_part(template, context) {
                Some(part) => part,
                None => match evaluation.template(template) {
                    Err(failure) if failure.is_absent() => Value::Null.into(),
                    other => other.map_err(|failure| failure.at(format!("output {name:?}")))?.into(),
                },
            };
            outputs.add(name.clone(), value);
        }
        Ok(outputs)
    }

    /// Evaluates `with` of `step` as far as its values are known. `item` is the value of the loop
    /// variable, if it is known.
    ///
    /// # Errors
    /// An expression has no value for another reason.
    ///
    /// # Panics
    /// The plan has no such step.
    pub fn partial_input(
        &self,
        step: usize,
        item: Option<&Value>,
        context: &dyn EvaluationContext,
    ) -> Result<PartialInput, EvaluateError> {
        let values = PlanValues::new(self, context, item);
        let input = PartialInput::evaluate(&self.steps[step].with, &Evaluation::new(&values));
        input.map_err(|failure| failure.at(self.place(step)))
    }

    /// Returns the name of a step as errors show it.
    fn place(&self, step: usize) -> String {
        format!("step {:?}", self.plan.steps[step].name)
    }

    /// Returns an input of an inlined workflow; `None` if it has no value.
    pub(super) fn scope_input(&self, scope: usize, name: &str) -> Option<&CompiledTemplate> {
        find(self.inputs.get(scope)?, name)
    }

    /// Returns an output of an inlined workflow.
    pub(super) fn scope_output(&self, scope: usize, name: &str) -> Option<&CompiledTemplate> {
        find(self.inlined.get(scope)?, name)
    }

    /// Returns all outputs of an inlined workflow.
    pub(super) fn scope_outputs(&self, scope: usize) -> &[(String, CompiledTemplate)] {
        self.inlined.get(scope).map_or(&[], Vec::as_slice)
    }
}

/// Returns the output of a step, or the part of it, that is the whole template; `None` if the
/// template has to be evaluated.
fn shared_part(template: &CompiledTemplate, context: &dyn EvaluationContext) -> Option<OutputValue> {
    let CompiledTemplate::Expression(CompiledExpression { kind: CompiledKind::Path(path), .. }) = template else {
        return None;
    };
    let ReferenceTarget::Output { step } = path.target else { return None };
    OutputValue::part(context.shared_output(step)?, &path.rest)
}

fn find<'a>(templates: &'a [(String, CompiledTemplate)], name: &str) -> Option<&'a CompiledTemplate> {
    templates.iter().find(|(key, _)| key == name).map(|(_, template)| template)
}

fn compile_step(compiler: &mut Compiler<'_>, step: &PlannedStep) -> Result<CompiledStep, PlanError> {
    let place = format!("step {:?}", step.name);
    let variable = step.for_each.as_ref().map(|each| each.variable.as_str());
    Ok(CompiledStep {
        with: compiler.template(&place, &step.with, variable)?,
        when: step.when.as_ref().map(|when| compiler.expression(&place, when, None)).transpose()?,
        approval: step.approval.as_ref().map(|text| compiler.template(&place, text, None)).transpose()?,
        items: step.for_each.as_ref().map(|each| compiler.expression(&place, &each.items, None)).transpose()?,
        key: step.for_each.as_ref().map(|each| compiler.expression(&place, &each.key, variable)).transpose()?,
        group: step
            .for_each
            .as_ref()
            .and_then(|each| each.group.as_ref())
            .map(|group| compiler.expression(&place, group, variable))
            .transpose()?,
    })
}
