use std::collections::HashMap;

use super::{PlannedLoop, Scope};
use crate::workflow::{PathKey, Reference};

/// The thing that a step's name refers to within its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binding {
    /// A step with an action, by its index.
    Action(usize),
    /// A step that inlines a workflow, by the index of that workflow's scope.
    Inlined(usize),
    /// A step that inlines a workflow for each item of a list, by the index of the loop.
    Loop(usize),
    /// A step that cannot be read, or whose workflow cannot be loaded. The error has been
    /// reported.
    Unknown,
}

/// Steps by name, as the resolver needs them.
pub(super) trait StepNames {
    /// Returns the binding of the step `name` of `scope`; `None` if the scope has no such step.
    fn binding(&self, scope: usize, name: &str) -> Option<Binding>;
    /// Returns the scope that `scope` is a copy of, or itself.
    fn origin(&self, scope: usize) -> usize;
    /// Returns the scope whose loop variable has this name, if the expressions of `scope` can use
    /// it.
    fn variable(&self, scope: usize, name: &str) -> Option<usize>;
}

/// The value that a reference reads. Scopes and steps are indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReferenceTarget {
    /// An input of a scope.
    Input { scope: usize, name: String },
    /// The output of a step.
    Output { step: usize },
    /// True if the step was skipped.
    Skipped { step: usize },
    /// True if the step, or an instance of it, has failed or was stopped.
    Failed { step: usize },
    /// One output of an inlined workflow; without a name, all of them as a map.
    Inlined { scope: usize, name: Option<String> },
    /// True if each step of an inlined workflow was skipped.
    InlinedSkipped { scope: usize },
    /// True if a step of an inlined workflow has failed or was stopped.
    InlinedFailed { scope: usize },
    /// Id of the run.
    RunId,
    /// Name of the workflow.
    RunWorkflow,
    /// True if a step of the run has changed something.
    RunChanged,
    /// Outcome of the steps that are not under `finally`.
    RunOutcome,
    /// The outputs of all instances of an inlined workflow, by key.
    Loop { index: usize },
    /// True if each step of all instances was skipped.
    LoopSkipped { index: usize },
    /// True if a step of an instance has failed or was stopped.
    LoopFailed { index: usize },
    /// The loop variable of a step.
    Item,
    /// The loop variable of an instance of an inlined workflow.
    ScopeItem { scope: usize },
}

/// A resolved reference: its first `depth` segments lead to `target`, and `rest` leads further into
/// that value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) target: ReferenceTarget,
    pub(super) depth: usize,
    pub(super) rest: Vec<PathKey>,
}

/// Reason for which a reference has no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// The first name is not known.
    Root,
    /// `inputs` is not followed by a name.
    NoInputName,
    /// `run` is not followed by one of its fields.
    NoRunField,
    /// `steps` is not followed by a name.
    NoStepName,
    /// The scope has no step of this name.
    NoSuchStep,
    /// The name of a step is not followed by a property.
    NoProperty,
    /// The property is neither `outputs` nor `skipped` nor `failed`.
    NoSuchProperty,
    /// The step could not be read, which has been reported.
    UnknownStep,
}

/// Resolves a reference that is written in `scope`. `variable` is the name of the loop variable, if
/// there is one.
///
/// Existence of inputs and of an action's output fields is not checked here: that takes schemas.
pub(super) fn resolve(
    names: &impl StepNames,
    scope: usize,
    variable: Option<&str>,
    reference: &Reference,
) -> Result<Resolved, Unresolved> {
    let scope_item = names.variable(scope, reference.root());
    let scope = names.origin(scope);
    let (target, depth) = match reference.root() {
        root if Some(root) == variable => (ReferenceTarget::Item, 1),
        _ if let Some(scope) = scope_item => (ReferenceTarget::ScopeItem { scope }, 1),
        "inputs" => {
            let name = reference.input_name().ok_or(Unresolved::NoInputName)?.to_owned();
            (ReferenceTarget::Input { scope, name }, 2)
        }
        "run" => match reference.field(1) {
            Some("id") => (ReferenceTarget::RunId, 2),
            Some("workflow") => (ReferenceTarget::RunWorkflow, 2),
            Some("changed") => (ReferenceTarget::RunChanged, 2),
            Some("outcome") => (ReferenceTarget::RunOutcome, 2),
            _ => return Err(Unresolved::NoRunField),
        },
        "steps" => resolve_step(names, scope, reference)?,
        _ => return Err(Unresolved::Root),
    };
    Ok(Resolved { target, depth, rest: reference.keys_from(depth) })
}

/// Resolves `steps.NAME.outputs…`, `steps.NAME.skipped` or `steps.NAME.failed`; returns the target
/// and the number of segments to it.
fn resolve_step(
    names: &impl StepNames,
    scope: usize,
    reference: &Reference,
) -> Result<(ReferenceTarget, usize), Unresolved> {
    let name = reference.step_name().ok_or(Unresolved::NoStepName)?;
    let binding = names.binding(scope, name).ok_or(Unresolved::NoSuchStep)?;
    let property = reference.field(2).ok_or(Unresolved::NoProperty)?;
    match (binding, property) {
        (Binding::Action(step), "outputs") => Ok((ReferenceTarget::Output { step }, 3)),
        (Binding::Action(step), "skipped") => Ok((ReferenceTarget::Skipped { step }, 3)),
        (Binding::Action(step), "failed") => Ok((ReferenceTarget::Failed { step }, 3)),
        (Binding::Inlined(scope), "outputs") => match reference.field(3) {
            Some(output) => Ok((ReferenceTarget::Inlined { scope, name: Some(output.to_owned()) }, 4)),
            None => Ok((ReferenceTarget::Inlined { scope, name: None }, 3)),
        },
        (Binding::Inlined(scope), "skipped") => Ok((ReferenceTarget::InlinedSkipped { scope }, 3)),
        (Binding::Inlined(scope), "failed") => Ok((ReferenceTarget::InlinedFailed { scope }, 3)),
        (Binding::Loop(index), "outputs") => Ok((ReferenceTarget::Loop { index }, 3)),
        (Binding::Loop(index), "skipped") => Ok((ReferenceTarget::LoopSkipped { index }, 3)),
        (Binding::Loop(index), "failed") => Ok((ReferenceTarget::LoopFailed { index }, 3)),
        (Binding::Unknown, "outputs" | "skipped" | "failed") => Err(Unresolved::UnknownStep),
        (_, _) => Err(Unresolved::NoSuchProperty),
    }
}

/// Names of a plan's steps and scopes with their indexes.
#[derive(Debug)]
pub(super) struct IndexResolver {
    /// Indexes of steps by full name, such as `outer/inner`.
    steps: HashMap<String, usize>,
    /// Indexes of scopes by prefix, such as `outer/`.
    scopes: HashMap<String, usize>,
    /// Indexes of loops over workflows by the full name of their step.
    loops: HashMap<String, usize>,
    /// Prefix of each scope, and its loop variable with the scope that it is a copy of.
    prefixes: Vec<(String, Option<(usize, String)>)>,
}

impl IndexResolver {
    /// Creates the resolver; `steps` are full names such as `outer/inner`, in the order of the
    /// plan.
    pub(super) fn new<'a>(steps: impl Iterator<Item = &'a str>, scopes: &[Scope], loops: &[PlannedLoop]) -> Self {
        let item = |scope: &Scope| scope.item.as_ref().map(|item| (item.copy_of, item.variable.clone()));
        let originals = scopes.iter().enumerate().filter(|(_, scope)| scope.item.is_none());
        Self {
            steps: steps.enumerate().map(|(index, name)| (name.to_owned(), index)).collect(),
            scopes: originals.map(|(index, scope)| (scope.prefix.clone(), index)).collect(),
            loops: loops.iter().enumerate().map(|(index, each)| (each.name.clone(), index)).collect(),
            prefixes: scopes.iter().map(|scope| (scope.prefix.clone(), item(scope))).collect(),
        }
    }
}

impl StepNames for IndexResolver {
    fn binding(&self, scope: usize, name: &str) -> Option<Binding> {
        let full_name = format!("{}{name}", self.prefixes.get(scope)?.0);
        if let Some(&step) = self.steps.get(&full_name) {
            return Some(Binding::Action(step));
        }
        if let Some(&index) = self.loops.get(&full_name) {
            return Some(Binding::Loop(index));
        }
        self.scopes.get(&format!("{full_name}/")).map(|&scope| Binding::Inlined(scope))
    }

    fn origin(&self, scope: usize) -> usize {
        match self.prefixes.get(scope) {
            Some((_, Some((origin, _)))) => *origin,
            _ => scope,
        }
    }

    fn variable(&self, scope: usize, name: &str) -> Option<usize> {
        let (_, variable) = self.prefixes.get(scope)?.1.as_ref()?;
        (variable == name).then_some(scope)
    }
}
