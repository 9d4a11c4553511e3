//! YAML text to [`Workflow`], with a span for every value and all mistakes at once.
//!
//! This room never touches the file system and never asks which actions there are.

mod cron;
mod definition;
mod diagnostic;
pub(crate) mod duration;
mod expression;
mod expression_parser;
mod expression_path;
mod expression_tree;
mod input;
mod large_stack;
#[cfg(feature = "miette")]
mod miette_diagnostic;
pub(crate) mod nearest;
mod node;
mod parse;
mod pieces;
mod reader;
mod source;
mod step;
mod template;

pub use cron::{Cron, CronError, CronField, CronItem};
pub use definition::{ActionBody, Body, ForEach, Input, Retry, Step, Workflow};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use duration::parse as duration_ms;
pub use expression::{Expression, ExpressionError, Key, MAX_SOURCE, Outcome, Reference, Segment};
pub use nearest::nearest as nearest_name;
pub use parse::{Parsed, parse};
pub use source::{Source, Span, Spanned};
pub use template::{Piece, Placed, Template, TemplateKind};
