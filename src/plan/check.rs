use std::{collections::HashSet, sync::Arc};

use super::{
    expand::{Expanded, Place, Unit},
    fit::Fit,
    inputs,
    schema::{Kinds, Schema},
    scope::Names,
};
use crate::workflow::{
    Body, Diagnostic, ForEach, Piece, Placed, Source, Spanned, Step, Template, TemplateKind, Workflow,
    nearest::did_you_mean,
};

/// Every mistake that can be seen without input values, but for circles.
pub(super) fn check(expanded: &Expanded<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (scope, place) in expanded.places.iter().enumerate() {
        let checker = Checker { expanded, scope, place };
        checker.workflow(&mut found);
    }
    for unit in &expanded.units {
        check_with(expanded, unit, &mut found);
    }
    found
}

struct Checker<'a> {
    expanded: &'a Expanded<'a>,
    scope: usize,
    place: &'a Place,
}

impl<'a> Checker<'a> {
    fn workflow(&self, found: &mut Vec<Diagnostic>) {
        let workflow = &self.place.workflow;
        for input in &workflow.inputs {
            if let Some(default) = &input.default {
                found.extend(computed_default(&workflow.source, default));
                found.extend(inputs::check(&workflow.source, input, default));
            }
        }
        for step in &workflow.steps {
            self.step(step, found);
        }
        let names = Names::of_scope(self.expanded, self.scope);
        for lock in &workflow.locks {
            self.expressions(lock, &names, found);
        }
        for (_, output) in &workflow.outputs {
            self.expressions(output, &names, found);
        }
        found.extend(unused_inputs(workflow));
    }

    fn step(&self, step: &'a Step, found: &mut Vec<Diagnostic>) {
        let outside = Names::of_scope(self.expanded, self.scope);
        let inside = Names::of_step(self.expanded, self.scope, step);
        self.expressions(&step.with, &inside, found);
        found.extend(step.needs.iter().filter_map(|need| self.need(step, need)));
        if let Some(when) = &step.when {
            self.expression(when, &outside, found);
            found.extend(self.must_be(when, &outside, Kinds::BOOLEAN, "when"));
        }
        match &step.body {
            Body::Action(body) => {
                if let Some(each) = &body.for_each {
                    self.for_each(each, &outside, &inside, found);
                }
                if let Some(question) = &body.approval {
                    self.approval(question, &outside, found);
                }
            }
            Body::Inline { .. } => self.inlined(step, found),
            Body::Unknown => {}
        }
    }

    fn approval(&self, question: &'a Template, outside: &Names<'a>, found: &mut Vec<Diagnostic>) {
        self.expressions(question, outside, found);
        if let TemplateKind::Expression(placed) = &question.kind {
            found.extend(self.must_be(placed, outside, Kinds::STRING, "approval"));
        }
    }

    fn for_each(&self, each: &ForEach, outside: &Names<'a>, inside: &Names<'a>, found: &mut Vec<Diagnostic>) {
        self.expression(&each.items, outside, found);
        found.extend(self.must_be(&each.items, outside, Kinds::ARRAY, "for_each"));
        let scalar = Kinds::STRING.union(Kinds::NUMBER).union(Kinds::BOOLEAN);
        if let Some(key) = &each.key {
            self.expression(key, inside, found);
            found.extend(self.must_be(key, inside, scalar, "key"));
        } else if let Some((name, item)) = &inside.variable
            && !item.kinds().meets(scalar)
        {
            let message = format!("for_each needs `key`: its items are {}", item.kinds().describe());
            let hint = format!("add a key that tells them apart, such as `key: ${{{{ {name}.name }}}}`");
            found.push(self.diagnostic("plan::type", &each.variable, message, "no text or number").with_hint(hint));
        }
    }

    // Checks what an inlined workflow is given.
    fn inlined(&self, step: &'a Step, found: &mut Vec<Diagnostic>) {
        let meaning = self.expanded.meanings[self.scope].get(&step.name.value);
        let Some(super::expand::Meaning::Inlined(scope)) = meaning else { return };
        let inner = &self.expanded.places[*scope].workflow;
        let names = Names::of_scope(self.expanded, self.scope);
        let TemplateKind::Map(entries) = &step.with.kind else { return };
        for (key, value) in entries {
            let Some(input) = inner.inputs.iter().find(|input| input.name.value == key.value) else {
                let hint = did_you_mean(&key.value, inner.inputs.iter().map(|input| input.name.value.as_str()));
                let message = format!("the workflow {:?} has no input {:?}", inner.name.value, key.value);
                found.push(self.diagnostic("plan::unknown_input", key, message, "unknown input").with_hint(hint));
                continue;
            };
            let path = format!("input {:?} of {:?}", input.name.value, inner.name.value);
            if input.secret && value.to_json().is_some() {
                found.extend(inputs::check(&self.place.workflow.source, input, value));
            } else {
                let fit = Fit { source: &self.place.workflow.source, names: Some(&names), hide: input.secret };
                found.extend(fit.check(value, Schema::new(&input.schema), &path));
            }
        }
        for input in inner.inputs.iter().filter(|input| input.default.is_none()) {
            if !entries.iter().any(|(key, _)| key.value == input.name.value) {
                let message = format!("the workflow {:?} needs the input {:?}", inner.name.value, input.name.value);
                found.push(self.diagnostic("plan::missing_input", &step.name, message, "not given"));
            }
        }
    }

    fn need(&self, step: &Step, need: &Spanned<String>) -> Option<Diagnostic> {
        let meanings = &self.expanded.meanings[self.scope];
        if need.value == step.name.value {
            let message = format!("step {:?} needs itself", step.name.value);
            return Some(self.diagnostic("plan::cycle", need, message, "the step itself"));
        }
        if meanings.contains_key(&need.value) {
            return None;
        }
        let hint = did_you_mean(&need.value, self.place.workflow.steps.iter().map(|step| step.name.value.as_str()));
        let message = format!("there is no step {:?}", need.value);
        Some(self.diagnostic("plan::unknown_step", need, message, "unknown step").with_hint(hint))
    }

    fn expressions(&self, template: &'a Template, names: &Names<'a>, found: &mut Vec<Diagnostic>) {
        match &template.kind {
            TemplateKind::Expression(placed) => self.expression(placed, names, found),
            TemplateKind::Pieces(pieces) => {
                for piece in pieces {
                    let Piece::Expression(placed) = piece else { continue };
                    self.expression(placed, names, found);
                    let scalar = Kinds::STRING.union(Kinds::NUMBER).union(Kinds::BOOLEAN);
                    found.extend(self.must_be(placed, names, scalar, "a part of a text"));
                }
            }
            TemplateKind::List(items) => items.iter().for_each(|item| self.expressions(item, names, found)),
            TemplateKind::Map(entries) => entries.iter().for_each(|(_, value)| self.expressions(value, names, found)),
            _ => {}
        }
    }

    fn expression(&self, placed: &Placed, names: &Names<'a>, found: &mut Vec<Diagnostic>) {
        let source = &self.place.workflow.source;
        for reference in placed.expression.references() {
            let Err(dead) = names.resolve(reference) else { continue };
            let span = placed.place(source, &dead.range);
            found.push(
                Diagnostic::new(source, "plan::reference", span, dead.message, "leads nowhere").with_hint(dead.hint),
            );
        }
    }

    fn must_be(&self, placed: &Placed, names: &Names<'a>, wanted: Kinds, what: &str) -> Option<Diagnostic> {
        let kinds = names.type_of(placed).kinds();
        if kinds.meets(wanted) {
            return None;
        }
        let source = &self.place.workflow.source;
        let message = format!("{what} must be {}, this is {}", wanted.describe(), kinds.describe());
        let label = format!("expected {}", wanted.describe());
        Some(Diagnostic::new(source, "plan::type", placed.trimmed(source), message, label))
    }

    fn diagnostic(&self, code: &'static str, at: &Spanned<String>, message: String, label: &str) -> Diagnostic {
        Diagnostic::new(&self.place.workflow.source, code, at.span, message, label)
    }
}

// What an action is given.
fn check_with(expanded: &Expanded<'_>, unit: &Unit<'_>, found: &mut Vec<Diagnostic>) {
    let Some(action) = unit.action else { return };
    let step = expanded.step(unit);
    let names = Names::of_step(expanded, unit.scope, step);
    let source = &expanded.places[unit.scope].workflow.source;
    let fit = Fit { source, names: Some(&names), hide: false };
    found.extend(fit.check(&step.with, Schema::new(action.input_schema()), "with"));
}

fn computed_default(source: &Arc<Source>, default: &Template) -> Option<Diagnostic> {
    let first = default.expressions().into_iter().next()?;
    let message = "a default cannot be computed";
    Some(Diagnostic::new(source, "plan::default", first.trimmed(source), message, "no expression here"))
}

// What could not be read may be what uses an input.
fn unused_inputs(workflow: &Workflow) -> Vec<Diagnostic> {
    if !workflow.complete {
        return Vec::new();
    }
    let used: HashSet<&str> = workflow
        .expressions()
        .into_iter()
        .flat_map(|placed| placed.expression.references())
        .filter(|reference| reference.root() == "inputs")
        .filter_map(|reference| reference.field(1))
        .collect();
    let unused = workflow.inputs.iter().filter(|input| !used.contains(input.name.value.as_str()));
    unused
        .map(|input| {
            let message = format!("input {:?} is not used", input.name.value);
            Diagnostic::new(&workflow.source, "plan::unused_input", input.name.span, message, "never referred to")
                .with_hint("remove it, or refer to it with ${{ inputs.… }}".to_owned())
        })
        .collect()
}
