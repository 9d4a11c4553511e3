//! Reads workflows: YAML text to [`Workflow`], with a span for each value and all errors at the
//! same time.
//!
//! Names are not resolved and types are not checked here: see [`plan`](crate::plan). The functions
//! of this module do not read files and do not know which actions exist.

mod cron;
mod definition;
mod diagnostic;
pub(crate) mod duration;
mod expression;
mod expression_analysis;
mod expression_condition;
mod expression_parser;
mod expression_path;
mod given_inputs;
mod input;
mod large_stack;
#[cfg(feature = "miette")]
mod miette_diagnostic;
mod parse;
mod patterns;
mod reader;
mod source;
mod step;
pub(crate) mod suggest;
mod template;
mod text_parts;
mod yaml_node;

pub use cron::{Cron, CronError, CronField, CronItem};
pub use definition::{
    ActionBody, CheckDefinition, ForEachDefinition, InlineBody, Input, RetryDefinition, Step, StepBody, Workflow,
};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use duration::parse as duration_ms;
pub use expression::{Expression, ExpressionError, MAX_SOURCE_BYTES, PathKey, Reference, ResultType, Segment};
pub(crate) use expression_condition::Condition;
pub use given_inputs::GivenInputs;
pub(crate) use given_inputs::{GivenInput, InputPlace};
pub(crate) use parse::parse_sharing;
pub use parse::{ParsedWorkflow, parse};
pub(crate) use patterns::Patterns;
pub use source::{SourceFile, Span, Spanned};
pub use suggest::suggest as suggest_name;
pub use template::{ExpressionUse, SpannedExpression, SpannedTemplate, TemplateKind, TextPart};
