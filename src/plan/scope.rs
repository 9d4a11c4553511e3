use std::ops::Range;

use super::{
    expand::{Expanded, Meaning},
    schema::{Kinds, Schema},
    typing::{Dead, Type},
};
use crate::workflow::{Body, Outcome, Placed, Reference, Step, Template, TemplateKind, nearest::did_you_mean};

/// What expressions at one place can use: the names of a scope, and the loop variable if there is one.
#[derive(Clone)]
pub(super) struct Names<'a> {
    pub(super) expanded: &'a Expanded<'a>,
    pub(super) scope: usize,
    pub(super) variable: Option<(&'a str, Type<'a>)>,
}

/// A reference that leads nowhere.
pub(super) struct DeadReference {
    /// The segments that do not fit, in the expression's source.
    pub(super) range: Range<usize>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl<'a> Names<'a> {
    pub(super) fn of_scope(expanded: &'a Expanded<'a>, scope: usize) -> Self {
        Self { expanded, scope, variable: None }
    }

    /// The names that `with` and `key` of a step can use.
    pub(super) fn of_step(expanded: &'a Expanded<'a>, scope: usize, step: &'a Step) -> Self {
        let names = Self::of_scope(expanded, scope);
        let Body::Action(body) = &step.body else { return names };
        let Some(each) = &body.for_each else { return names };
        let item = names.type_of(&each.items).item();
        Self { variable: Some((&each.variable.value, item)), ..names }
    }

    /// What an expression's value is known to be.
    pub(super) fn type_of(&self, placed: &Placed) -> Type<'a> {
        match placed.expression.outcome() {
            Outcome::Reference => {
                let reference = placed.expression.as_reference();
                reference.and_then(|reference| self.resolve(reference).ok()).unwrap_or(Type::Any)
            }
            Outcome::Boolean => Type::Kind(Kinds::BOOLEAN),
            Outcome::String => Type::Kind(Kinds::STRING),
            Outcome::Integer => Type::Kind(Kinds::INTEGER),
            Outcome::List => Type::Kind(Kinds::ARRAY),
            Outcome::Object => Type::Kind(Kinds::OBJECT),
            Outcome::Any => Type::Any,
        }
    }

    /// What a template's value is known to be.
    pub(super) fn template_type(&self, template: &'a Template) -> Type<'a> {
        match &template.kind {
            TemplateKind::Null => Type::Kind(Kinds::NULL),
            TemplateKind::Bool(_) => Type::Kind(Kinds::BOOLEAN),
            TemplateKind::Number(number) => Type::Kind(Kinds::of(&number.clone().into())),
            TemplateKind::Text(_) | TemplateKind::Pieces(_) => Type::Kind(Kinds::STRING),
            TemplateKind::Expression(placed) => self.type_of(placed),
            TemplateKind::List(_) => Type::Kind(Kinds::ARRAY),
            TemplateKind::Map(entries) => Type::Written(Box::new(self.clone()), entries),
            TemplateKind::Unknown => Type::Any,
        }
    }

    /// What a reference leads to.
    pub(super) fn resolve(&self, reference: &Reference) -> Result<Type<'a>, DeadReference> {
        let root = reference.root();
        if let Some((name, item)) = &self.variable
            && root == *name
        {
            return descend(item.clone(), reference, 1);
        }
        match root {
            "inputs" => self.input(reference),
            "steps" => self.step(reference),
            "run" => run(reference),
            _ => {
                let mut known = vec!["inputs", "steps", "run"];
                known.extend(self.variable.iter().map(|(name, _)| *name));
                let hint = did_you_mean(root, known.iter().copied())
                    .unwrap_or_else(|| format!("expressions can use {}", known.join(", ")));
                Err(dead(reference, 0, format!("unknown name {root:?}"), hint))
            }
        }
    }

    fn input(&self, reference: &Reference) -> Result<Type<'a>, DeadReference> {
        let inputs = &self.expanded.places[self.scope].workflow.inputs;
        let Some(name) = reference.field(1) else {
            return Err(dead(reference, 0, "inputs is not a value of its own".into(), "write inputs.NAME".into()));
        };
        if let Some(input) = inputs.iter().find(|input| input.name.value == name) {
            return descend(Type::Schema(Schema::new(&input.schema)), reference, 2);
        }
        let names = inputs.iter().map(|input| input.name.value.as_str());
        let hint = did_you_mean(name, names).unwrap_or_else(|| "add it to `inputs`".into());
        Err(dead(reference, 1, format!("there is no input {name:?}"), hint))
    }

    fn step(&self, reference: &Reference) -> Result<Type<'a>, DeadReference> {
        let Some(name) = reference.field(1) else {
            let hint = "write steps.NAME.outputs.FIELD".into();
            return Err(dead(reference, 0, "steps is not a value of its own".into(), hint));
        };
        let meanings = &self.expanded.meanings[self.scope];
        let Some(meaning) = meanings.get(name) else {
            let steps = &self.expanded.places[self.scope].workflow.steps;
            let hint = did_you_mean(name, steps.iter().map(|step| step.name.value.as_str()))
                .unwrap_or_else(|| "steps are named in `steps`".into());
            return Err(dead(reference, 1, format!("there is no step {name:?}"), hint));
        };
        match reference.field(2) {
            Some("outputs") => self.outputs(meaning, name, reference),
            Some("skipped") => descend(Type::Kind(Kinds::BOOLEAN), reference, 3),
            Some(other) => {
                let hint = if reference.segments.len() == 3 {
                    format!("did you mean steps.{name}.outputs.{other}?")
                } else {
                    "a step has outputs and skipped".to_owned()
                };
                Err(dead(reference, 2, format!("step {name:?} has no {other:?}"), hint))
            }
            None => {
                let hint = format!("write steps.{name}.outputs.FIELD");
                Err(dead(reference, 1, format!("step {name:?} is not a value of its own"), hint))
            }
        }
    }

    fn outputs(&self, meaning: &Meaning, name: &str, reference: &Reference) -> Result<Type<'a>, DeadReference> {
        let outputs = match meaning {
            Meaning::Unknown => Type::Any,
            Meaning::Action(unit) => self.action_outputs(*unit),
            Meaning::Inlined(scope) => {
                let inner = Names::of_scope(self.expanded, *scope);
                Type::Written(Box::new(inner), &self.expanded.places[*scope].workflow.outputs)
            }
        };
        let Some(segment) = reference.segments.get(3) else { return Ok(outputs) };
        let what = match meaning {
            Meaning::Action(unit) => {
                format!("step {name:?} ({})", self.expanded.body(&self.expanded.units[*unit]).uses.value)
            }
            Meaning::Inlined(_) | Meaning::Unknown => format!("step {name:?}"),
        };
        match outputs.below(&segment.key, &what) {
            Ok(below) => descend(below, reference, 4),
            Err(Dead { message, hint }) => {
                let message = message.replace("has no field", "has no output");
                Err(DeadReference { range: segment.range.clone(), message, hint })
            }
        }
    }

    fn action_outputs(&self, unit: usize) -> Type<'a> {
        let unit = &self.expanded.units[unit];
        let each = unit.action.map_or(Type::Any, |action| Type::Schema(Schema::new(action.output_schema())));
        let repeated = self.expanded.body(unit).for_each.is_some();
        if repeated { Type::Instances(Box::new(each)) } else { each }
    }
}

fn run<'a>(reference: &Reference) -> Result<Type<'a>, DeadReference> {
    if let Some("id" | "workflow") = reference.field(1) {
        return descend(Type::Kind(Kinds::STRING), reference, 2);
    }
    let at = 1.min(reference.segments.len() - 1);
    Err(dead(reference, at, "run has only id and workflow".into(), "write run.id or run.workflow".into()))
}

// Follows the segments from `from` on.
fn descend<'a>(start: Type<'a>, reference: &Reference, from: usize) -> Result<Type<'a>, DeadReference> {
    let mut found = start;
    for at in from..reference.segments.len() {
        let so_far = written(reference, at);
        found = found.below(&reference.segments[at].key, &so_far).map_err(|Dead { message, hint }| DeadReference {
            range: reference.segments[at].range.clone(),
            message,
            hint,
        })?;
    }
    Ok(found)
}

fn written(reference: &Reference, until: usize) -> String {
    let keys: Vec<_> = reference.segments[..until].iter().map(|segment| segment.key.to_string()).collect();
    keys.join(".").replace(".[", "[")
}

fn dead(reference: &Reference, at: usize, message: String, hint: String) -> DeadReference {
    DeadReference { range: reference.segments[at].range.clone(), message, hint: Some(hint) }
}
