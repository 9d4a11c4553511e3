use std::{collections::HashSet, sync::Arc};

use serde_json::{Map, Value};

use super::{
    Plan,
    compiled_expression::{Compiled, CompiledTemplate, Compiler},
    evaluate::{Evaluation, Reason},
};

/// What a run knows when an expression is evaluated.
pub trait Facts {
    /// The output of a step that succeeded. For a `for_each` step: an object from instance key to output.
    fn output(&self, step: usize) -> Option<&Value>;
    /// Whether the step was skipped.
    fn skipped(&self, step: usize) -> bool;
    /// Id of the run.
    fn run_id(&self) -> &str;
}

/// Why a stored plan cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Another version of this program wrote it.
    #[error("the plan has format {found}, this program reads formats up to {expected}")]
    Format {
        /// The plan's format.
        found: u32,
        /// The newest format this program reads.
        expected: u32,
    },
    /// An index leads nowhere, or not to an earlier step.
    #[error("the plan is damaged: {what}")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// An expression cannot be used.
    #[error("{place}: the expression ${{{{ {expression} }}}} cannot be used: {reason}")]
    Expression {
        /// The step or output it belongs to.
        place: String,
        /// Its text.
        expression: String,
        /// Why.
        reason: String,
    },
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: ${{{{ {expression} }}}}: {reason}")]
pub struct EvaluateError {
    /// What it is for, such as `step "vm"` or `output "ip"`.
    pub place: String,
    /// The text of the expression.
    pub expression: String,
    /// What went wrong.
    pub reason: Reason,
}

impl EvaluateError {
    /// The skipped step whose output the expression wanted, an index into [`Plan::steps`].
    pub fn skipped_step(&self) -> Option<usize> {
        match &self.reason {
            Reason::Skipped { step, .. } => Some(*step),
            Reason::Failed(_) => None,
        }
    }
}

struct CompiledStep {
    with: CompiledTemplate,
    when: Option<Compiled>,
    approval: Option<CompiledTemplate>,
    items: Option<Compiled>,
    key: Option<Compiled>,
}

/// A plan with every expression compiled once, to be evaluated many times.
///
/// Evaluation happens on the caller's thread: its stack is bounded by the depth that the parser of expressions allows.
pub struct CompiledPlan {
    plan: Arc<Plan>,
    steps: Vec<CompiledStep>,
    inputs: Vec<Vec<(String, CompiledTemplate)>>,
    inlined: Vec<Vec<(String, CompiledTemplate)>>,
    outputs: Vec<(String, CompiledTemplate)>,
}

impl CompiledPlan {
    /// Compiles every expression of `plan`.
    ///
    /// A plan made by [`compile`](super::compile) never fails; one that was damaged or written by another version does.
    pub fn new(plan: Arc<Plan>) -> Result<Self, PlanError> {
        super::verify::verify(&plan)?;
        let mut compiler = Compiler::new(&plan);
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

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The action's input for `step`: its `with`, filled in. `item` is the loop variable's value.
    ///
    /// # Panics
    /// When the plan has no such step.
    pub fn input(&self, step: usize, item: Option<&Value>, facts: &dyn Facts) -> Result<Value, EvaluateError> {
        let evaluation = Evaluation::new(self, facts, item);
        evaluation.template(&self.steps[step].with).map_err(|failure| failure.at(self.place(step)))
    }

    /// Whether `step` is to be run.
    ///
    /// # Panics
    /// When the plan has no such step.
    pub fn when(&self, step: usize, facts: &dyn Facts) -> Result<bool, EvaluateError> {
        let Some(when) = &self.steps[step].when else { return Ok(true) };
        Evaluation::new(self, facts, None).condition(when).map_err(|failure| failure.at(self.place(step)))
    }

    /// What a person is asked before `step` begins; `None` when nobody is, which is also what an empty text means.
    ///
    /// # Panics
    /// When the plan has no such step.
    pub fn approval(&self, step: usize, facts: &dyn Facts) -> Result<Option<String>, EvaluateError> {
        let Some(question) = &self.steps[step].approval else { return Ok(None) };
        let asked = Evaluation::new(self, facts, None).template(question);
        let question = match asked.map_err(|failure| failure.at(self.place(step)))? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(Some(question).filter(|text| !text.trim().is_empty()))
    }

    /// The instances of a `for_each` step: key and item of each. Keys are unique. Empty for any other step.
    ///
    /// # Panics
    /// When the plan has no such step.
    pub fn items(&self, step: usize, facts: &dyn Facts) -> Result<Vec<(String, Value)>, EvaluateError> {
        let CompiledStep { items: Some(items), key: Some(key), .. } = &self.steps[step] else { return Ok(Vec::new()) };
        self.instances(items, key, facts).map_err(|failure| failure.at(self.place(step)))
    }

    fn instances(
        &self,
        items: &Compiled,
        key: &Compiled,
        facts: &dyn Facts,
    ) -> Result<Vec<(String, Value)>, super::evaluate::Failure> {
        let list = Evaluation::new(self, facts, None).list(items)?;
        let mut seen = HashSet::with_capacity(list.len());
        let mut instances = Vec::with_capacity(list.len());
        for item in list {
            let name = Evaluation::new(self, facts, Some(&item)).key(key)?;
            if !seen.insert(name.clone()) {
                return Err(key.failure(format!("two items have the key {name:?}, every key must be another")));
            }
            instances.push((name, item));
        }
        Ok(instances)
    }

    /// What the run gives, once all its steps are done or skipped.
    ///
    /// An output that needs a skipped step is `null`.
    pub fn outputs(&self, facts: &dyn Facts) -> Result<Map<String, Value>, EvaluateError> {
        let evaluation = Evaluation::new(self, facts, None);
        let mut values = Map::new();
        for (name, template) in &self.outputs {
            let value = match evaluation.template(template) {
                Err(failure) if failure.is_skipped() => Value::Null,
                other => other.map_err(|failure| failure.at(format!("output {name:?}")))?,
            };
            values.insert(name.clone(), value);
        }
        Ok(values)
    }

    fn place(&self, step: usize) -> String {
        format!("step {:?}", self.plan.steps[step].name)
    }

    pub(super) fn scope_input(&self, scope: usize, name: &str) -> Option<&CompiledTemplate> {
        find(self.inputs.get(scope)?, name)
    }

    pub(super) fn scope_output(&self, scope: usize, name: &str) -> Option<&CompiledTemplate> {
        find(self.inlined.get(scope)?, name)
    }

    pub(super) fn scope_outputs(&self, scope: usize) -> &[(String, CompiledTemplate)] {
        self.inlined.get(scope).map_or(&[], Vec::as_slice)
    }
}

fn find<'a>(templates: &'a [(String, CompiledTemplate)], name: &str) -> Option<&'a CompiledTemplate> {
    templates.iter().find(|(key, _)| key == name).map(|(_, template)| template)
}

fn compile_step(compiler: &mut Compiler<'_>, step: &super::PlannedStep) -> Result<CompiledStep, PlanError> {
    let place = format!("step {:?}", step.name);
    let variable = step.for_each.as_ref().map(|each| each.variable.as_str());
    Ok(CompiledStep {
        with: compiler.template(&place, &step.with, variable)?,
        when: step.when.as_ref().map(|when| compiler.expression(&place, when, None)).transpose()?,
        approval: step.approval.as_ref().map(|text| compiler.template(&place, text, None)).transpose()?,
        items: step.for_each.as_ref().map(|each| compiler.expression(&place, &each.items, None)).transpose()?,
        key: step.for_each.as_ref().map(|each| compiler.expression(&place, &each.key, variable)).transpose()?,
    })
}
