use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::{Expression, SourceFile, Span, Spanned};

/// A value of a workflow's file that can contain expressions, with its place.
#[derive(Debug, Clone)]
pub struct SpannedTemplate {
    /// Value or expression.
    pub kind: TemplateKind,
    /// Place of the value in the file.
    pub span: Span,
}

/// Value of a [`SpannedTemplate`].
#[derive(Debug, Clone)]
pub enum TemplateKind {
    /// The value `null`.
    Null,
    /// One of `true` and `false`.
    Bool(bool),
    /// A number, whole or not.
    Number(Number),
    /// Text without expressions.
    Text(String),
    /// One expression and nothing else: its value keeps its type.
    Expression(SpannedExpression),
    /// Text with expressions in it.
    Parts(Vec<TextPart<SpannedExpression>>),
    /// A list, with expressions in its items.
    List(Vec<SpannedTemplate>),
    /// A map, in the order of the file, with expressions in its values.
    Map(Vec<(Spanned<String>, SpannedTemplate)>),
    /// A value that could not be parsed, which has been reported.
    Unknown,
}

/// A part of a text that contains expressions of type `E`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextPart<E> {
    /// Text that is used literally.
    Literal(String),
    /// An expression, whose value becomes text.
    Expression(E),
}

/// Position of an expression within a [`SpannedTemplate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpressionUse {
    /// The expression is a whole value, of any type.
    Value,
    /// The expression is a part of a text, so that its value must become text.
    TextPart,
}

/// An expression and its place in the file.
#[derive(Debug, Clone)]
pub struct SpannedExpression {
    /// The parsed expression.
    pub expression: Expression,
    /// Place of the text between `${{` and `}}` if `exact` is true, otherwise of the whole text
    /// around it.
    pub span: Span,
    /// True if the bytes at `span` are the expression's source. They are not if the text contains
    /// escapes of YAML.
    pub exact: bool,
}

impl<E> TextPart<E> {
    /// Returns the expression, unless this is literal text.
    pub(crate) fn expression(&self) -> Option<&E> {
        match self {
            Self::Literal(_) => None,
            Self::Expression(expression) => Some(expression),
        }
    }

    /// Replaces the expression by the result of `map`.
    pub(crate) fn try_map<F, Error>(&self, map: impl FnOnce(&E) -> Result<F, Error>) -> Result<TextPart<F>, Error> {
        Ok(match self {
            Self::Literal(text) => TextPart::Literal(text.clone()),
            Self::Expression(expression) => TextPart::Expression(map(expression)?),
        })
    }

    /// Returns the text of this part; `text` returns that of an expression.
    pub(crate) fn try_fill<Error>(&self, text: impl FnOnce(&E) -> Result<String, Error>) -> Result<String, Error> {
        match self {
            Self::Literal(literal) => Ok(literal.clone()),
            Self::Expression(expression) => text(expression),
        }
    }
}

impl SpannedExpression {
    /// Returns the place of the bytes `range` of the expression's source.
    pub fn span_of(&self, source: &SourceFile, range: &Range<usize>) -> Span {
        if self.exact { source.span(self.span.start + range.start, self.span.start + range.end) } else { self.span }
    }

    /// Returns the place of the expression, without the blanks at its ends.
    pub fn trimmed(&self, source: &SourceFile) -> Span {
        let text = self.expression.source();
        let start = text.len() - text.trim_start().len();
        self.span_of(source, &(start..text.trim_end().len()))
    }
}

impl SpannedTemplate {
    /// Creates a value that is not written in a file; errors in it are reported at `span`.
    pub fn from_json(value: &Value, span: Span) -> Self {
        let kind = match value {
            Value::Null => TemplateKind::Null,
            Value::Bool(value) => TemplateKind::Bool(*value),
            Value::Number(number) => TemplateKind::Number(number.clone()),
            Value::String(text) => TemplateKind::Text(text.clone()),
            Value::Array(items) => TemplateKind::List(items.iter().map(|item| Self::from_json(item, span)).collect()),
            Value::Object(map) => {
                let entry =
                    |(key, value): (&String, &Value)| (Spanned::new(key.clone(), span), Self::from_json(value, span));
                TemplateKind::Map(map.iter().map(entry).collect())
            }
        };
        Self { kind, span }
    }

    /// Returns the value as JSON; `None` if it contains an expression or could not be parsed.
    pub fn to_json(&self) -> Option<Value> {
        Some(match &self.kind {
            TemplateKind::Null => Value::Null,
            TemplateKind::Bool(value) => Value::Bool(*value),
            TemplateKind::Number(number) => Value::Number(number.clone()),
            TemplateKind::Text(text) => Value::String(text.clone()),
            TemplateKind::Expression(_) | TemplateKind::Parts(_) | TemplateKind::Unknown => return None,
            TemplateKind::List(items) => items.iter().map(Self::to_json).collect::<Option<_>>()?,
            TemplateKind::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| Some((key.value.clone(), value.to_json()?)));
                Value::Object(entries.collect::<Option<Map<_, _>>>()?)
            }
        })
    }

    /// Returns the entry `name` of a map.
    pub fn entry(&self, name: &str) -> Option<&SpannedTemplate> {
        match &self.kind {
            TemplateKind::Map(entries) => entries.iter().find(|(key, _)| key.value == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Calls `visit` for each expression, in the order of the text.
    pub fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a SpannedExpression, ExpressionUse)) {
        match &self.kind {
            TemplateKind::Null
            | TemplateKind::Bool(_)
            | TemplateKind::Number(_)
            | TemplateKind::Text(_)
            | TemplateKind::Unknown => {}
            TemplateKind::Expression(expression) => visit(expression, ExpressionUse::Value),
            TemplateKind::Parts(parts) => parts
                .iter()
                .filter_map(TextPart::expression)
                .for_each(|expression| visit(expression, ExpressionUse::TextPart)),
            TemplateKind::List(items) => items.iter().for_each(|item| item.visit(visit)),
            TemplateKind::Map(entries) => entries.iter().for_each(|(_, value)| value.visit(visit)),
        }
    }

    /// Returns each expression, in the order of the text.
    pub fn expressions(&self) -> Vec<&SpannedExpression> {
        let mut found = Vec::new();
        self.visit(&mut |expression, _| found.push(expression));
        found
    }
}
