use std::fmt;

use serde::{Deserialize, Serialize};

use crate::workflow::{Expression, ExpressionError};

/// Text of an expression, and the scope whose names it uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedExpression {
    /// Text between `${{` and `}}`, without the blanks at its ends.
    pub source: String,
    /// Index into [`Plan::scopes`](super::Plan::scopes).
    pub scope: usize,
    /// Condition of the step that inlines the workflow. Both must hold, and this one is evaluated
    /// first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub and: Option<Box<PlannedExpression>>,
    #[serde(skip)]
    parsed: ParsedForm,
}

impl PlannedExpression {
    /// Creates an expression from its text; it is parsed when the plan is compiled.
    pub fn new(source: impl Into<String>, scope: usize) -> Self {
        Self { source: source.into(), scope, and: None, parsed: ParsedForm::default() }
    }

    /// Creates an expression from one that is parsed already; its parsed form is kept.
    pub(super) fn from_parsed(expression: &Expression, scope: usize) -> Self {
        let parsed = ParsedForm(Some(expression.clone()));
        Self { source: expression.source().trim().to_owned(), scope, and: None, parsed }
    }

    /// Adds a condition that must hold as well and is evaluated before this one.
    pub(super) fn and_before(self, outer: Option<Self>) -> Self {
        Self { and: outer.map(Box::new), ..self }
    }

    /// Returns the parsed form, or parses the text of an expression that was read from a stored
    /// plan.
    ///
    /// # Errors
    /// The text is not an expression: the plan is damaged or was written by another version.
    pub(super) fn parse(&self) -> Result<Expression, ExpressionError> {
        self.parsed.0.clone().map_or_else(|| Expression::parse(&self.source), Ok)
    }

    /// True if [`Self::parse`] costs nothing.
    pub(super) fn is_parsed(&self) -> bool {
        self.parsed.0.is_some()
    }
}

/// Shows the expression as it is written in a file: `${{ source }}`.
impl fmt::Display for PlannedExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${{{{ {} }}}}", self.source)
    }
}

/// Parsed form of an expression that comes from a file. It is not part of the plan: it is
/// not stored and not compared.
#[derive(Clone, Default)]
struct ParsedForm(Option<Expression>);

impl PartialEq for ParsedForm {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for ParsedForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "parsed" } else { "text" })
    }
}
