use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{Context, Env, Program, objects};
use serde_json::{Map, Value};

use super::{
    CompiledPlan, EvaluateError, Facts,
    compiled_expression::{Compiled, CompiledKind, CompiledPiece, CompiledTemplate, Read},
    names::{Resolved, Target},
};
use crate::workflow::Key;

/// What went wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It needs the output of a step that was skipped.
    Skipped {
        /// Index of the step.
        step: usize,
        /// Name of the step.
        name: String,
    },
    /// Anything else, in words.
    Failed(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped { name, .. } => write!(f, "step {name:?} was skipped and has no outputs"),
            Self::Failed(message) => f.write_str(message),
        }
    }
}

/// An [`EvaluateError`] that does not know its place yet.
pub(super) struct Failure {
    pub(super) expression: String,
    pub(super) reason: Reason,
}

impl Failure {
    pub(super) fn at(self, place: String) -> EvaluateError {
        EvaluateError { place, expression: self.expression, reason: self.reason }
    }

    pub(super) fn is_skipped(&self) -> bool {
        matches!(self.reason, Reason::Skipped { .. })
    }
}

/// One evaluation against the facts of a run.
pub(super) struct Evaluation<'a> {
    compiled: &'a CompiledPlan,
    facts: &'a dyn Facts,
    item: Option<&'a Value>,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(compiled: &'a CompiledPlan, facts: &'a dyn Facts, item: Option<&'a Value>) -> Self {
        Self { compiled, facts, item }
    }

    pub(super) fn template(&self, template: &CompiledTemplate) -> Result<Value, Failure> {
        match template {
            CompiledTemplate::Literal(value) => Ok(value.clone()),
            CompiledTemplate::Expression(expression) => self.value(expression),
            CompiledTemplate::Text(pieces) => self.text(pieces).map(Value::String),
            CompiledTemplate::List(items) => items.iter().map(|item| self.template(item)).collect(),
            CompiledTemplate::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| Ok((key.clone(), self.template(value)?)));
                Ok(Value::Object(entries.collect::<Result<Map<_, _>, Failure>>()?))
            }
        }
    }

    pub(super) fn condition(&self, expression: &Compiled) -> Result<bool, Failure> {
        if let Some(and) = &expression.and
            && !self.condition(and)?
        {
            return Ok(false);
        }
        match self.value(expression)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(expression.failure(format!("a condition must be true or false, this is {}", kind(&other)))),
        }
    }

    pub(super) fn list(&self, expression: &Compiled) -> Result<Vec<Value>, Failure> {
        match self.value(expression)? {
            Value::Array(items) => Ok(items),
            other => Err(expression.failure(format!("for_each needs a list, this is {}", kind(&other)))),
        }
    }

    pub(super) fn key(&self, expression: &Compiled) -> Result<String, Failure> {
        // The key is part of the instance's name, which is shown in brackets and kept in the journal.
        const LONGEST: usize = 200;
        let value = self.value(expression)?;
        let text = scalar_text(&value)
            .ok_or_else(|| expression.failure(format!("a key must be text or a number, this is {}", kind(&value))))?;
        let unfit = |c: char| c.is_control() || matches!(c, '[' | ']');
        if text.is_empty() || text.len() > LONGEST || text.contains(unfit) {
            let rule = format!("a key has 1 to {LONGEST} bytes and neither brackets nor control characters");
            return Err(expression.failure(format!("{text:?} cannot be a key: {rule}")));
        }
        Ok(text)
    }

    fn text(&self, pieces: &[CompiledPiece]) -> Result<String, Failure> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                CompiledPiece::Literal(literal) => text.push_str(literal),
                CompiledPiece::Expression(expression) => {
                    let value = self.value(expression)?;
                    let unfit = || expression.failure(format!("{} cannot be part of a text", kind(&value)));
                    text.push_str(&scalar_text(&value).ok_or_else(unfit)?);
                }
            }
        }
        Ok(text)
    }

    fn value(&self, expression: &Compiled) -> Result<Value, Failure> {
        match &expression.kind {
            CompiledKind::Path(path) => self.path(expression, path),
            CompiledKind::Program { program, reads } => self.program(expression, program, reads),
        }
    }

    fn path(&self, expression: &Compiled, path: &Resolved) -> Result<Value, Failure> {
        let Some(value) = self.target(&path.target)? else {
            return Err(self.absent(expression, &path.target));
        };
        match value {
            Cow::Borrowed(value) => walk(value, &path.rest).cloned(),
            Cow::Owned(value) if path.rest.is_empty() => Ok(value),
            Cow::Owned(value) => walk(&value, &path.rest).cloned(),
        }
        .map_err(|message| expression.failure(message))
    }

    fn absent(&self, expression: &Compiled, target: &Target) -> Failure {
        match self.skipped_step(target) {
            Some(step) => {
                let name = self.compiled.plan().steps[step].name.clone();
                Failure { expression: expression.source.clone(), reason: Reason::Skipped { step, name } }
            }
            None => expression.failure("it is not known yet"),
        }
    }

    fn skipped_step(&self, target: &Target) -> Option<usize> {
        match target {
            Target::Output { step } if self.facts.skipped(*step) => Some(*step),
            _ => None,
        }
    }

    fn program(&self, expression: &Compiled, program: &Program, reads: &[Read]) -> Result<Value, Failure> {
        static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
        let mut roots = Tree::default();
        let mut skipped = None;
        for read in reads {
            // What is not there must not look like something that is empty.
            let absent = &read.names[..read.resolved.depth.min(read.names.len().saturating_sub(1))];
            match self.target(&read.resolved.target) {
                Ok(Some(value)) => roots.insert(&read.names, read.resolved.depth, &value),
                Ok(None) => roots.reserve(absent),
                // The output of an inlined workflow whose steps were skipped: the program may not look at it.
                Err(failure) if failure.is_skipped() => {
                    roots.reserve(absent);
                    skipped.get_or_insert(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        for (name, tree) in roots.0 {
            context.add_variable_from_value(name, tree.into_cel());
        }
        let outcome = program.execute(&context).map_err(|error| error.to_string());
        match outcome.and_then(|value| from_cel(&value)) {
            Ok(value) => Ok(value),
            Err(message) => Err(reads
                .iter()
                .find(|read| self.skipped_step(&read.resolved.target).is_some())
                .map(|read| self.absent(expression, &read.resolved.target))
                .or(skipped)
                .unwrap_or_else(|| expression.failure(message))),
        }
    }

    fn target(&self, target: &Target) -> Result<Option<Cow<'a, Value>>, Failure> {
        Ok(match target {
            Target::Input { scope: 0, name } => self.compiled.plan().inputs.get(name).map(Cow::Borrowed),
            Target::Input { scope, name } => self.outer(self.compiled.scope_input(*scope, name))?,
            Target::Output { step } => self.facts.output(*step).map(Cow::Borrowed),
            Target::Skipped { step } => Some(Cow::Owned(self.facts.skipped(*step).into())),
            Target::Inlined { scope, name: Some(name) } => self.outer(self.compiled.scope_output(*scope, name))?,
            Target::Inlined { scope, name: None } => Some(Cow::Owned(self.all_outputs(*scope)?)),
            Target::InlinedSkipped { scope } => Some(Cow::Owned(self.all_skipped(*scope).into())),
            Target::RunId => Some(Cow::Owned(self.facts.run_id().into())),
            Target::RunWorkflow => Some(Cow::Owned(self.compiled.plan().workflow.as_str().into())),
            Target::Item => self.item.map(Cow::Borrowed),
        })
    }

    // Templates between scopes know no loop variable.
    fn outer(&self, template: Option<&'a CompiledTemplate>) -> Result<Option<Cow<'a, Value>>, Failure> {
        match template {
            None => Ok(None),
            Some(CompiledTemplate::Literal(value)) => Ok(Some(Cow::Borrowed(value))),
            Some(template) => {
                Evaluation::new(self.compiled, self.facts, None).template(template).map(|value| Some(Cow::Owned(value)))
            }
        }
    }

    fn all_outputs(&self, scope: usize) -> Result<Value, Failure> {
        let outer = Evaluation::new(self.compiled, self.facts, None);
        let outputs = self.compiled.scope_outputs(scope).iter();
        let values = outputs.map(|(name, template)| Ok((name.clone(), outer.template(template)?)));
        values.collect::<Result<Map<_, _>, Failure>>().map(Value::Object)
    }

    fn all_skipped(&self, scope: usize) -> bool {
        let plan = self.compiled.plan();
        let prefix = plan.scopes[scope].prefix.as_str();
        let inside = |(index, step): (usize, &super::PlannedStep)| step.name.starts_with(prefix).then_some(index);
        plan.steps.iter().enumerate().filter_map(inside).all(|step| self.facts.skipped(step))
    }
}

fn walk<'v>(value: &'v Value, keys: &[Key]) -> Result<&'v Value, String> {
    let mut value = value;
    for key in keys {
        let found = match (key, value) {
            (Key::Field(name), Value::Object(map)) => map.get(name).ok_or_else(|| no_field(name)),
            (Key::Index(index), Value::Array(items)) => {
                items.get(*index).ok_or_else(|| format!("the list has {} items, there is no {key}", items.len()))
            }
            (_, other) => Err(format!("there is no {key} in {}", kind(other))),
        };
        value = found?;
    }
    Ok(value)
}

fn no_field(name: &str) -> String {
    format!("there is no field {name:?}")
}

/// The values that a program may see, under the names it uses.
#[derive(Default)]
struct Tree(BTreeMap<String, Node>);

enum Node {
    Inner(Tree),
    Value(objects::Value),
}

impl Tree {
    /// Puts what `names[depth..]` leads to inside `value` under `names`. What is not there stays away, so that CEL
    /// itself notices.
    fn insert(&mut self, names: &[String], depth: usize, value: &Value) {
        let Some((name, below)) = names.split_first() else { return };
        if depth == 0 {
            let Value::Object(map) = value else { return };
            let Some(field) = map.get(name) else { return };
            return self.put(name, below, 0, field);
        }
        self.put(name, below, depth - 1, value);
    }

    fn put(&mut self, name: &str, below: &[String], depth: usize, value: &Value) {
        if depth == 0 && (below.is_empty() || !value.is_object()) {
            self.0.insert(name.to_owned(), Node::Value(to_cel(value)));
        } else if let Some(inner) = self.inner(name) {
            inner.insert(below, depth, value);
        }
    }

    /// Makes sure that there is something under all of `names`, if only an empty map.
    fn reserve(&mut self, names: &[String]) {
        if let Some((name, below)) = names.split_first()
            && let Some(inner) = self.inner(name)
        {
            inner.reserve(below);
        }
    }

    fn inner(&mut self, name: &str) -> Option<&mut Self> {
        let node = self.0.entry(name.to_owned()).or_insert_with(|| Node::Inner(Self::default()));
        match node {
            Node::Inner(tree) => Some(tree),
            // Something that is no map: all of it is there already.
            Node::Value(_) => None,
        }
    }
}

impl Node {
    fn into_cel(self) -> objects::Value {
        match self {
            Self::Value(value) => value,
            Self::Inner(tree) => {
                let entries = tree.0.into_iter().map(|(name, node)| (name.into(), node.into_cel()));
                objects::Value::Map(objects::Map { map: Arc::new(entries.collect()) })
            }
        }
    }
}

// Not through serde: that makes unsigned numbers of JSON's integers, which cannot be added to the signed ones of CEL.
fn to_cel(value: &Value) -> objects::Value {
    match value {
        Value::Null => objects::Value::Null,
        Value::Bool(value) => objects::Value::Bool(*value),
        Value::Number(number) => number_to_cel(number),
        Value::String(text) => objects::Value::String(Arc::new(text.clone())),
        Value::Array(items) => objects::Value::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| (key.as_str().into(), to_cel(value)));
            objects::Value::Map(objects::Map { map: Arc::new(entries.collect::<HashMap<_, _>>()) })
        }
    }
}

fn number_to_cel(number: &serde_json::Number) -> objects::Value {
    match (number.as_i64(), number.as_u64()) {
        (Some(signed), _) => objects::Value::Int(signed),
        (None, Some(unsigned)) => objects::Value::UInt(unsigned),
        (None, None) => objects::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

fn from_cel(value: &objects::Value) -> Result<Value, String> {
    match value {
        objects::Value::Null => Ok(Value::Null),
        objects::Value::Bool(value) => Ok(Value::Bool(*value)),
        objects::Value::Int(number) => Ok((*number).into()),
        objects::Value::UInt(number) => Ok((*number).into()),
        objects::Value::Float(number) => serde_json::Number::from_f64(*number)
            .map(Value::Number)
            .ok_or_else(|| format!("{number} is no number that JSON knows")),
        objects::Value::String(text) => Ok(Value::String(text.to_string())),
        objects::Value::List(items) => items.iter().map(from_cel).collect(),
        objects::Value::Map(map) => map_from_cel(map),
        other => Err(format!("its value is a {}, which JSON has no place for", other.type_of())),
    }
}

// CEL's maps have no order; equal inputs must give equal outputs.
fn map_from_cel(map: &objects::Map) -> Result<Value, String> {
    let mut entries = Vec::with_capacity(map.map.len());
    for (key, value) in map.map.iter() {
        entries.push((key.to_string(), from_cel(value)?));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Value::Object(entries.into_iter().collect()))
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
