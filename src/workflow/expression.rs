use std::{fmt, ops::Range, sync::Arc};

use cel::Program;

use super::{expression_parser, expression_path::path, expression_tree};

/// Longest source of an expression, in bytes. It rules out the chains of thousands of terms that overflow CEL's parser.
pub const MAX_SOURCE: usize = 1024;

/// Deepest nesting of brackets. CEL's parser takes a second for 500, and what fits here is evaluated on any stack.
const MAX_NESTING: usize = 48;

/// One step of a [`Reference`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The field or the index.
    pub key: Key,
    /// Where it is in the expression's source.
    pub range: Range<usize>,
}

/// How a [`Reference`] goes one level down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `.name` or `['name']`.
    Field(String),
    /// `[0]`.
    Index(usize),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => f.write_str(name),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Something outside the expression that it reads, such as `steps.vm.outputs.id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// From the root down; the first is always a field.
    pub segments: Vec<Segment>,
}

impl Reference {
    /// The name of the first segment.
    pub fn root(&self) -> &str {
        self.field(0).unwrap_or_default()
    }

    /// The name of segment `at`, unless it is an index or not there.
    pub fn field(&self, at: usize) -> Option<&str> {
        match self.segments.get(at).map(|segment| &segment.key) {
            Some(Key::Field(name)) => Some(name),
            _ => None,
        }
    }

    /// The keys from segment `at` on.
    pub fn keys_from(&self, at: usize) -> Vec<Key> {
        self.segments.iter().skip(at).map(|segment| segment.key.clone()).collect()
    }

    /// Where the whole reference is in the expression's source.
    pub fn range(&self) -> Range<usize> {
        let start = self.segments.first().map_or(0, |segment| segment.range.start);
        start..self.segments.last().map_or(start, |segment| segment.range.end)
    }
}

/// What an expression's value is known to be without evaluating it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What the reference that is the whole expression is.
    Reference,
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A list.
    List,
    /// A map.
    Object,
    /// Not known.
    Any,
}

/// A parsed expression: syntax, functions and cost are checked, names are not.
#[derive(Debug, Clone)]
pub struct Expression {
    source: String,
    references: Vec<Reference>,
    program: Option<Arc<Program>>,
    outcome: Outcome,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// What is wrong.
    pub message: String,
    /// Where in the expression's source, if that is known.
    pub range: Option<Range<usize>>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ExpressionError {
    pub(super) fn new(message: impl Into<String>, range: Option<Range<usize>>) -> Self {
        Self { message: message.into(), range, hint: None }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl Expression {
    /// Parses the text between `${{` and `}}`.
    ///
    /// Nothing that it accepts needs more than a few dozen stack frames to evaluate, or more time than a pass over the
    /// lists it mentions.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        if source.len() > MAX_SOURCE {
            let hint = "compute it in an action, or split it over several inputs".to_owned();
            let message = format!("the expression is {} bytes long, {MAX_SOURCE} are allowed", source.len());
            return Err(ExpressionError::new(message, None).with_hint(hint));
        }
        if source.trim().is_empty() {
            return Err(ExpressionError::new("the expression is empty", None));
        }
        if let Some(reference) = path(source) {
            return Ok(Self {
                source: source.to_owned(),
                references: vec![reference],
                program: None,
                outcome: Outcome::Reference,
            });
        }
        if nesting(source) > MAX_NESTING {
            let hint = "compute it in an action".to_owned();
            return Err(ExpressionError::new(format!("more than {MAX_NESTING} levels deep"), None).with_hint(hint));
        }
        let expression_parser::Parsed { program, tree } = expression_parser::parse(source)?;
        let expression_tree::Tree { references, outcome } = tree;
        Ok(Self { source: source.to_owned(), references, program: Some(program), outcome })
    }

    /// The text it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Everything it reads, as often as it is mentioned.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// The reference, if the expression is nothing else.
    pub fn as_reference(&self) -> Option<&Reference> {
        if self.program.is_none() { self.references.first() } else { None }
    }

    /// What is to be evaluated, if it is more than a reference.
    pub fn program(&self) -> Option<&Arc<Program>> {
        self.program.as_ref()
    }

    /// What its value is known to be.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }
}

// Brackets inside texts count too: nobody has that many there.
fn nesting(source: &str) -> usize {
    let mut open = 0_usize;
    let mut deepest = 0;
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}
