use std::{collections::HashSet, sync::Arc};

use super::{
    inlined_workflow::{ActionStep, InlinedWorkflow, ScopeInstance},
    inputs,
    names::{Binding, StepNames},
    schema::{Kinds, Schema},
    schema_check::SchemaCheck,
    type_scope::TypeScope,
};
use crate::workflow::{
    Diagnostic, ExpressionUse, ForEachDefinition, Reference, SourceFile, Spanned, SpannedExpression, SpannedTemplate,
    Step, StepBody, TemplateKind, Workflow, suggest::did_you_mean,
};

/// Returns each error that can be found without input values, except cycles and locks.
pub(super) fn check(inlined: &InlinedWorkflow) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (scope, instance) in inlined.originals() {
        ScopeCheck { inlined, scope, instance }.workflow(&mut found);
    }
    for step in &inlined.steps {
        check_action_input(inlined, step, &mut found);
    }
    found
}

/// Kinds of values that can be part of a text, or a key.
const SCALAR: Kinds = Kinds::STRING.union(Kinds::NUMBER).union(Kinds::BOOLEAN);

/// Check of one workflow of an [`InlinedWorkflow`].
struct ScopeCheck<'a> {
    /// The checked workflow with all that it inlines.
    inlined: &'a InlinedWorkflow,
    /// Index of the scope that is checked.
    scope: usize,
    instance: &'a ScopeInstance,
}

impl<'a> ScopeCheck<'a> {
    /// Checks inputs, steps, locks and outputs of the workflow.
    fn workflow(&self, found: &mut Vec<Diagnostic>) {
        let workflow = &self.instance.workflow;
        for input in &workflow.inputs {
            if let Some(default) = &input.default {
                found.extend(computed_default(&workflow.source, default));
                found.extend(inputs::check(&workflow.source, &self.inlined.patterns, input, default));
            }
        }
        for step in &workflow.steps {
            self.step(step, found);
        }
        let names = TypeScope::of_scope(self.inlined, self.scope);
        for check in &workflow.checks {
            self.expression(&check.that, &names, found);
            found.extend(self.must_be(&check.that, &names, Kinds::BOOLEAN, "that"));
            self.expressions(&check.message, &names, found);
        }
        for lock in &workflow.locks {
            self.expressions(lock, &names, found);
        }
        for (_, output) in &workflow.outputs {
            self.expressions(output, &names, found);
        }
        found.extend(unused_inputs(workflow));
    }

    /// Checks one step. `with`, `key` and `group` can use the loop variable, all other expressions
    /// cannot.
    fn step(&self, step: &'a Step, found: &mut Vec<Diagnostic>) {
        let outside = TypeScope::around_step(self.inlined, self.scope, step);
        let inside = TypeScope::of_step(self.inlined, self.scope, step);
        self.expressions(&step.with, &inside, found);
        let listed = [&step.needs, &step.after, &step.needs_each].into_iter().flatten();
        found.extend(listed.filter_map(|need| self.need(step, need)));
        found.extend(step.needs_each.iter().filter_map(|need| self.loop_need(need)));
        if let Some(when) = &step.when {
            // Each instance of a workflow has a condition of its own.
            let names = if matches!(step.body, StepBody::Inline(_)) { &inside } else { &outside };
            self.expression(when, names, found);
            found.extend(self.must_be(when, names, Kinds::BOOLEAN, "when"));
        }
        if let Some(each) = step.for_each() {
            self.for_each(each, &outside, &inside, found);
        }
        match &step.body {
            StepBody::Action(body) => {
                if let Some(question) = &body.approval {
                    self.approval(question, &outside, found);
                }
            }
            StepBody::Inline(body) => {
                if let Some(limit) = &body.max_parallel {
                    self.expression(limit, &outside, found);
                    found.extend(self.must_be(limit, &outside, Kinds::NUMBER, "max_parallel"));
                }
                self.inlined_inputs(step, &inside, found);
            }
            StepBody::Unknown => {}
        }
    }

    /// Checks the question of an approval, which must be text.
    fn approval(&self, question: &'a SpannedTemplate, outside: &TypeScope<'a>, found: &mut Vec<Diagnostic>) {
        self.expressions(question, outside, found);
        if let TemplateKind::Expression(expression) = &question.kind {
            found.extend(self.must_be(expression, outside, Kinds::STRING, "approval"));
        }
    }

    /// Checks list, key and group of a loop. Items that are not scalar need an explicit key.
    fn for_each(
        &self,
        each: &ForEachDefinition,
        outside: &TypeScope<'a>,
        inside: &TypeScope<'a>,
        found: &mut Vec<Diagnostic>,
    ) {
        self.expression(&each.items, outside, found);
        found.extend(self.must_be(&each.items, outside, Kinds::ARRAY, "for_each"));
        if let Some(group) = &each.group {
            self.expression(group, inside, found);
            found.extend(self.must_be(group, inside, SCALAR, "group"));
        }
        if let Some(key) = &each.key {
            self.expression(key, inside, found);
            found.extend(self.must_be(key, inside, SCALAR, "key"));
        } else if let Some((name, item)) = inside.variable()
            && !item.kinds().meets(SCALAR)
        {
            let message = format!("for_each needs `key`: its items are {}", item.kinds().describe());
            let hint = format!("add a key that is different for each item, such as `key: ${{{{ {name}.name }}}}`");
            found.push(self.diagnostic("plan::type", &each.variable, message, "not text or a number").with_hint(hint));
        }
    }

    /// Checks the inputs that a step gives to the workflow that it inlines.
    fn inlined_inputs(&self, step: &'a Step, names: &TypeScope<'a>, found: &mut Vec<Diagnostic>) {
        let binding = self.inlined.binding(self.scope, &step.name.value);
        let TemplateKind::Map(entries) = &step.with.kind else { return };
        let scope = match binding {
            Some(Binding::Inlined(scope)) => scope,
            Some(Binding::Loop(index)) => match self.inlined.loops[index].instances.first() {
                Some((_, scope)) => *scope,
                None => return,
            },
            Some(Binding::Action(_) | Binding::Unknown) | None => return,
        };
        let inner = &self.inlined.scopes[scope].workflow;
        for (key, value) in entries {
            self.inlined_input(inner, key, value, names, found);
        }
        for input in inner.inputs.iter().filter(|input| input.default.is_none()) {
            if !entries.iter().any(|(key, _)| key.value == input.name.value) {
                let message = format!("the workflow {:?} needs the input {:?}", inner.name.value, input.name.value);
                found.push(self.diagnostic("plan::missing_input", &step.name, message, "not given"));
            }
        }
    }

    /// Checks one input of an inlined workflow. A literal for a secret input must be a reference to
    /// a secret.
    fn inlined_input(
        &self,
        inner: &'a Workflow,
        key: &Spanned<String>,
        value: &'a SpannedTemplate,
        outside: &TypeScope<'a>,
        found: &mut Vec<Diagnostic>,
    ) {
        let Some(input) = inner.inputs.iter().find(|input| input.name.value == key.value) else {
            let hint = did_you_mean(&key.value, inner.inputs.iter().map(|input| input.name.value.as_str()));
            let message = format!("the workflow {:?} has no input {:?}", inner.name.value, key.value);
            found.push(self.diagnostic("plan::unknown_input", key, message, "unknown input").with_hint(hint));
            return;
        };
        let (source, patterns) = (&self.instance.workflow.source, &*self.inlined.patterns);
        if input.secret && value.to_json().is_some() {
            found.extend(inputs::check(source, patterns, input, value));
        } else {
            let path = format!("input {:?} of {:?}", input.name.value, inner.name.value);
            let check = SchemaCheck { source, patterns, scope: Some(outside), hide: input.secret };
            found.extend(check.check(value, Schema::new(&input.schema), &path));
        }
    }

    /// Checks one entry of `needs`, `after` or `needs_each`: another step of the same workflow.
    fn need(&self, step: &Step, need: &Spanned<String>) -> Option<Diagnostic> {
        if need.value == step.name.value {
            let message = format!("step {:?} needs itself", step.name.value);
            return Some(self.diagnostic("plan::cycle", need, message, "the step itself"));
        }
        if self.inlined.binding(self.scope, &need.value).is_some() {
            return None;
        }
        let steps = self.instance.workflow.steps.iter();
        let hint = did_you_mean(&need.value, steps.map(|step| step.name.value.as_str()));
        let message = format!("there is no step {:?}", need.value);
        Some(self.diagnostic("plan::unknown_step", need, message, "unknown step").with_hint(hint))
    }

    /// Checks that an entry of `needs_each` is a step with instances.
    fn loop_need(&self, need: &Spanned<String>) -> Option<Diagnostic> {
        let steps = &self.instance.workflow.steps;
        let step = steps.iter().find(|step| step.name.value == need.value)?;
        if matches!(&step.body, StepBody::Action(body) if body.for_each.is_some()) {
            return None;
        }
        let message = format!("needs_each requires a step with for_each, and {:?} has none", need.value);
        let hint = "list it under `needs`".to_owned();
        Some(self.diagnostic("plan::type", need, message, "has no instances").with_hint(hint))
    }

    /// Checks each expression of a template. One inside a text must have a scalar value.
    fn expressions(&self, template: &'a SpannedTemplate, names: &TypeScope<'a>, found: &mut Vec<Diagnostic>) {
        template.visit(&mut |expression, used_as| {
            self.expression(expression, names, found);
            if used_as == ExpressionUse::TextPart {
                found.extend(self.must_be(expression, names, SCALAR, "a part of a text"));
            }
        });
    }

    /// Checks that each reference of an expression has a target.
    fn expression(&self, expression: &SpannedExpression, names: &TypeScope<'a>, found: &mut Vec<Diagnostic>) {
        let source = &self.instance.workflow.source;
        for reference in expression.expression.references() {
            let Err(dead) = names.resolve(reference) else { continue };
            let span = expression.span_of(source, &dead.range);
            found
                .push(Diagnostic::new(source, "plan::reference", span, dead.message, "not found").with_hint(dead.hint));
        }
        if let Some(range) = expression.expression.division_by_zero() {
            let span = expression.span_of(source, &range);
            found.push(Diagnostic::new(source, "plan::no_value", span, "division by zero", "has no value"));
        }
    }

    /// Checks the kind of an expression's value. `what` names the use in the message.
    fn must_be(
        &self,
        expression: &SpannedExpression,
        names: &TypeScope<'a>,
        allowed: Kinds,
        what: &str,
    ) -> Option<Diagnostic> {
        let kinds = names.type_of(expression).kinds();
        if kinds.meets(allowed) {
            return None;
        }
        let source = &self.instance.workflow.source;
        let message = format!("{what} must be {}, this is {}", allowed.describe(), kinds.describe());
        let label = format!("expected {}", allowed.describe());
        Some(Diagnostic::new(source, "plan::type", expression.trimmed(source), message, label))
    }

    fn diagnostic(&self, code: &'static str, at: &Spanned<String>, message: String, label: &str) -> Diagnostic {
        Diagnostic::new(&self.instance.workflow.source, code, at.span, message, label)
    }
}

/// Checks the input of a step's action.
fn check_action_input(inlined: &InlinedWorkflow, step: &ActionStep, found: &mut Vec<Diagnostic>) {
    let Some(action) = &step.action else { return };
    let definition = inlined.definition(step);
    let names = TypeScope::of_step(inlined, step.scope, definition);
    let source = &inlined.scopes[step.scope].workflow.source;
    let check = SchemaCheck { source, patterns: &inlined.patterns, scope: Some(&names), hide: false };
    found.extend(check.check(&definition.with, Schema::new(action.input_schema()), "with"));
}

/// Reports the first expression in a default: defaults are used before any value is known.
fn computed_default(source: &Arc<SourceFile>, default: &SpannedTemplate) -> Option<Diagnostic> {
    let first = default.expressions().into_iter().next()?;
    let message = "a default cannot contain an expression";
    Some(Diagnostic::new(source, "plan::default", first.trimmed(source), message, "no expression here"))
}

/// Returns an error for each input that no expression uses. The unread part of an incomplete file
/// can be the user of an input, so nothing is reported there.
fn unused_inputs(workflow: &Workflow) -> Vec<Diagnostic> {
    if !workflow.complete {
        return Vec::new();
    }
    let references = workflow.expressions().into_iter().flat_map(|expression| expression.expression.references());
    let used: HashSet<&str> = references.filter_map(Reference::input_name).collect();
    let unused = workflow.inputs.iter().filter(|input| !used.contains(input.name.value.as_str()));
    unused
        .map(|input| {
            let message = format!("input {:?} is not used", input.name.value);
            Diagnostic::new(
                &workflow.source,
                "plan::unused_input",
                input.name.span,
                message,
                "no expression refers to it",
            )
            .with_hint("remove it, or refer to it with ${{ inputs.… }}".to_owned())
        })
        .collect()
}
