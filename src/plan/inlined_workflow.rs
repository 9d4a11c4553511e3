use std::{collections::HashMap, fmt, sync::Arc};

use serde_json::Value;
use stargate_sdk::DynAction;

use super::names::{Binding, Resolved, StepNames, Unresolved, resolve};
use crate::workflow::{ActionBody, Patterns, Reference, SpannedExpression, Step, StepBody, Workflow};

/// A workflow together with everything that it inlines, directly and indirectly.
#[derive(Debug)]
pub(super) struct InlinedWorkflow {
    /// The workflow itself, then each inlined one, in the order of the files.
    pub(super) scopes: Vec<ScopeInstance>,
    /// Steps with an action, in the order of the files.
    pub(super) steps: Vec<ActionStep>,
    /// Bindings of the names of each scope's steps.
    pub(super) bindings: Vec<HashMap<String, Binding>>,
    /// Steps that inline a workflow once for each item of a list.
    pub(super) loops: Vec<WorkflowLoop>,
    /// Patterns of the schemas of inputs and actions, compiled.
    pub(super) patterns: Arc<Patterns>,
}

/// A step that inlines a workflow once for each item of a list.
#[derive(Debug)]
pub(super) struct WorkflowLoop {
    /// Name of the step in the plan.
    pub(super) name: String,
    /// Scope and index of the step.
    pub(super) step: (usize, usize),
    /// Maximum number of concurrent instances; `None` if there is none, or if inputs decide it.
    pub(super) limit: Option<usize>,
    /// Key and scope of each instance. A workflow that has no inputs yet has one instance, which
    /// stands for all of them.
    pub(super) instances: Vec<(String, usize)>,
}

/// The loop variable of one instance of a workflow.
#[derive(Debug, Clone)]
pub(super) struct LoopItem {
    pub(super) variable: String,
    /// `None` as long as the inputs are not known.
    pub(super) value: Option<Value>,
}

/// One use of a workflow: the one that was checked, or one that a step inlines.
///
/// The scope around an instance of a loop is a copy of the scope of the looping step, with the loop
/// variable.
#[derive(Debug)]
pub(super) struct ScopeInstance {
    pub(super) workflow: Arc<Workflow>,
    /// Scope that this one is a copy of, and the loop variable that it adds.
    pub(super) item: Option<(usize, LoopItem)>,
    /// Text before the names of its steps in the plan: empty, or such as `outer/`.
    pub(super) prefix: String,
    /// Path of its file, relative to the folder of the checked workflow; empty for that one.
    pub(super) file: String,
    /// Scope and index of the step that inlines it.
    pub(super) parent: Option<(usize, usize)>,
}

/// A step with an action.
pub(super) struct ActionStep {
    pub(super) scope: usize,
    /// Index in the steps of its workflow.
    pub(super) index: usize,
    /// `None` if the registry has no such action, which has been reported.
    pub(super) action: Option<Arc<dyn DynAction>>,
}

impl fmt::Debug for ActionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = self.action.as_ref().map(|action| action.name());
        write!(f, "step {} of scope {}: {action:?}", self.index, self.scope)
    }
}

impl ScopeInstance {
    /// Returns the name that a step of this workflow has in the plan.
    pub(super) fn full_name(&self, step: &str) -> String {
        format!("{}{step}", self.prefix)
    }
}

impl InlinedWorkflow {
    /// Returns the scopes that are not copies, with their indexes.
    pub(super) fn originals(&self) -> impl Iterator<Item = (usize, &ScopeInstance)> {
        self.scopes.iter().enumerate().filter(|(_, instance)| instance.item.is_none())
    }

    /// Adds a copy of a scope with a loop variable.
    pub(super) fn add_copy(&mut self, of: usize, item: LoopItem) -> usize {
        let ScopeInstance { workflow, prefix, file, parent, .. } = &self.scopes[of];
        let copy = ScopeInstance {
            workflow: Arc::clone(workflow),
            item: Some((of, item)),
            prefix: prefix.clone(),
            file: file.clone(),
            parent: *parent,
        };
        self.scopes.push(copy);
        self.bindings.push(HashMap::new());
        self.scopes.len() - 1
    }

    /// Returns the definition of a step.
    pub(super) fn definition(&self, step: &ActionStep) -> &Step {
        &self.scopes[step.scope].workflow.steps[step.index]
    }

    /// Returns the part of a step's definition that concerns its action.
    pub(super) fn body(&self, step: &ActionStep) -> &ActionBody {
        match &self.definition(step).body {
            StepBody::Action(body) => body,
            StepBody::Inline(_) | StepBody::Unknown => {
                unreachable!("an ActionStep is made from a step with an action")
            }
        }
    }

    /// Returns the step that inlines a scope, with the scope of that step.
    pub(super) fn inliner(&self, scope: usize) -> Option<(usize, &Step)> {
        let (parent, index) = self.scopes[scope].parent?;
        Some((parent, &self.scopes[parent].workflow.steps[index]))
    }

    /// True if a step of this scope, or one that inlines it, is under `finally`.
    pub(super) fn is_finally(&self, scope: usize, step: &Step) -> bool {
        step.is_finally || self.inliner(scope).is_some_and(|(parent, inliner)| self.is_finally(parent, inliner))
    }

    /// Resolves each reference of an expression of `scope`. A loop variable is
    /// [`Unresolved::Root`].
    pub(super) fn resolve_all<'a>(
        &'a self,
        scope: usize,
        expression: &'a SpannedExpression,
    ) -> impl Iterator<Item = (&'a Reference, Result<Resolved, Unresolved>)> {
        let references = expression.expression.references().iter();
        references.map(move |reference| (reference, resolve(self, scope, None, reference)))
    }
}

impl StepNames for InlinedWorkflow {
    fn binding(&self, scope: usize, name: &str) -> Option<Binding> {
        self.bindings[self.origin(scope)].get(name).copied()
    }

    fn origin(&self, scope: usize) -> usize {
        self.scopes[scope].item.as_ref().map_or(scope, |(origin, _)| *origin)
    }

    fn variable(&self, scope: usize, name: &str) -> Option<usize> {
        let (_, item) = self.scopes[scope].item.as_ref()?;
        (item.variable == name).then_some(scope)
    }
}
