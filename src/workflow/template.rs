use std::ops::Range;

use serde_json::{Map, Number, Value};

use super::{Expression, Source, Span, Spanned};

/// A value of a workflow in which expressions may stand.
#[derive(Debug, Clone)]
pub struct Template {
    /// What it is.
    pub kind: TemplateKind,
    /// Where it is written.
    pub span: Span,
}

/// What a [`Template`] is.
#[derive(Debug, Clone)]
pub enum TemplateKind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text without expressions.
    Text(String),
    /// One expression and nothing else: its value keeps its type.
    Expression(Placed),
    /// Text with expressions in it.
    Pieces(Vec<Piece>),
    /// A list.
    List(Vec<Template>),
    /// A map, in the order of the file.
    Map(Vec<(Spanned<String>, Template)>),
    /// What could not be parsed, which has been reported.
    Unknown,
}

/// A part of a text.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Text as it stands.
    Literal(String),
    /// An expression, whose value becomes text.
    Expression(Placed),
}

/// An expression and where it is written.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The expression.
    pub expression: Expression,
    /// Where it is written: what is between `${{` and `}}` if `exact`, else the text that it is a part of.
    pub span: Span,
    /// The bytes at `span` are the expression's source. They are not where YAML's escapes stand in it.
    pub exact: bool,
}

impl Placed {
    /// Where the bytes `range` of the expression's source are written.
    pub fn place(&self, source: &Source, range: &Range<usize>) -> Span {
        if self.exact { source.span(self.span.start + range.start, self.span.start + range.end) } else { self.span }
    }

    /// Where the expression is written, without the blanks around it.
    pub fn trimmed(&self, source: &Source) -> Span {
        let text = self.expression.source();
        let start = text.len() - text.trim_start().len();
        self.place(source, &(start..text.trim_end().len()))
    }
}

impl Template {
    /// A value that was not written in a file, to be treated as if it were written at `span`.
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

    /// The value, if there is no expression in it.
    pub fn to_json(&self) -> Option<Value> {
        Some(match &self.kind {
            TemplateKind::Null => Value::Null,
            TemplateKind::Bool(value) => Value::Bool(*value),
            TemplateKind::Number(number) => Value::Number(number.clone()),
            TemplateKind::Text(text) => Value::String(text.clone()),
            TemplateKind::Expression(_) | TemplateKind::Pieces(_) | TemplateKind::Unknown => return None,
            TemplateKind::List(items) => items.iter().map(Self::to_json).collect::<Option<_>>()?,
            TemplateKind::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| Some((key.value.clone(), value.to_json()?)));
                Value::Object(entries.collect::<Option<Map<_, _>>>()?)
            }
        })
    }

    /// Every expression in it, in the order of the text.
    pub fn expressions(&self) -> Vec<&Placed> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a Placed>) {
        match &self.kind {
            TemplateKind::Null
            | TemplateKind::Bool(_)
            | TemplateKind::Number(_)
            | TemplateKind::Text(_)
            | TemplateKind::Unknown => {}
            TemplateKind::Expression(placed) => found.push(placed),
            TemplateKind::Pieces(pieces) => found.extend(pieces.iter().filter_map(|piece| match piece {
                Piece::Literal(_) => None,
                Piece::Expression(placed) => Some(placed),
            })),
            TemplateKind::List(items) => items.iter().for_each(|item| item.collect(found)),
            TemplateKind::Map(entries) => entries.iter().for_each(|(_, value)| value.collect(found)),
        }
    }
}
