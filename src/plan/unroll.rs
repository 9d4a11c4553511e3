use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    PlannedExpression, Scope,
    inlined_workflow::{ActionStep, InlinedWorkflow, LoopItem, ScopeInstance, WorkflowLoop},
    input_values::{InputValues, InputsOnly},
    lower,
    names::{Binding, IndexResolver},
};
use crate::workflow::{Diagnostic, Diagnostics, ForEachDefinition, Spanned, Step, StepBody};

/// Maximum number of steps of a plan with all instances of its loops.
const MAX_STEPS: usize = 20_000;
/// Maximum number of workflows in a plan with all instances of its loops.
const MAX_SCOPES: usize = 10_000;

/// Help for a loop that needs more than inputs.
const HINT: &str = "its instances are part of the plan; pass the list as an input, or put for_each on the steps of the \
                    inlined workflow";

/// Returns an error for each loop over a workflow whose list or keys need more than inputs.
pub(super) fn check(inlined: &InlinedWorkflow) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for WorkflowLoop { step: (scope, index), .. } in &inlined.loops {
        let owner = &inlined.scopes[*scope].workflow;
        let Some(each) = owner.steps[*index].for_each() else { continue };
        let StepBody::Inline(body) = &owner.steps[*index].body else { continue };
        for expression in [&each.items].into_iter().chain(&each.key).chain(&body.max_parallel) {
            let check = InputsOnly { inlined, owner, what: "a loop over a workflow", hint: HINT };
            check.expression(*scope, expression, &mut found);
        }
    }
    found
}

/// Returns the workflow with an instance of each loop over a workflow for each item of its list.
///
/// # Errors
/// A list or a key has no value or the wrong type, two items have the same key, or the plan would
/// be too large.
pub(super) fn unroll(checked: &InlinedWorkflow, inputs: &Map<String, Value>) -> Result<InlinedWorkflow, Diagnostics> {
    let unrolled = InlinedWorkflow {
        scopes: Vec::new(),
        steps: Vec::new(),
        bindings: Vec::new(),
        loops: Vec::new(),
        patterns: Arc::clone(&checked.patterns),
    };
    let mut walk = Unroller { checked, inputs, unrolled, scopes: Vec::new(), found: Vec::new() };
    walk.add_scope(0, "", None);
    Diagnostics::collect(walk.found).map_or(Ok(walk.unrolled), Err)
}

/// State while instances are added.
struct Unroller<'a> {
    /// The workflow with one instance of each loop, which stands for all of them.
    checked: &'a InlinedWorkflow,
    inputs: &'a Map<String, Value>,
    unrolled: InlinedWorkflow,
    /// Scopes of the plan, as far as they are known.
    scopes: Vec<Scope>,
    found: Vec<Diagnostic>,
}

impl Unroller<'_> {
    /// Adds the scope `of` of the checked workflow and all that it inlines; returns its index.
    fn add_scope(&mut self, of: usize, prefix: &str, parent: Option<(usize, usize)>) -> usize {
        let ScopeInstance { workflow, file, .. } = &self.checked.scopes[of];
        let (workflow, file) = (Arc::clone(workflow), file.clone());
        let scope = self.unrolled.scopes.len();
        let instance =
            ScopeInstance { workflow: Arc::clone(&workflow), item: None, prefix: prefix.to_owned(), file, parent };
        self.unrolled.scopes.push(instance);
        self.unrolled.bindings.push(HashMap::with_capacity(workflow.steps.len()));
        self.scopes.push(lower::scope(&self.unrolled, scope));
        for (index, step) in workflow.steps.iter().enumerate() {
            let binding = self.add_step(of, scope, index, &format!("{prefix}{}", step.name.value));
            self.unrolled.bindings[scope].insert(step.name.value.clone(), binding);
        }
        scope
    }

    /// Adds a step, or the workflow that it inlines. `of` is its scope in the checked workflow.
    fn add_step(&mut self, of: usize, scope: usize, index: usize, name: &str) -> Binding {
        let workflow = Arc::clone(&self.unrolled.scopes[scope].workflow);
        let step = &workflow.steps[index];
        match self.checked.bindings[of].get(&step.name.value) {
            Some(Binding::Action(at)) => {
                let action = self.checked.steps[*at].action.clone();
                self.unrolled.steps.push(ActionStep { scope, index, action });
                Binding::Action(self.unrolled.steps.len() - 1)
            }
            Some(Binding::Inlined(inner)) => {
                Binding::Inlined(self.add_scope(*inner, &format!("{name}/"), Some((scope, index))))
            }
            Some(Binding::Loop(each)) => self.add_loop(*each, (scope, index), name),
            Some(Binding::Unknown) | None => Binding::Unknown,
        }
    }

    /// Adds the instances of a loop. An error ends the loop, and is reported.
    fn add_loop(&mut self, each: usize, step: (usize, usize), name: &str) -> Binding {
        let workflow = Arc::clone(&self.unrolled.scopes[step.0].workflow);
        let definition = &workflow.steps[step.1];
        let mut instances = Vec::new();
        if let Err(error) = self.add_instances(each, step, definition, name, &mut instances) {
            self.found.push(*error);
        }
        let limit = self.limit(step.0, definition).unwrap_or_else(|error| {
            self.found.push(*error);
            None
        });
        self.unrolled.loops.push(WorkflowLoop { name: name.to_owned(), step, limit, instances });
        Binding::Loop(self.unrolled.loops.len() - 1)
    }

    fn add_instances(
        &mut self,
        each: usize,
        step: (usize, usize),
        definition: &Step,
        name: &str,
        instances: &mut Vec<(String, usize)>,
    ) -> Result<(), Box<Diagnostic>> {
        let Some(list) = definition.for_each() else { return Ok(()) };
        let Some((_, inner)) = self.checked.loops[each].instances.first() else { return Ok(()) };
        let mut seen = HashSet::new();
        for item in self.items(step.0, list)? {
            let around = self.add_copy(step.0, list, item);
            let key = self.key(around, list)?;
            if !seen.insert(key.clone()) {
                let message = format!("two items have the key {key:?}, keys must be unique");
                return Err(self.error(step.0, list, message));
            }
            let scope = self.add_scope(*inner, &format!("{name}[{key}]/"), Some((around, step.1)));
            instances.push((key, scope));
            self.check_size(step.0, &definition.name)?;
        }
        Ok(())
    }

    /// Returns the maximum number of concurrent instances.
    fn limit(&self, scope: usize, definition: &Step) -> Result<Option<usize>, Box<Diagnostic>> {
        let StepBody::Inline(body) = &definition.body else { return Ok(None) };
        let Some(limit) = &body.max_parallel else {
            let limit = body.for_each.as_ref().and_then(|each| each.max_parallel);
            return Ok(limit.map(|limit| limit as usize));
        };
        let planned = PlannedExpression::from_parsed(&limit.expression, scope);
        self.values(|values| values.limit(&planned)).map(Some).map_err(|reason| {
            let source = &self.unrolled.scopes[scope].workflow.source;
            Box::new(Diagnostic::new(source, "plan::no_value", limit.trimmed(source), reason, "with these inputs"))
        })
    }

    /// Adds a copy of a scope with the loop variable.
    fn add_copy(&mut self, of: usize, list: &ForEachDefinition, item: Value) -> usize {
        let item = LoopItem { variable: list.variable.value.clone(), value: Some(item) };
        let copy = self.unrolled.add_copy(of, item);
        self.scopes.push(lower::scope(&self.unrolled, copy));
        copy
    }

    /// Evaluates the list of a loop.
    fn items(&self, scope: usize, list: &ForEachDefinition) -> Result<Vec<Value>, Box<Diagnostic>> {
        let items = PlannedExpression::from_parsed(&list.items.expression, scope);
        self.values(|values| values.list(&items)).map_err(|reason| self.error(scope, list, reason))
    }

    /// Evaluates the key of an instance, whose loop variable `around` has.
    fn key(&self, around: usize, list: &ForEachDefinition) -> Result<String, Box<Diagnostic>> {
        let key = match &list.key {
            Some(key) => PlannedExpression::from_parsed(&key.expression, around),
            None => PlannedExpression::new(&list.variable.value, around),
        };
        self.values(|values| values.key(&key)).map_err(|reason| self.error(around, list, reason))
    }

    fn values<T>(&self, read: impl FnOnce(&InputValues<'_>) -> T) -> T {
        let names = IndexResolver::new(std::iter::empty(), &self.scopes, &[]);
        read(&InputValues { names: &names, scopes: &self.scopes, inputs: self.inputs })
    }

    fn check_size(&self, scope: usize, name: &Spanned<String>) -> Result<(), Box<Diagnostic>> {
        let (steps, scopes) = (self.unrolled.steps.len(), self.unrolled.scopes.len());
        if steps <= MAX_STEPS && scopes <= MAX_SCOPES {
            return Ok(());
        }
        let message = format!("the plan would have more than {MAX_STEPS} steps or {MAX_SCOPES} workflows");
        let source = &self.unrolled.scopes[scope].workflow.source;
        let hint = "run the workflow several times, each with a part of the list".to_owned();
        let error = Diagnostic::new(source, "plan::inline", name.span, message, "its instances exceed it");
        Err(Box::new(error.with_hint(hint)))
    }

    fn error(&self, scope: usize, list: &ForEachDefinition, message: String) -> Box<Diagnostic> {
        let source = &self.unrolled.scopes[scope].workflow.source;
        let span = list.key.as_ref().unwrap_or(&list.items).trimmed(source);
        Box::new(Diagnostic::new(source, "plan::no_value", span, message, "with these inputs"))
    }
}
