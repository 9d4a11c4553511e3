//! YAML text to a workflow, with a span for every value and all mistakes at once.
//!
//! This room never touches the file system and never asks which actions there are.

mod diagnostic;
mod expression;
mod expression_path;
mod expression_tree;
mod expression_worker;
mod nearest;
mod source;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use expression::{Expression, ExpressionError, Key, MAX_SOURCE, Outcome, Reference, Segment};
pub use source::{Source, Span, Spanned};
