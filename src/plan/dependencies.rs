use std::{
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use super::{
    inlined_workflow::{ActionStep, InlinedWorkflow, WorkflowLoop},
    names::{Binding, ReferenceTarget, StepNames},
};
use crate::workflow::{Spanned, SpannedExpression, SpannedTemplate, Step, StepBody};

/// Indexes of steps.
type StepSet = Rc<BTreeSet<usize>>;

/// Direct dependencies of one step: indexes of steps, by what the step expects of them.
#[derive(Debug, Default)]
pub(super) struct StepDependencies {
    /// Steps that must succeed.
    pub(super) needs: BTreeSet<usize>,
    /// Steps that must have ended.
    pub(super) after: BTreeSet<usize>,
    /// Steps of which an instance needs the instance with the same key.
    pub(super) needs_each: BTreeSet<usize>,
    /// Steps that the list of a loop refers to.
    pub(super) items: BTreeSet<usize>,
}

impl StepDependencies {
    /// Returns all steps that must come before.
    pub(super) fn all(&self) -> BTreeSet<usize> {
        [&self.needs, &self.after, &self.needs_each].into_iter().flatten().copied().collect()
    }
}

/// Returns the direct dependencies of each step, by index.
///
/// The workflow must have no errors: with a cycle between scopes the search would not end.
pub(super) fn dependencies(inlined: &InlinedWorkflow) -> Vec<StepDependencies> {
    let mut collector =
        DependencyCollector { inlined, inputs: HashMap::new(), outputs: HashMap::new(), inside: HashMap::new() };
    let mut found: Vec<_> = inlined.steps.iter().map(|step| collector.step(step)).collect();
    collector.wait_for_workflows(&mut found);
    for each in &inlined.loops {
        collector.limit(each, &mut found);
    }
    keep_finally_apart(inlined, &mut found);
    found
}

/// Removes the dependencies of steps under `finally` on other steps: those have ended before.
fn keep_finally_apart(inlined: &InlinedWorkflow, found: &mut [StepDependencies]) {
    let is_finally = |step: &ActionStep| inlined.is_finally(step.scope, inlined.definition(step));
    let last: BTreeSet<usize> = (0..inlined.steps.len()).filter(|&index| is_finally(&inlined.steps[index])).collect();
    for &step in &last {
        let StepDependencies { needs, after, needs_each, items } = &mut found[step];
        for set in [needs, after, needs_each, items] {
            set.retain(|index| last.contains(index));
        }
    }
}

/// Returns the steps that depend on no other one of `steps`.
fn first_steps(steps: &BTreeSet<usize>, found: &[StepDependencies]) -> Vec<usize> {
    let is_first = |&step: &usize| {
        let StepDependencies { needs, after, needs_each, .. } = &found[step];
        [needs, after, needs_each].iter().all(|set| within(set, steps).next().is_none())
    };
    steps.iter().copied().filter(is_first).collect()
}

/// Returns the steps whose end is the end of all `steps`: those that no other one needs or comes
/// after. A step ends, also as a stopped one, when all that it needs or comes after have ended.
fn end_steps(steps: &BTreeSet<usize>, found: &[StepDependencies]) -> BTreeSet<usize> {
    let before = |&step: &usize| within(&found[step].needs, steps).chain(within(&found[step].after, steps));
    let waited_for: BTreeSet<usize> = steps.iter().flat_map(before).copied().collect();
    steps - &waited_for
}

/// Returns the steps that no other one of `steps` depends on.
fn last_steps(steps: &BTreeSet<usize>, found: &[StepDependencies]) -> BTreeSet<usize> {
    let counterparts = |&step: &usize| within(&found[step].needs_each, steps);
    let needed: BTreeSet<usize> = steps.iter().flat_map(counterparts).copied().collect();
    &end_steps(steps, found) - &needed
}

/// Returns the part of a set that is in `steps`, which are all steps of a workflow and of those
/// that it inlines: their indexes follow each other.
fn within<'a>(set: &'a BTreeSet<usize>, steps: &BTreeSet<usize>) -> impl Iterator<Item = &'a usize> + use<'a> {
    let (first, last) = (steps.first().copied().unwrap_or(1), steps.last().copied().unwrap_or(0));
    debug_assert!(steps.is_empty() || last - first + 1 == steps.len(), "the indexes follow each other");
    let (first, last) = if first <= last { (first, last + 1) } else { (0, 0) };
    set.range(first..last)
}

/// Lets a step wait for the end of others.
fn wait_for(step: &mut StepDependencies, ends: &BTreeSet<usize>) {
    let StepDependencies { needs, after, .. } = step;
    after.extend(ends.iter().filter(|end| !needs.contains(end)));
}

/// State of the search for dependencies.
struct DependencyCollector<'a> {
    inlined: &'a InlinedWorkflow,
    // Steps that the inputs and outputs of inlined workflows need. Each is collected once: they can
    // refer to each other.
    inputs: HashMap<(usize, String), StepSet>,
    outputs: HashMap<(usize, String), StepSet>,
    inside: HashMap<usize, StepSet>,
}

impl DependencyCollector<'_> {
    /// Returns the dependencies of one step: its own, and those of the steps that inline its
    /// workflow.
    fn step(&mut self, step: &ActionStep) -> StepDependencies {
        let inlined = self.inlined;
        let definition = inlined.definition(step);
        let mut found = StepDependencies::default();
        let mut scope = step.scope;
        self.steps(scope, &definition.needs_each, &mut found.needs_each);
        self.written(scope, definition, &mut found);
        found.after.extend(self.actions(scope, &definition.after));
        // Steps that have ended when the first steps of the workflow start.
        let mut ended = BTreeSet::new();
        while let Some((parent, inliner)) = inlined.inliner(scope) {
            self.written(parent, inliner, &mut found);
            ended.extend(self.actions(parent, &inliner.after));
            scope = parent;
        }
        if let Some(each) = &inlined.body(step).for_each {
            self.expression(&each.items, step.scope, &mut found.items);
        }
        let mut referenced = BTreeSet::new();
        for expression in definition.expressions() {
            self.expression(expression, step.scope, &mut referenced);
        }
        // Outputs of a loop can be read before all its instances have succeeded.
        let is_partial = |index: &usize| {
            found.needs_each.contains(index)
                || (found.after.contains(index) || ended.contains(index))
                    && inlined.body(&inlined.steps[*index]).for_each.is_some()
        };
        referenced.retain(|index| !is_partial(index));
        found.needs.extend(referenced);
        found.after.retain(|index| !found.needs.contains(index));
        found
    }

    /// Lets steps wait for the end of the workflows that they come after, and the first steps of a
    /// workflow for all that the step comes after which inlines it.
    fn wait_for_workflows(&mut self, found: &mut [StepDependencies]) {
        for (index, step) in self.inlined.steps.iter().enumerate() {
            let definition = self.inlined.definition(step);
            let ends = self.ends(step.scope, &definition.after, found);
            wait_for(&mut found[index], &ends);
        }
        for scope in 0..self.inlined.scopes.len() {
            let Some((parent, inliner)) = self.inlined.inliner(scope).filter(|(_, step)| !step.after.is_empty()) else {
                continue;
            };
            let mut ends = self.ends(parent, &inliner.after, found);
            ends.extend(self.actions(parent, &inliner.after));
            let inside = self.inside(scope);
            for first in first_steps(&inside, found) {
                wait_for(&mut found[first], &ends);
            }
        }
    }

    /// Returns the steps with an action among those with these names.
    fn actions(&self, scope: usize, names: &[Spanned<String>]) -> BTreeSet<usize> {
        let bindings = names.iter().filter_map(|name| self.inlined.binding(scope, &name.value));
        let action = |binding| if let Binding::Action(step) = binding { Some(step) } else { None };
        bindings.filter_map(action).collect()
    }

    /// Returns the steps whose end is that of the workflows with these names.
    fn ends(&mut self, scope: usize, names: &[Spanned<String>], found: &[StepDependencies]) -> BTreeSet<usize> {
        let mut ends = BTreeSet::new();
        for name in names {
            let scopes = match self.inlined.binding(scope, &name.value) {
                Some(Binding::Inlined(inner)) => vec![inner],
                Some(Binding::Loop(index)) => self.instances(index),
                Some(Binding::Action(_) | Binding::Unknown) | None => Vec::new(),
            };
            for scope in scopes {
                ends.extend(end_steps(&self.inside(scope), found));
            }
        }
        ends
    }

    /// Lets each instance of a loop with `max_parallel: n` wait for the end of the one that is n
    /// places before it. With `fail_fast` it also needs all that have to be finished before it
    /// starts: those before these are needed by them. With `canary` all instances need the
    /// first one.
    fn limit(&mut self, each: &WorkflowLoop, found: &mut [StepDependencies]) {
        let (scope, index) = each.step;
        let StepBody::Inline(body) = &self.inlined.scopes[scope].workflow.steps[index].body else { return };
        let limit = each.limit.unwrap_or(usize::MAX);
        let inside: Vec<StepSet> = each.instances.iter().map(|(_, scope)| self.inside(*scope)).collect();
        let last: Vec<BTreeSet<usize>> = inside.iter().map(|steps| last_steps(steps, found)).collect();
        let ends: Vec<BTreeSet<usize>> = inside.iter().map(|steps| end_steps(steps, found)).collect();
        for at in 1..inside.len() {
            for step in first_steps(&inside[at], found) {
                if body.canary {
                    found[step].needs.extend(last[0].iter());
                }
                if at >= limit {
                    found[step].after.extend(&ends[at - limit]);
                }
                if at >= limit && body.fail_fast {
                    let before = (at + 1).saturating_sub(2 * limit)..=at - limit;
                    found[step].needs.extend(last[before].iter().flatten());
                }
                let StepDependencies { needs, after, .. } = &mut found[step];
                after.retain(|index| !needs.contains(index));
            }
        }
    }

    /// Adds what a step, or one that inlines its workflow, needs and requires.
    fn written(&mut self, scope: usize, step: &Step, found: &mut StepDependencies) {
        self.steps(scope, &step.needs, &mut found.needs);
        step.when.iter().for_each(|when| self.expression(when, scope, &mut found.needs));
    }

    fn steps(&mut self, scope: usize, names: &[Spanned<String>], found: &mut BTreeSet<usize>) {
        for name in names {
            self.need(scope, &name.value, found);
        }
    }

    /// Adds the step `name`, or all steps of the workflow that it inlines.
    fn need(&mut self, scope: usize, name: &str, found: &mut BTreeSet<usize>) {
        match self.inlined.binding(scope, name) {
            Some(Binding::Action(step)) => {
                found.insert(step);
            }
            Some(Binding::Inlined(inner)) => found.extend(self.inside(inner).iter()),
            Some(Binding::Loop(index)) => {
                for scope in self.instances(index) {
                    found.extend(self.inside(scope).iter());
                }
            }
            Some(Binding::Unknown) | None => {}
        }
    }

    /// Returns all steps of a scope and of the workflows that it inlines.
    fn inside(&mut self, scope: usize) -> StepSet {
        if let Some(known) = self.inside.get(&scope) {
            return Rc::clone(known);
        }
        let scopes = &self.inlined.scopes;
        let prefix = scopes[scope].prefix.as_str();
        let steps = self.inlined.steps.iter().enumerate();
        let inside = steps.filter(|(_, step)| scopes[step.scope].prefix.starts_with(prefix)).map(|(index, _)| index);
        let found: StepSet = Rc::new(inside.collect());
        self.inside.insert(scope, Rc::clone(&found));
        found
    }

    /// Adds the steps that an expression refers to, also through inputs and outputs of inlined
    /// workflows.
    fn expression(&mut self, expression: &SpannedExpression, scope: usize, found: &mut BTreeSet<usize>) {
        let inlined = self.inlined;
        for resolved in inlined.resolve_all(scope, expression).filter_map(|(_, resolved)| resolved.ok()) {
            match resolved.target {
                ReferenceTarget::Input { scope, name } => found.extend(self.input(scope, &name).iter()),
                ReferenceTarget::Output { step }
                | ReferenceTarget::Skipped { step }
                | ReferenceTarget::Failed { step } => {
                    found.insert(step);
                }
                ReferenceTarget::Inlined { scope, name: Some(name) } => found.extend(self.output(scope, &name).iter()),
                ReferenceTarget::Inlined { scope, name: None } => self.all_outputs(scope, found),
                ReferenceTarget::Loop { index } => {
                    self.instances(index).into_iter().for_each(|scope| self.all_outputs(scope, found));
                }
                ReferenceTarget::LoopSkipped { index } | ReferenceTarget::LoopFailed { index } => {
                    for scope in self.instances(index) {
                        found.extend(self.inside(scope).iter());
                    }
                }
                ReferenceTarget::InlinedSkipped { scope } | ReferenceTarget::InlinedFailed { scope } => found.extend(self.inside(scope).iter()),
                ReferenceTarget::RunId
                | ReferenceTarget::RunWorkflow
                | ReferenceTarget::RunChanged
                | ReferenceTarget::RunOutcome
                | ReferenceTarget::Item
                // Inputs decide the items.
                | ReferenceTarget::ScopeItem { .. } => {}
            }
        }
    }

    /// Returns the scopes of the instances of a loop.
    fn instances(&self, index: usize) -> Vec<usize> {
        self.inlined.loops[index].instances.iter().map(|(_, scope)| *scope).collect()
    }

    fn all_outputs(&mut self, scope: usize, found: &mut BTreeSet<usize>) {
        for (name, _) in &self.inlined.scopes[scope].workflow.outputs {
            found.extend(self.output(scope, &name.value).iter());
        }
    }

    /// Returns the steps that an output of an inlined workflow needs.
    fn output(&mut self, scope: usize, name: &str) -> StepSet {
        let key = (scope, name.to_owned());
        if let Some(known) = self.outputs.get(&key) {
            return Rc::clone(known);
        }
        let outputs = &self.inlined.scopes[scope].workflow.outputs;
        let template = outputs.iter().find(|(output, _)| output.value == name).map(|(_, template)| template);
        let found = self.template(template, scope);
        self.outputs.insert(key, Rc::clone(&found));
        found
    }

    /// Returns the steps that an input of an inlined workflow needs; none for inputs of the
    /// workflow itself.
    fn input(&mut self, scope: usize, name: &str) -> StepSet {
        let key = (scope, name.to_owned());
        if let Some(known) = self.inputs.get(&key) {
            return Rc::clone(known);
        }
        let found = match self.inlined.inliner(scope) {
            Some((parent, step)) => self.template(step.with.entry(name), parent),
            None => Rc::default(),
        };
        self.inputs.insert(key, Rc::clone(&found));
        found
    }

    /// Returns the steps that a value needs.
    fn template(&mut self, template: Option<&SpannedTemplate>, scope: usize) -> StepSet {
        let mut found = BTreeSet::new();
        for expression in template.into_iter().flat_map(SpannedTemplate::expressions) {
            self.expression(expression, scope, &mut found);
        }
        Rc::new(found)
    }
}
