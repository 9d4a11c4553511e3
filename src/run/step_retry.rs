use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, RunState, StateName, StepId, StepState};
use crate::plan::Plan;

/// Steps of a run that are executed again on request although they have a result: one step, and
/// all that depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRetry {
    /// Names of the steps that are executed again, with the number of attempts that each has had.
    again: BTreeMap<String, u32>,
    /// Names of other steps whose result is obtained again, as after an
    /// interruption, or that have no result yet.
    pub read_again: Vec<String>,
    /// Names of steps whose result is kept.
    pub kept: Vec<String>,
}

/// Reason for which a step cannot be executed again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepRetryError {
    /// The run has no such step.
    #[error("the run has no step {0:?}")]
    NoSuchStep(String),
    /// The step is under `finally`.
    #[error("step {0:?} is under finally, and runs at the end of the run")]
    Finally(String),
    /// It is not known whether a step that would be executed again took effect.
    #[error("step {step:?} would be executed again, and is {state}")]
    Unresolved {
        /// Name of the step.
        step: String,
        /// State of the step.
        state: StateName,
    },
}

/// Steps by index, each with the keys of its instances; `None` if all instances are meant.
type Selection = BTreeMap<usize, Option<BTreeSet<String>>>;

impl StepRetry {
    /// Selects a step or instance of a run, or all steps of an included workflow, by its name, with
    /// all that depends on it.
    ///
    /// # Errors
    /// [`StepRetryError`].
    pub fn of(plan: &Plan, state: &RunState, step: &str) -> Result<Self, StepRetryError> {
        let start = selected(plan, state, step);
        if start.is_empty() {
            return Err(StepRetryError::NoSuchStep(step.to_owned()));
        }
        if start.iter().any(|(node, _)| plan.steps[*node].is_finally) {
            return Err(StepRetryError::Finally(step.to_owned()));
        }
        let selection = with_dependents(plan, start);
        let mut retry = Self { again: BTreeMap::new(), read_again: Vec::new(), kept: Vec::new() };
        for id in state.steps() {
            retry.add(plan, state, &selection, id)?;
        }
        Ok(retry)
    }

    fn add(&mut self, plan: &Plan, state: &RunState, selection: &Selection, id: StepId) -> Result<(), StepRetryError> {
        let (planned, name) = (&plan.steps[state.node(id)], state.name(id).to_owned());
        let is_selected = is_selected(state, selection, id);
        // Steps under `finally` are executed again with the new end of the run.
        if (is_selected || planned.is_finally) && state.has_open_effect(id) {
            return Err(StepRetryError::Unresolved { step: name, state: state.state(id).name() });
        }
        if is_selected {
            self.again.insert(name, state.attempts(id));
        } else if !(planned.is_finally || state.is_for_each(plan, id)) {
            let is_kept = !planned.is_repeatable() && matches!(state.state(id), StepState::Succeeded { .. });
            if is_kept { self.kept.push(name) } else { self.read_again.push(name) }
        }
        Ok(())
    }

    /// Returns the names of the steps that are executed again.
    pub fn again(&self) -> impl Iterator<Item = &str> {
        self.again.keys().map(String::as_str)
    }

    /// Returns the entry that records the request.
    pub fn into_entry(self) -> Entry {
        Entry::StepsReset { steps: self.again }
    }
}

/// Returns the steps with this name: one step or instance, or all of an included workflow.
fn selected(plan: &Plan, state: &RunState, step: &str) -> Vec<(usize, Option<String>)> {
    if let Some(id) = state.find(step) {
        return vec![(state.node(id), state.key(id).map(str::to_owned))];
    }
    let (workflow, instance) = (format!("{step}/"), format!("{step}["));
    let is_inside = |name: &str| {
        name.starts_with(&workflow) || name.starts_with(&instance) && name[instance.len()..].contains("]/")
    };
    let inside = plan.steps.iter().enumerate().filter(|(_, planned)| is_inside(&planned.name));
    inside.map(|(node, _)| (node, None)).collect()
}

/// Adds all steps that depend on the selected ones, except those under `finally`.
fn with_dependents(plan: &Plan, mut open: Vec<(usize, Option<String>)>) -> Selection {
    let mut selection = Selection::new();
    while let Some((node, key)) = open.pop() {
        if !select(&mut selection, node, key.clone()) {
            continue;
        }
        for (later, planned) in plan.steps.iter().enumerate().skip(node + 1).filter(|(_, step)| !step.is_finally) {
            if planned.needs.contains(&node) || planned.after.contains(&node) {
                open.push((later, None));
            } else if planned.needs_each.contains(&node) {
                open.push((later, key.clone()));
            }
        }
    }
    selection
}

/// Adds a step, or an instance of it. Returns `false` if it is selected already.
fn select(selection: &mut Selection, node: usize, key: Option<String>) -> bool {
    match (selection.get_mut(&node), key) {
        (None, key) => selection.insert(node, key.map(|key| BTreeSet::from([key]))).is_none(),
        (Some(None), _) => false,
        (Some(all), None) => all.take().is_some(),
        (Some(Some(keys)), Some(key)) => keys.insert(key),
    }
}

fn is_selected(state: &RunState, selection: &Selection, id: StepId) -> bool {
    match selection.get(&state.node(id)) {
        None => false,
        Some(None) => true,
        Some(Some(keys)) => state.key(id).is_some_and(|key| keys.contains(key)),
    }
}
