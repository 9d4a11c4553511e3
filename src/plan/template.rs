use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::PlannedExpression;
use crate::workflow::TextPart;

/// A JSON value that can contain expressions of type `E`: as stored in a plan, or compiled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template<E = PlannedExpression> {
    /// A value without expressions.
    Literal(Value),
    /// One expression, whose value keeps its type.
    Expression(E),
    /// Text with expressions, whose values become text.
    Text(Vec<TextPart<E>>),
    /// A list with expressions in its items.
    List(Vec<Template<E>>),
    /// A map with expressions in its values, in the order of the file.
    Map(Vec<(String, Template<E>)>),
}

impl<E> Template<E> {
    /// Calls `visit` for each expression, in the order of the text.
    pub fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a E)) {
        match self {
            Self::Literal(_) => {}
            Self::Expression(expression) => visit(expression),
            Self::Text(parts) => parts.iter().filter_map(TextPart::expression).for_each(visit),
            Self::List(items) => items.iter().for_each(|item| item.visit(visit)),
            Self::Map(entries) => entries.iter().for_each(|(_, value)| value.visit(visit)),
        }
    }

    /// Calls `visit` for each value without expressions, in the order of the text.
    pub(super) fn visit_literals(&self, visit: &mut impl FnMut(&Value)) {
        match self {
            Self::Literal(value) => visit(value),
            Self::Expression(_) | Self::Text(_) => {}
            Self::List(items) => items.iter().for_each(|item| item.visit_literals(visit)),
            Self::Map(entries) => entries.iter().for_each(|(_, value)| value.visit_literals(visit)),
        }
    }

    /// Replaces each expression by the result of `map`, in the order of the text. Stops at the
    /// first error.
    pub(super) fn try_map<F, Error>(&self, map: &mut impl FnMut(&E) -> Result<F, Error>) -> Result<Template<F>, Error> {
        Ok(match self {
            Self::Literal(value) => Template::Literal(value.clone()),
            Self::Expression(expression) => Template::Expression(map(expression)?),
            Self::Text(parts) => {
                Template::Text(parts.iter().map(|part| part.try_map(&mut *map)).collect::<Result<_, _>>()?)
            }
            Self::List(items) => Template::List(items.iter().map(|item| item.try_map(map)).collect::<Result<_, _>>()?),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| Ok((key.clone(), value.try_map(map)?)));
                Template::Map(entries.collect::<Result<_, Error>>()?)
            }
        })
    }

    /// Returns the value: a single expression has the result of `value`, one in a text that of
    /// `text`.
    pub(super) fn try_fill<Error>(
        &self,
        value: &impl Fn(&E) -> Result<Value, Error>,
        text: &impl Fn(&E) -> Result<String, Error>,
    ) -> Result<Value, Error> {
        match self {
            Self::Literal(literal) => Ok(literal.clone()),
            Self::Expression(expression) => value(expression),
            Self::Text(parts) => {
                parts.iter().map(|part| part.try_fill(text)).collect::<Result<String, _>>().map(Value::String)
            }
            Self::List(items) => items.iter().map(|item| item.try_fill(value, text)).collect(),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, entry)| Ok((key.clone(), entry.try_fill(value, text)?)));
                Ok(Value::Object(entries.collect::<Result<Map<_, _>, Error>>()?))
            }
        }
    }
}

impl Template {
    /// Returns the value with each expression as text, written `${{ … }}`.
    pub fn as_written(&self) -> Value {
        let text = |expression: &PlannedExpression| Ok::<_, Infallible>(expression.to_string());
        match self.try_fill(&|expression| text(expression).map(Value::String), &text) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }
}
