use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use cel::{Context, Env, Program};
use serde_json::Value;

use super::{
    Reason,
    cel_value::{from_cel, sized_to_cel, to_cel},
    compiled_expression::{CompiledExpression, CompiledKind, CompiledTemplate, Read},
    error::EvaluationFailure,
    hidden::{hidden_secret, refusal},
    names::{ReferenceTarget, Resolved},
    variables::Variables,
};
use crate::workflow::PathKey;

/// Maximum length of an instance's key, in bytes. The key is part of the instance's name, which is
/// shown in brackets and stored in the journal.
const MAX_KEY_BYTES: usize = 200;

/// Values that compiled expressions read.
pub(super) trait ValueSource {
    /// Returns the value of `target`; `None` if it has none yet.
    ///
    /// # Errors
    /// The target is computed by an expression that has no value.
    fn value(&self, target: &ReferenceTarget) -> Result<Option<Cow<'_, Value>>, EvaluationFailure>;

    /// Returns the reason for which the target has no value, if it is the output of a step that
    /// was skipped or has failed.
    fn absence(&self, target: &ReferenceTarget) -> Option<Reason>;

    /// Returns the steps after which the target has a value, if it has none yet. Empty if the item
    /// of a list is not known.
    fn unknown_steps(&self, _: &ReferenceTarget) -> Option<BTreeSet<usize>> {
        None
    }

    /// True if the target's value lacks fields that are not known yet.
    fn is_partial(&self, _: &ReferenceTarget) -> bool {
        false
    }

    /// True if a value that hides a secret can be read: it is only shown, and nothing acts on it.
    fn can_hide_secrets(&self) -> bool {
        false
    }
}

/// Evaluates expressions and templates with the values of one source.
pub(super) struct Evaluation<'a> {
    values: &'a dyn ValueSource,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(values: &'a dyn ValueSource) -> Self {
        Self { values }
    }

    /// Fills in a template.
    pub(super) fn template(&self, template: &CompiledTemplate) -> Result<Value, EvaluationFailure> {
        template.try_fill(&|expression| self.value(expression), &|expression| self.text(expression))
    }

    /// Evaluates a condition, after those of the steps that inline its workflow. If one of them is
    /// false, the rest is not evaluated.
    pub(super) fn condition(&self, expression: &CompiledExpression) -> Result<bool, EvaluationFailure> {
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

    /// Evaluates the list of a `for_each` step.
    pub(super) fn list(&self, expression: &CompiledExpression) -> Result<Vec<Value>, EvaluationFailure> {
        match self.value(expression)? {
            Value::Array(items) => Ok(items),
            other => Err(expression.failure(format!("for_each needs a list, this is {}", kind(&other)))),
        }
    }

    /// Evaluates the key of an instance.
    pub(super) fn key(&self, expression: &CompiledExpression) -> Result<String, EvaluationFailure> {
        let value = self.value(expression)?;
        let text = scalar_text(&value)
            .ok_or_else(|| expression.failure(format!("a key must be text or a number, this is {}", kind(&value))))?;
        let is_forbidden = |c: char| c.is_control() || matches!(c, '[' | ']');
        if text.is_empty() || text.len() > MAX_KEY_BYTES || text.contains(is_forbidden) {
            let rule = format!("a key has 1 to {MAX_KEY_BYTES} bytes and neither brackets nor control characters");
            return Err(expression.failure(format!("{text:?} cannot be a key: {rule}")));
        }
        Ok(text)
    }

    /// Evaluates an expression inside a text. Only scalar values have a text form.
    pub(super) fn text(&self, expression: &CompiledExpression) -> Result<String, EvaluationFailure> {
        let value = self.value(expression)?;
        scalar_text(&value).ok_or_else(|| expression.failure(format!("{} cannot be part of a text", kind(&value))))
    }

    /// Evaluates an expression of any type.
    pub(super) fn value(&self, expression: &CompiledExpression) -> Result<Value, EvaluationFailure> {
        match &expression.kind {
            CompiledKind::Path(path) => self.path(expression, path),
            CompiledKind::Program { program, reads } => self.program(expression, program, reads),
        }
    }

    /// Reads the value of a reference without a copy of the values around it.
    fn path(&self, expression: &CompiledExpression, path: &Resolved) -> Result<Value, EvaluationFailure> {
        let Some(value) = self.values.value(&path.target)? else {
            return Err(self.absent(expression, &path.target));
        };
        if self.values.is_partial(&path.target) && !is_certain(&value, &path.rest) {
            return Err(self.absent(expression, &path.target));
        }
        match value {
            Cow::Owned(value) if path.rest.is_empty() => Ok(value),
            value => descend(&value, &path.rest).cloned(),
        }
        .and_then(|value| self.allow(|| hidden_secret(&value)).map(|()| value))
        .map_err(|message| expression.failure(message))
    }

    /// Refuses a value that hides a secret, unless it is only shown.
    fn allow(&self, hidden: impl FnOnce() -> Option<String>) -> Result<(), String> {
        if self.values.can_hide_secrets() {
            return Ok(());
        }
        hidden().map_or(Ok(()), |hidden| Err(refusal(&hidden)))
    }

    /// Returns the error for a target without value: a skipped step, or a value that is not known
    /// yet.
    fn absent(&self, expression: &CompiledExpression, target: &ReferenceTarget) -> EvaluationFailure {
        match self.values.absence(target) {
            Some(reason) => EvaluationFailure { expression: expression.source.clone(), reason },
            None => match self.values.unknown_steps(target) {
                Some(steps) => expression.unknown(steps),
                None => expression.failure("its value is not known yet"),
            },
        }
    }

    /// Executes a CEL program. If it fails and one of its values is unknown or from a skipped step,
    /// that is the reported reason: the message of CEL would only name a missing field.
    fn program(
        &self,
        expression: &CompiledExpression,
        program: &Program,
        reads: &[Read],
    ) -> Result<Value, EvaluationFailure> {
        static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
        let mut missing = MissingValues::default();
        let values: Vec<_> =
            reads.iter().map(|read| self.read(expression, read, &mut missing)).collect::<Result<_, _>>()?;
        if missing.is_misleading(expression) {
            return Err(expression.unknown(missing.unknown));
        }
        let variables = variables(reads, &values);
        self.allow(|| variables.hidden_secret()).map_err(|message| expression.failure(message))?;
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        for (name, value) in variables.into_cel() {
            context.add_variable_as_val(name, value);
        }
        let result = program.execute(&context).map_err(|error| error.to_string());
        match result.and_then(|value| from_cel(&value)) {
            Ok(Value::Object(_)) if missing.has_partial => Err(expression.unknown(missing.unknown)),
            Ok(value) => Ok(value),
            Err(_) if missing.is_any() => Err(expression.unknown(missing.unknown)),
            Err(message) => Err(reads
                .iter()
                .find(|read| self.values.absence(&read.resolved.target).is_some())
                .map(|read| self.absent(expression, &read.resolved.target))
                .or(missing.absent)
                .unwrap_or_else(|| expression.failure(message))),
        }
    }

    /// Reads a value of a program; `None` if it has none, which is added to `missing`. It matters
    /// only if the program uses that value.
    fn read(
        &self,
        expression: &CompiledExpression,
        read: &Read,
        missing: &mut MissingValues,
    ) -> Result<Option<Cow<'a, Value>>, EvaluationFailure> {
        let target = &read.resolved.target;
        let value = match self.values.value(target) {
            Ok(value) => value,
            Err(failure) => {
                missing.add(failure)?;
                return Ok(None);
            }
        };
        let is_partial = self.values.is_partial(target);
        let Some(value) = value
            .filter(|value| !is_partial || is_certain(value, &read.resolved.rest) || is_navigation(&expression.source))
        else {
            missing.unknown(self.values.unknown_steps(target));
            return Ok(None);
        };
        if is_partial && !is_certain(&value, &read.resolved.rest) {
            missing.has_partial = true;
            missing.unknown(self.values.unknown_steps(target));
        }
        Ok(Some(value))
    }
}

/// Values that a program reads and that it does not have.
#[derive(Default)]
struct MissingValues {
    /// First failure because of a skipped or failed step inside an inlined workflow.
    absent: Option<EvaluationFailure>,
    /// Steps whose outputs are not known yet, or only in part.
    unknown: BTreeSet<usize>,
    /// A value is not known yet.
    has_unknown: bool,
    /// A value that is passed to the program lacks fields that are not known yet.
    has_partial: bool,
}

impl MissingValues {
    /// Adds the failure to evaluate an input or output of an inlined workflow.
    ///
    /// # Errors
    /// The failure itself, if the value is neither absent nor unknown.
    fn add(&mut self, failure: EvaluationFailure) -> Result<(), EvaluationFailure> {
        match failure.reason {
            Reason::Unknown { steps } => self.unknown(Some(steps)),
            Reason::Skipped { .. } | Reason::StepFailed { .. } => drop(self.absent.get_or_insert(failure)),
            Reason::Failed(_) => return Err(failure),
        }
        Ok(())
    }

    /// Adds the steps of an unknown value; `None` if the value is absent for another reason.
    fn unknown(&mut self, steps: Option<BTreeSet<usize>>) {
        self.has_unknown |= steps.is_some();
        self.unknown.extend(steps.unwrap_or_default());
    }

    fn is_any(&self) -> bool {
        self.has_unknown
    }

    /// True if the expression could take an unknown field for an absent one.
    fn is_misleading(&self, expression: &CompiledExpression) -> bool {
        self.has_unknown && expression.source.contains("has(")
    }
}

/// True if the path leads to a value that is certain inside a value that lacks fields. An object
/// inside it may lack fields as well.
fn is_certain(value: &Value, path: &[PathKey]) -> bool {
    !path.is_empty() && descend(value, path).is_ok_and(|value| !value.is_object())
}

/// True if an expression only follows fields and indexes, such as `steps.a.outputs[item.name].id`:
/// it finds a field or fails. Others could take an unknown field for an absent one.
fn is_navigation(source: &str) -> bool {
    source.chars().all(|c| c.is_ascii_alphanumeric() || "_.[]\"'".contains(c))
}

/// Collects the variables of a program, which borrow from `values`.
fn variables<'v>(reads: &[Read], values: &'v [Option<Cow<'_, Value>>]) -> Variables<'v> {
    let mut variables = Variables::default();
    for (read, value) in reads.iter().zip(values) {
        let depth = read.resolved.depth;
        if let Some(value) = value {
            let convert = if read.is_sized_only { sized_to_cel } else { to_cel };
            variables.insert(&read.names, depth, value, convert);
        } else {
            // An absent value must not look like an empty one.
            variables.reserve(&read.names[..depth.min(read.names.len().saturating_sub(1))]);
        }
    }
    variables
}

/// Follows fields and indexes inside a value.
pub(super) fn descend<'v>(value: &'v Value, keys: &[PathKey]) -> Result<&'v Value, String> {
    keys.iter().try_fold(value, |value, key| match (key, value) {
        (PathKey::Field(name), Value::Object(map)) => {
            map.get(name).ok_or_else(|| format!("there is no field {name:?}"))
        }
        (PathKey::Index(index), Value::Array(items)) => {
            items.get(*index).ok_or_else(|| format!("the list has {} items, there is no {key}", items.len()))
        }
        (_, other) => Err(format!("there is no {key} in {}", kind(other))),
    })
}

/// Returns the text form of a scalar value; `None` for null, lists and maps.
fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns the kind of a value as text for people.
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
