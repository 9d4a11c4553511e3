use serde_json::{Map, Value};
use stargate_sdk::Registry;

use super::{
    FORMAT, Plan, PlannedStep, check as checks,
    dependencies::dependencies,
    expand::{Expanded, Loader, expand},
    inputs, locks, lower, order,
};
use crate::workflow::{Diagnostic, Diagnostics, Workflow, parse};

/// Every mistake of `workflow` and of what it inlines that can be seen without input values.
pub fn check(workflow: &Workflow, registry: &Registry, loader: &Loader<'_>) -> Vec<Diagnostic> {
    let (_, found) = checked(workflow, registry, loader);
    Diagnostics::collect(found).map(Diagnostics::into_vec).unwrap_or_default()
}

/// Reads a workflow and reports every mistake in it: those of its text and those that [`check`] finds.
pub fn validate(
    file_name: &str,
    text: &str,
    registry: &Registry,
    loader: &Loader<'_>,
) -> Result<Workflow, Diagnostics> {
    let mut parsed = parse(file_name, text);
    if let Some(workflow) = &parsed.workflow {
        parsed.diagnostics.extend(check(workflow, registry, loader));
    }
    parsed.into_result()
}

/// Makes the plan of a run.
///
/// The same workflow, actions and inputs give the same plan. On an error nothing of it can be run; no message holds the
/// value of a secret input.
pub fn compile(
    workflow: &Workflow,
    registry: &Registry,
    loader: &Loader<'_>,
    inputs: Map<String, Value>,
) -> Result<Plan, Diagnostics> {
    let (expanded, mut found) = checked(workflow, registry, loader);
    let values = inputs::resolve(workflow, inputs).unwrap_or_else(|mistakes| {
        found.extend(mistakes);
        Map::new()
    });
    match Diagnostics::collect(found) {
        Some(diagnostics) => Err(diagnostics),
        None => with_locks(&expanded, assemble(workflow, &expanded, values)),
    }
}

/// The steps of a plan whose inputs are not known: good to look at, not to run. Its locks are as they are written.
pub fn outline(workflow: &Workflow, registry: &Registry, loader: &Loader<'_>) -> Result<Plan, Diagnostics> {
    let (expanded, found) = checked(workflow, registry, loader);
    match Diagnostics::collect(found) {
        Some(diagnostics) => Err(diagnostics),
        None => Ok(Plan { locks: locks::written(&expanded), ..assemble(workflow, &expanded, Map::new()) }),
    }
}

fn with_locks(expanded: &Expanded<'_>, plan: Plan) -> Result<Plan, Diagnostics> {
    let (locks, found) = locks::values(expanded, &plan);
    match Diagnostics::collect(found) {
        Some(diagnostics) => Err(diagnostics),
        None => Ok(Plan { locks, ..plan }),
    }
}

fn checked<'r>(workflow: &Workflow, registry: &'r Registry, loader: &Loader<'_>) -> (Expanded<'r>, Vec<Diagnostic>) {
    let mut expanded = expand(workflow, registry, loader);
    let mut found = std::mem::take(&mut expanded.diagnostics);
    found.extend(checks::check(&expanded));
    found.extend(locks::check(&expanded));
    found.extend(order::circles(&expanded));
    (expanded, found)
}

fn assemble(workflow: &Workflow, expanded: &Expanded<'_>, inputs: Map<String, Value>) -> Plan {
    let dependencies = dependencies(expanded);
    let order = order::sort(&dependencies);
    let mut places = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &unit)| places[unit] = place);
    let steps = order.iter().filter_map(|&unit| {
        let mut needs: Vec<usize> = dependencies[unit].iter().map(|&need| places[need]).collect();
        needs.sort_unstable();
        lower::step(expanded, &expanded.units[unit], needs)
    });
    let steps: Vec<_> = steps.collect();
    Plan {
        format: format_of(&steps),
        workflow: workflow.name.value.clone(),
        inputs,
        scopes: lower::scopes(expanded),
        locks: Vec::new(),
        steps,
        outputs: lower::lower_outputs(workflow, 0),
    }
}

/// The oldest format that says all that is in these steps, so that older programs can go on with most runs.
fn format_of(steps: &[PlannedStep]) -> u32 {
    if steps.iter().any(|step| step.approval.is_some()) { FORMAT } else { 1 }
}
