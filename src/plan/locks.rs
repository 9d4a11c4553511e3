use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

use super::{
    CompiledPlan, Facts, Plan,
    compiled_expression::Compiler,
    dependencies::entry,
    evaluate::Evaluation,
    expand::{Expanded, Place},
    lower,
};
use crate::workflow::{Diagnostic, Piece, Placed, Template, TemplateKind, Workflow};

/// Longest lock: it is a name that people read.
const LONGEST: usize = 200;

/// Every lock that cannot be known before a run, or is no name.
pub(super) fn check(expanded: &Expanded<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (scope, lock) in all(expanded) {
        let workflow = &expanded.places[scope].workflow;
        if let Some(Value::String(text)) = lock.to_json() {
            found.extend(no_name(workflow, lock, &text));
        }
        for placed in lock.expressions() {
            Follow { expanded, lock_of: workflow }.expression(scope, placed, &mut found);
        }
    }
    found
}

/// What the locks are, given the inputs of `plan`: each once, those of inlined workflows after those around them.
pub(super) fn values(expanded: &Expanded<'_>, plan: &Plan) -> (Vec<String>, Vec<Diagnostic>) {
    let (mut locks, mut found) = (Vec::new(), Vec::new());
    if all(expanded).next().is_none() {
        return (locks, found);
    }
    let compiled = CompiledPlan::new(Arc::new(plan.clone())).expect("a plan that was just made compiles");
    let mut expressions = Compiler::new(plan);
    for (scope, lock) in all(expanded) {
        let workflow = &expanded.places[scope].workflow;
        match value(&compiled, &mut expressions, scope, lock) {
            Ok(text) => {
                found.extend(no_name(workflow, lock, &text));
                locks.push(text);
            }
            Err(reason) => {
                let message = format!("the lock cannot be told: {reason}");
                found.push(Diagnostic::new(&workflow.source, "plan::lock", lock.span, message, "of these inputs"));
            }
        }
    }
    (once(locks), found)
}

/// The locks as they are written.
pub(super) fn written(expanded: &Expanded<'_>) -> Vec<String> {
    once(all(expanded).map(|(_, lock)| text_of(lock)).collect())
}

fn all<'a>(expanded: &'a Expanded<'_>) -> impl Iterator<Item = (usize, &'a Template)> {
    let of = |(scope, place): (usize, &'a Place)| place.workflow.locks.iter().map(move |lock| (scope, lock));
    expanded.places.iter().enumerate().flat_map(of)
}

fn once(mut locks: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    locks.retain(|lock| seen.insert(lock.clone()));
    locks
}

struct NothingYet;

impl Facts for NothingYet {
    fn output(&self, _: usize) -> Option<&Value> {
        None
    }

    fn skipped(&self, _: usize) -> bool {
        false
    }

    fn run_id(&self) -> &'static str {
        ""
    }
}

fn value(
    compiled: &CompiledPlan,
    expressions: &mut Compiler<'_>,
    scope: usize,
    lock: &Template,
) -> Result<String, String> {
    let template =
        expressions.template("lock", &lower::template(lock, scope), None).map_err(|error| error.to_string())?;
    let value = Evaluation::new(compiled, &NothingYet, None).template(&template);
    match value.map_err(|failure| failure.reason.to_string())? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => Err("its value is no text".into()),
    }
}

fn no_name(workflow: &Workflow, lock: &Template, text: &str) -> Option<Diagnostic> {
    let is_name = !text.trim().is_empty() && text.len() <= LONGEST && !text.contains(char::is_control);
    (!is_name).then(|| {
        let message = format!("{text:?} cannot be a lock: a lock has 1 to {LONGEST} bytes and no control characters");
        let hint = "name what no two runs may touch at once, such as cluster/${{ inputs.cluster }}".to_owned();
        Diagnostic::new(&workflow.source, "plan::lock", lock.span, message, "not a name").with_hint(hint)
    })
}

fn text_of(lock: &Template) -> String {
    let expression = |placed: &Placed| format!("${{{{ {} }}}}", placed.expression.source().trim());
    match &lock.kind {
        TemplateKind::Text(text) => text.clone(),
        TemplateKind::Expression(placed) => expression(placed),
        TemplateKind::Pieces(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.clone(),
                Piece::Expression(placed) => expression(placed),
            })
            .collect(),
        other => unreachable!("{other:?} was refused when the file was read"),
    }
}

/// Follows what a lock is made of, through the inputs that inlined workflows are given.
struct Follow<'a> {
    expanded: &'a Expanded<'a>,
    lock_of: &'a Workflow,
}

impl Follow<'_> {
    fn expression(&self, scope: usize, placed: &Placed, found: &mut Vec<Diagnostic>) {
        let workflow = &self.expanded.places[scope].workflow;
        for reference in placed.expression.references() {
            match (reference.root(), reference.field(1)) {
                ("inputs", Some(input)) => self.input(scope, input, found),
                ("steps" | "run", _) => {
                    let span = placed.place(&workflow.source, &reference.range());
                    let hint = "locks are taken before the run begins; hand in what they are made of as an input";
                    let label = "not known before the run";
                    found.push(
                        Diagnostic::new(&workflow.source, "plan::lock", span, self.message(workflow), label)
                            .with_hint(hint.to_owned()),
                    );
                }
                _ => {} // Leads nowhere, which is reported with all such references.
            }
        }
    }

    fn input(&self, scope: usize, input: &str, found: &mut Vec<Diagnostic>) {
        let Some((parent, step)) = self.expanded.inliner(scope) else { return };
        let given = entry(&step.with, input).map(Template::expressions).unwrap_or_default();
        for placed in given {
            self.expression(parent, placed, found);
        }
    }

    fn message(&self, workflow: &Workflow) -> String {
        if std::ptr::eq(workflow, self.lock_of) {
            return "a lock can use inputs only".into();
        }
        format!("a lock of the workflow {:?} is made of this, so it can use inputs only", self.lock_of.name.value)
    }
}
