use std::collections::HashMap;

use super::Scope;
use crate::workflow::{Key, Reference};

/// What a reference reads, once the names of its scope are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// An input of a scope.
    Input { scope: usize, name: String },
    /// The output of a step.
    Output { step: usize },
    /// Whether a step was skipped.
    Skipped { step: usize },
    /// The outputs of an inlined workflow; all of them without a name.
    Inlined { scope: usize, name: Option<String> },
    /// Whether every step of an inlined workflow was skipped.
    InlinedSkipped { scope: usize },
    /// Id of the run.
    RunId,
    /// Name of the workflow.
    RunWorkflow,
    /// The loop variable.
    Item,
}

/// A reference with its root resolved: `depth` segments lead to `target`, `rest` goes on inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) target: Target,
    pub(super) depth: usize,
    pub(super) rest: Vec<Key>,
}

impl Resolved {
    fn new(target: Target, depth: usize, reference: &Reference) -> Self {
        Self { target, depth, rest: reference.keys_from(depth) }
    }
}

/// The steps and scopes of a plan by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    steps: HashMap<String, usize>,
    scopes: HashMap<String, usize>,
}

impl Names {
    pub(super) fn new<'a>(steps: impl Iterator<Item = &'a str>, scopes: &[Scope]) -> Self {
        Self {
            steps: steps.enumerate().map(|(index, name)| (name.to_owned(), index)).collect(),
            scopes: scopes.iter().enumerate().map(|(index, scope)| (scope.prefix.clone(), index)).collect(),
        }
    }

    /// What `reference`, written in `scope`, reads. `None` when there is no such name.
    pub(super) fn resolve(
        &self,
        reference: &Reference,
        scope: usize,
        prefix: &str,
        variable: Option<&str>,
    ) -> Option<Resolved> {
        match reference.root() {
            root if Some(root) == variable => Some(Resolved::new(Target::Item, 1, reference)),
            "inputs" => {
                let name = reference.field(1)?.to_owned();
                Some(Resolved::new(Target::Input { scope, name }, 2, reference))
            }
            "run" => match reference.field(1)? {
                "id" => Some(Resolved::new(Target::RunId, 2, reference)),
                "workflow" => Some(Resolved::new(Target::RunWorkflow, 2, reference)),
                _ => None,
            },
            "steps" => self.resolve_step(reference, prefix),
            _ => None,
        }
    }

    fn resolve_step(&self, reference: &Reference, prefix: &str) -> Option<Resolved> {
        let name = format!("{prefix}{}", reference.field(1)?);
        let property = reference.field(2)?;
        let (target, depth) = match (self.steps.get(&name), self.scopes.get(&format!("{name}/")), property) {
            (Some(&step), _, "outputs") => (Target::Output { step }, 3),
            (Some(&step), _, "skipped") => (Target::Skipped { step }, 3),
            (None, Some(&scope), "outputs") => match reference.field(3) {
                Some(output) => (Target::Inlined { scope, name: Some(output.to_owned()) }, 4),
                None => (Target::Inlined { scope, name: None }, 3),
            },
            (None, Some(&scope), "skipped") => (Target::InlinedSkipped { scope }, 3),
            _ => return None,
        };
        Some(Resolved::new(target, depth, reference))
    }
}
