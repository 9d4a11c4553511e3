use std::{
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use super::expand::{Expanded, Meaning, Unit};
use crate::workflow::{Placed, Reference, Template, TemplateKind};

type Units = Rc<BTreeSet<usize>>;

/// For every unit the units it depends on directly.
///
/// No scope may have a circle: expressions between scopes would be followed forever.
pub(super) fn dependencies(expanded: &Expanded<'_>) -> Vec<BTreeSet<usize>> {
    let mut finder = Finder { expanded, inputs: HashMap::new(), outputs: HashMap::new(), within: HashMap::new() };
    expanded.units.iter().map(|unit| finder.unit(unit)).collect()
}

struct Finder<'a> {
    expanded: &'a Expanded<'a>,
    // What the inputs and outputs of inlined workflows lead to. Each is followed once: they can name each other's.
    inputs: HashMap<(usize, &'a str), Units>,
    outputs: HashMap<(usize, &'a str), Units>,
    within: HashMap<usize, Units>,
}

impl<'a> Finder<'a> {
    fn unit(&mut self, unit: &Unit<'_>) -> BTreeSet<usize> {
        let expanded = self.expanded;
        let step = expanded.step(unit);
        let mut found = BTreeSet::new();
        for placed in step.expressions() {
            self.expression(placed, unit.scope, &mut found);
        }
        step.needs.iter().for_each(|need| self.need(unit.scope, &need.value, &mut found));
        let mut scope = unit.scope;
        while let Some((parent, inliner)) = expanded.inliner(scope) {
            inliner.needs.iter().for_each(|need| self.need(parent, &need.value, &mut found));
            inliner.when.iter().for_each(|when| self.expression(when, parent, &mut found));
            scope = parent;
        }
        found
    }

    fn need(&mut self, scope: usize, name: &str, found: &mut BTreeSet<usize>) {
        let expanded = self.expanded;
        match expanded.meanings[scope].get(name) {
            Some(Meaning::Action(unit)) => {
                found.insert(*unit);
            }
            Some(Meaning::Inlined(inner)) => found.extend(self.within(*inner).iter()),
            Some(Meaning::Unknown) | None => {}
        }
    }

    // All units of a scope and of what it inlines.
    fn within(&mut self, scope: usize) -> Units {
        if let Some(known) = self.within.get(&scope) {
            return Rc::clone(known);
        }
        let prefix = self.expanded.places[scope].prefix.as_str();
        let places = &self.expanded.places;
        let units = self.expanded.units.iter().enumerate();
        let inside = units.filter(|(_, unit)| places[unit.scope].prefix.starts_with(prefix)).map(|(index, _)| index);
        let found: Units = Rc::new(inside.collect());
        self.within.insert(scope, Rc::clone(&found));
        found
    }

    fn expression(&mut self, placed: &'a Placed, scope: usize, found: &mut BTreeSet<usize>) {
        for reference in placed.expression.references() {
            match reference.root() {
                "steps" => self.step(reference, scope, found),
                "inputs" => {
                    if let Some(name) = reference.field(1) {
                        found.extend(self.input(scope, name).iter());
                    }
                }
                _ => {}
            }
        }
    }

    fn step(&mut self, reference: &'a Reference, scope: usize, found: &mut BTreeSet<usize>) {
        let expanded = self.expanded;
        let Some(name) = reference.field(1) else { return };
        match (expanded.meanings[scope].get(name), reference.field(2), reference.field(3)) {
            (Some(Meaning::Inlined(inner)), Some("outputs"), Some(output)) => {
                found.extend(self.output(*inner, output).iter());
            }
            (Some(Meaning::Inlined(inner)), Some("outputs"), None) => {
                for (output, _) in &expanded.places[*inner].workflow.outputs {
                    found.extend(self.output(*inner, &output.value).iter());
                }
            }
            _ => self.need(scope, name, found),
        }
    }

    fn output(&mut self, scope: usize, name: &'a str) -> Units {
        if let Some(known) = self.outputs.get(&(scope, name)) {
            return Rc::clone(known);
        }
        let outputs = &self.expanded.places[scope].workflow.outputs;
        let template = outputs.iter().find(|(output, _)| output.value == name).map(|(_, template)| template);
        let found = self.template(template, scope);
        self.outputs.insert((scope, name), Rc::clone(&found));
        found
    }

    fn input(&mut self, scope: usize, name: &'a str) -> Units {
        if let Some(known) = self.inputs.get(&(scope, name)) {
            return Rc::clone(known);
        }
        let found = match self.expanded.inliner(scope) {
            Some((parent, step)) => self.template(entry(&step.with, name), parent),
            None => Rc::default(),
        };
        self.inputs.insert((scope, name), Rc::clone(&found));
        found
    }

    fn template(&mut self, template: Option<&'a Template>, scope: usize) -> Units {
        let mut found = BTreeSet::new();
        for placed in template.into_iter().flat_map(Template::expressions) {
            self.expression(placed, scope, &mut found);
        }
        Rc::new(found)
    }
}

/// The value under `name` of a map.
pub(super) fn entry<'a>(template: &'a Template, name: &str) -> Option<&'a Template> {
    match &template.kind {
        TemplateKind::Map(entries) => entries.iter().find(|(key, _)| key.value == name).map(|(_, value)| value),
        _ => None,
    }
}
