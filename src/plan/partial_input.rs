use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Reason,
    compiled_expression::{CompiledExpression, CompiledTemplate},
    error::EvaluationFailure,
    evaluate::Evaluation,
};
use crate::workflow::TextPart;

/// Input of a step as far as its values are known before the steps that it depends on have run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartialInput {
    /// The input, with `null` in the place of each unknown value.
    pub value: Value,
    /// JSON pointer of each unknown value, with the steps after which it is known: indexes into
    /// [`Plan::steps`](super::Plan::steps). None if it depends on the item of an unknown list.
    pub unknown: Vec<(String, BTreeSet<usize>)>,
}

impl PartialInput {
    /// Evaluates a template as far as its values are known.
    ///
    /// # Errors
    /// An expression has no value for another reason.
    pub(super) fn evaluate(
        template: &CompiledTemplate,
        evaluation: &Evaluation<'_>,
    ) -> Result<Self, EvaluationFailure> {
        let mut input = Self::default();
        let mut pointer = String::new();
        input.value = input.fill(template, evaluation, &mut pointer)?;
        Ok(input)
    }

    /// True if all values are known.
    pub fn is_complete(&self) -> bool {
        self.unknown.is_empty()
    }

    /// Returns the steps after which all values are known.
    pub fn unknown_steps(&self) -> BTreeSet<usize> {
        self.unknown.iter().flat_map(|(_, steps)| steps.iter().copied()).collect()
    }

    /// Fills in the template at `pointer`.
    fn fill(
        &mut self,
        template: &CompiledTemplate,
        evaluation: &Evaluation<'_>,
        pointer: &mut String,
    ) -> Result<Value, EvaluationFailure> {
        match template {
            CompiledTemplate::Literal(value) => Ok(value.clone()),
            CompiledTemplate::Expression(expression) => self.known(evaluation.value(expression), pointer),
            CompiledTemplate::Text(parts) => self.text(parts, evaluation, pointer),
            CompiledTemplate::List(items) => {
                let items = items.iter().enumerate();
                items.map(|(index, item)| self.below(item, evaluation, pointer, &index.to_string())).collect()
            }
            CompiledTemplate::Map(entries) => {
                let entries = entries.iter();
                let filled = entries.map(|(key, entry)| {
                    let name = key.replace('~', "~0").replace('/', "~1");
                    Ok((key.clone(), self.below(entry, evaluation, pointer, &name)?))
                });
                filled.collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
        }
    }

    /// Fills in the template of a field or item.
    fn below(
        &mut self,
        template: &CompiledTemplate,
        evaluation: &Evaluation<'_>,
        pointer: &mut String,
        name: &str,
    ) -> Result<Value, EvaluationFailure> {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(name);
        let value = self.fill(template, evaluation, pointer);
        pointer.truncate(length);
        value
    }

    /// Fills in a text. It is unknown if one of its parts is.
    fn text(
        &mut self,
        parts: &[TextPart<CompiledExpression>],
        evaluation: &Evaluation<'_>,
        pointer: &str,
    ) -> Result<Value, EvaluationFailure> {
        let mut unknown: Option<EvaluationFailure> = None;
        let mut text = String::new();
        for part in parts {
            match part.try_fill(|expression: &CompiledExpression| evaluation.text(expression)) {
                Ok(part) => text.push_str(&part),
                Err(failure) => unknown = Some(together(unknown, failure)?),
            }
        }
        self.known(unknown.map_or(Ok(Value::String(text)), Err), pointer)
    }

    /// Returns a value that is known, and `null` for one that is not.
    fn known(
        &mut self,
        evaluated: Result<Value, EvaluationFailure>,
        pointer: &str,
    ) -> Result<Value, EvaluationFailure> {
        match evaluated {
            Err(EvaluationFailure { reason: Reason::Unknown { steps }, .. }) => {
                self.unknown.push((pointer.to_owned(), steps));
                Ok(Value::Null)
            }
            other => other,
        }
    }
}

/// Combines failures of expressions whose values are not known yet.
///
/// # Errors
/// The second failure, if it has another reason.
fn together(
    first: Option<EvaluationFailure>,
    mut second: EvaluationFailure,
) -> Result<EvaluationFailure, EvaluationFailure> {
    let Reason::Unknown { steps } = &mut second.reason else { return Err(second) };
    if let Some(EvaluationFailure { reason: Reason::Unknown { steps: others }, .. }) = first {
        steps.extend(others);
    }
    Ok(second)
}
