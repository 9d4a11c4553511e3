use std::{fmt, ops::Range, sync::Arc};

use cel::Program;

use super::{
    expression_analysis::{ExpressionAnalysis, division_by_zero},
    expression_parser,
    expression_path::path,
};

/// Maximum length of an expression's source, in bytes. It excludes the chains of thousands of terms
/// that overflow the stack in CEL's parser.
pub const MAX_SOURCE_BYTES: usize = 1024;

/// Maximum nesting of brackets. CEL's parser takes a second for 500; an expression within this
/// limit can be evaluated on any stack.
const MAX_NESTING: usize = 48;

/// One step of a [`Reference`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Field or index of this level.
    pub key: PathKey,
    /// Bytes of the expression's source that contain it.
    pub range: Range<usize>,
}

/// The way in which a [`Reference`] leads one level down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathKey {
    /// A field: `.name` or `['name']`.
    Field(String),
    /// An item of a list: `[0]`.
    Index(usize),
}

impl fmt::Display for PathKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => f.write_str(name),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A value outside the expression that the expression reads, such as `steps.vm.outputs.id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Levels from the root down. The first one is always a field.
    pub segments: Vec<Segment>,
    /// True if the expression reads nothing but the size of the value: `size(steps.a.outputs.b)`.
    pub is_sized_only: bool,
}

/// Shows the reference as it is usually written: `steps.net.outputs.subnets[0].name`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path(self.segments.len()))
    }
}

impl Reference {
    /// Returns the first `count` segments as text, such as `steps.net.outputs`.
    pub fn path(&self, count: usize) -> String {
        let keys: Vec<_> = self.segments[..count].iter().map(|segment| segment.key.to_string()).collect();
        keys.join(".").replace(".[", "[")
    }

    /// Returns the name of the first segment.
    pub fn root(&self) -> &str {
        self.field(0).unwrap_or_default()
    }

    /// Returns the name of segment `at`; `None` if it is an index or there is no such segment.
    pub fn field(&self, at: usize) -> Option<&str> {
        match self.segments.get(at).map(|segment| &segment.key) {
            Some(PathKey::Field(name)) => Some(name),
            _ => None,
        }
    }

    /// Returns NAME of a reference `steps.NAME…`.
    pub fn step_name(&self) -> Option<&str> {
        self.field(1).filter(|_| self.root() == "steps")
    }

    /// Returns NAME of a reference `inputs.NAME…`.
    pub fn input_name(&self) -> Option<&str> {
        self.field(1).filter(|_| self.root() == "inputs")
    }

    /// Returns the keys from segment `at` on.
    pub fn keys_from(&self, at: usize) -> Vec<PathKey> {
        self.segments.iter().skip(at).map(|segment| segment.key.clone()).collect()
    }

    /// Returns the bytes of the expression's source that contain the whole reference.
    pub fn range(&self) -> Range<usize> {
        let start = self.segments.first().map_or(0, |segment| segment.range.start);
        start..self.segments.last().map_or(start, |segment| segment.range.end)
    }
}

/// Type of an expression's value, as far as it is known without evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultType {
    /// The type of the value that the only reference leads to: the expression is nothing else.
    Reference,
    /// One of `true` and `false`.
    Boolean,
    /// Text of any content.
    String,
    /// A whole number.
    Integer,
    /// A list of values.
    List,
    /// A map from text to values.
    Object,
    /// The type is not known.
    Any,
}

/// A parsed expression: syntax, functions and cost are checked, names are not. A copy shares the
/// parsed form.
#[derive(Debug, Clone)]
pub struct Expression(Arc<ParsedExpression>);

#[derive(Debug)]
struct ParsedExpression {
    source: String,
    references: Vec<Reference>,
    program: Option<Arc<Program>>,
    result_type: ResultType,
}

/// Reason for which a text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    /// Description of the error.
    pub message: String,
    /// Bytes of the expression's source that are wrong, if that is known.
    pub range: Option<Range<usize>>,
    /// Advice to the reader.
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
    /// The evaluation of an accepted expression needs at most a few dozen stack frames, and time
    /// for one pass over the lists that it refers to.
    ///
    /// # Errors
    /// The text is empty, too long or too deep, has a syntax error, or uses a function that is not
    /// allowed.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        if source.len() > MAX_SOURCE_BYTES {
            let hint = "compute it in an action, or split it over several inputs".to_owned();
            let message = format!("the expression is {} bytes long, {MAX_SOURCE_BYTES} are allowed", source.len());
            return Err(ExpressionError::new(message, None).with_hint(hint));
        }
        if source.trim().is_empty() {
            return Err(ExpressionError::new("the expression is empty", None));
        }
        if let Some(reference) = path(source) {
            return Ok(Self::new(source, vec![reference], None, ResultType::Reference));
        }
        if nesting(source) > MAX_NESTING {
            let hint = "compute it in an action".to_owned();
            return Err(ExpressionError::new(format!("more than {MAX_NESTING} levels deep"), None).with_hint(hint));
        }
        let (program, ExpressionAnalysis { references, result_type }) = expression_parser::parse(source)?;
        Ok(Self::new(source, references, Some(program), result_type))
    }

    fn new(source: &str, references: Vec<Reference>, program: Option<Arc<Program>>, result_type: ResultType) -> Self {
        Self(Arc::new(ParsedExpression { source: source.to_owned(), references, program, result_type }))
    }

    /// Returns the text that was parsed.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Returns each reference, as often as it is written.
    pub fn references(&self) -> &[Reference] {
        &self.0.references
    }

    /// Returns the reference if the expression is nothing else.
    pub fn as_reference(&self) -> Option<&Reference> {
        if self.0.program.is_none() { self.0.references.first() } else { None }
    }

    /// Returns the CEL program, unless the expression is only a reference.
    pub fn program(&self) -> Option<&Arc<Program>> {
        self.0.program.as_ref()
    }

    /// Returns the bytes of the first division by a constant zero.
    ///
    /// [`parse`](Self::parse) accepts it, because stored plans contain such divisions.
    pub fn division_by_zero(&self) -> Option<Range<usize>> {
        division_by_zero(self.source(), self.program()?)
    }

    /// Returns the type of the value, as far as it is known.
    pub fn result_type(&self) -> ResultType {
        self.0.result_type
    }
}

/// Returns the maximum nesting of brackets. Those inside texts count too: no usual text has that
/// many.
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
