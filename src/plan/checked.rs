use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value};
use stargate_sdk::{Nature, Registry};

use super::{
    FORMAT, Loader, Outline, Plan, PlannedLoop, PlannedStep, Scope, Template,
    check::check,
    checks::{self, InputCheck},
    dependencies::{StepDependencies, dependencies},
    finally,
    hidden_failures::hidden_failures,
    inline::inline,
    inlined_workflow::{ActionStep, InlinedWorkflow},
    inputs,
    known::{StepExpressions, ValuesBeforeRun},
    locks::{self, Lock},
    lower, order,
    skipped_outputs::skipped_outputs,
    unroll::{self, unroll},
};

use crate::workflow::{Diagnostic, Diagnostics, GivenInputs, ParsedWorkflow, Workflow};

/// A workflow without errors: its names are resolved, its types fit, and its steps are
/// sorted by dependencies.
///
/// It is the only source of plans and outlines, so that each workflow is checked once.
#[derive(Debug)]
pub struct Checked {
    workflow: Arc<Workflow>,
    /// The workflow with all that it inlines, if it has a loop over a workflow: its inputs decide
    /// the instances.
    loops: Option<InlinedWorkflow>,
    parts: Arc<PlanParts>,
    outputs: Vec<(String, Template)>,
    warnings: Vec<Diagnostic>,
}

/// The parts of a plan that depend on the instances of loops over workflows.
#[derive(Debug)]
struct PlanParts {
    scopes: Vec<Scope>,
    loops: Vec<PlannedLoop>,
    checks: Vec<InputCheck>,
    locks: Vec<Lock>,
    steps: Vec<PlannedStep>,
    /// Expressions of the steps, with their places.
    expressions: Vec<StepExpressions>,
}

impl Workflow {
    /// Checks the workflow, and all that it inlines, against the actions of `registry`.
    ///
    /// # Errors
    /// Each error that can be found without input values.
    pub fn check(self, registry: &Registry, loader: &Loader<'_>) -> Result<Checked, Diagnostics> {
        ParsedWorkflow { workflow: Some(self), diagnostics: Vec::new() }.check(registry, loader)
    }
}

impl ParsedWorkflow {
    /// Checks a workflow that was just read, like [`Workflow::check`].
    ///
    /// # Errors
    /// Each error in the text, together with those that the check finds in the rest.
    pub fn check(self, registry: &Registry, loader: &Loader<'_>) -> Result<Checked, Diagnostics> {
        let mut found = self.diagnostics;
        let inlined = self.workflow.map(|workflow| {
            let inlined = inline(workflow, registry, loader, &mut found);
            found.extend(check(&inlined));
            found.extend(checks::check(&inlined));
            found.extend(locks::check(&inlined));
            found.extend(unroll::check(&inlined));
            found.extend(finally::check(&inlined));
            found.extend(order::cycles(&inlined));
            inlined
        });
        match (Diagnostics::collect(found), inlined) {
            (None, Some(inlined)) => {
                let checked = Checked::new(inlined);
                checked.known_errors().map_or(Ok(checked), Err)
            }
            (Some(diagnostics), _) => Err(diagnostics),
            (None, None) => unreachable!("a file that is not a workflow has a diagnostic"),
        }
    }
}

impl Checked {
    fn new(inlined: InlinedWorkflow) -> Self {
        let workflow = Arc::clone(&inlined.scopes[0].workflow);
        let dependencies = dependencies(&inlined);
        let mut warnings = hidden_failures(&inlined, &dependencies);
        warnings.extend(skipped_outputs(&inlined));
        let warnings = Diagnostics::collect(warnings);
        Self {
            parts: Arc::new(PlanParts::new(&inlined, &dependencies)),
            outputs: lower::outputs(&workflow, 0),
            warnings: warnings.map(Diagnostics::into_vec).unwrap_or_default(),
            loops: Some(inlined).filter(|inlined| !inlined.loops.is_empty()),
            workflow,
        }
    }

    /// Returns what is probably not meant, though it is valid.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Returns the workflow as it is written in the file.
    pub fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    /// Makes the plan of a run with these inputs. The same workflow, actions and inputs give an
    /// equal plan.
    ///
    /// # Errors
    /// An input is missing, unknown or does not fit its schema, or a lock has no value. No message
    /// contains the value of a secret input.
    pub fn plan(&self, inputs: Map<String, Value>) -> Result<Plan, Diagnostics> {
        self.plan_given(&inputs.into())
    }

    /// Like [`plan`](Self::plan), with the places of inputs from a file, at which errors are
    /// reported.
    ///
    /// # Errors
    /// Those of `plan`.
    pub fn plan_given(&self, inputs: &GivenInputs) -> Result<Plan, Diagnostics> {
        let inputs = inputs::resolve(&self.workflow, inputs)?;
        let parts = self.parts(&inputs)?;
        parts.check_inputs(&inputs)?;
        let PlanParts { scopes, loops, locks, steps, .. } = &*parts;
        Ok(Plan {
            format: format_of(steps, scopes, loops),
            workflow: self.workflow.name.value.clone(),
            locks: locks::evaluate(locks, scopes, &inputs)?,
            inputs,
            scopes: scopes.clone(),
            loops: loops.clone(),
            steps: steps.clone(),
            outputs: self.outputs.clone(),
        })
    }

    /// Returns the parts of a plan with these inputs.
    fn parts(&self, inputs: &Map<String, Value>) -> Result<Arc<PlanParts>, Diagnostics> {
        let Some(checked) = &self.loops else { return Ok(Arc::clone(&self.parts)) };
        let unrolled = unroll(checked, inputs)?;
        let dependencies = dependencies(&unrolled);
        Ok(Arc::new(PlanParts::new(&unrolled, &dependencies)))
    }

    /// Returns the errors of steps that are known before a run with the inputs of `plan`: duplicate
    /// keys of a loop, and expressions that have no value.
    /// Those that an input causes alone are reported at its place in `given`.
    pub fn errors_before_run(&self, plan: &Plan, given: &GivenInputs) -> Option<Diagnostics> {
        match self.parts(&plan.inputs) {
            Ok(parts) => parts.errors_of(&parts.values_before_run(Some(&plan.inputs)).with_places(given)),
            Err(diagnostics) => Some(diagnostics),
        }
    }

    /// Returns the errors of expressions whose values are known without inputs.
    fn known_errors(&self) -> Option<Diagnostics> {
        self.parts.errors_of(&self.parts.values_before_run(None))
    }

    /// Returns the steps and locks for display, without input values.
    pub fn outline(&self) -> Outline {
        Outline {
            workflow: self.workflow.name.value.clone(),
            locks: locks::as_written(&self.parts.locks),
            scopes: self.parts.scopes.clone(),
            steps: self.parts.steps.clone(),
        }
    }
}

impl PlanParts {
    fn new(inlined: &InlinedWorkflow, dependencies: &[StepDependencies]) -> Self {
        Self {
            scopes: lower::scopes(inlined),
            loops: lower::loops(inlined),
            checks: checks::lower(inlined),
            locks: locks::lower(inlined),
            expressions: inlined.steps.iter().map(|step| expressions(inlined, step)).collect(),
            steps: steps(inlined, dependencies),
        }
    }

    /// Makes the checks of the inputs.
    fn check_inputs(&self, inputs: &Map<String, Value>) -> Result<(), Diagnostics> {
        let errors = checks::errors(&self.checks, &self.values_before_run(Some(inputs)));
        Diagnostics::collect(errors).map_or(Ok(()), Err)
    }

    fn values_before_run<'a>(&'a self, inputs: Option<&'a Map<String, Value>>) -> ValuesBeforeRun<'a> {
        ValuesBeforeRun::new(self.steps.iter().map(|step| step.name.as_str()), &self.scopes, &self.loops, inputs)
    }

    fn errors_of(&self, known: &ValuesBeforeRun<'_>) -> Option<Diagnostics> {
        Diagnostics::collect(self.expressions.iter().filter_map(|step| known.error(step)).collect())
    }
}

/// Returns the expressions of a step.
fn expressions(inlined: &InlinedWorkflow, step: &ActionStep) -> StepExpressions {
    StepExpressions::new(inlined, step, lower::condition(inlined, step))
}

/// Returns the steps so that each follows all it depends on; otherwise in the order of the files.
fn steps(inlined: &InlinedWorkflow, dependencies: &[StepDependencies]) -> Vec<PlannedStep> {
    let order = order::sort(&dependencies.iter().map(StepDependencies::all).collect::<Vec<_>>());
    let mut positions = vec![0; order.len()];
    order.iter().enumerate().for_each(|(position, &step)| positions[step] = position);
    let planned = order.iter().map(|&step| {
        let at = |steps: &BTreeSet<usize>| {
            let planned: BTreeSet<usize> = steps.iter().map(|&step| positions[step]).collect();
            planned.into_iter().collect()
        };
        let StepDependencies { needs, after, needs_each, items: _ } = &dependencies[step];
        let planned = lower::step(inlined, &inlined.steps[step]);
        PlannedStep { needs: at(needs), after: at(after), needs_each: at(needs_each), ..planned }
    });
    planned.collect()
}

/// Returns the oldest format that can express these steps, so that older programs can resume most
/// runs.
fn format_of(steps: &[PlannedStep], scopes: &[Scope], loops: &[PlannedLoop]) -> u32 {
    let mut allowed = steps
        .iter()
        .map(|step| step.allow_failure || step.is_finally)
        .chain(scopes.iter().map(|scope| scope.allow_failure));
    if allowed.any(|allowed| allowed) {
        return FORMAT;
    }
    let has_limit = |step: &PlannedStep| step.for_each.as_ref().is_some_and(|each| each.max_failures.is_some());
    if !loops.is_empty() || steps.iter().any(has_limit) {
        return 4;
    }
    let is_new =
        |step: &PlannedStep| step.nature != Nature::Once || !step.after.is_empty() || !step.needs_each.is_empty();
    if steps.iter().any(is_new) {
        3
    } else if steps.iter().any(|step| step.approval.is_some()) {
        2
    } else {
        1
    }
}
