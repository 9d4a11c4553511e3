use std::sync::Arc;

use cel::{ParseErrors, Program};

use super::{
    expression::ExpressionError,
    expression_analysis::{ExpressionAnalysis, analyse},
    large_stack,
};

/// Parses and analyses `source`, on a thread with a large stack.
///
/// # Errors
/// The text has a syntax error, or is refused by the analysis.
pub(super) fn parse(source: &str) -> Result<(Arc<Program>, ExpressionAnalysis), ExpressionError> {
    let owned = source.to_owned();
    let parsed = large_stack::run(move || parse_here(&owned));
    parsed.unwrap_or_else(|| Err(ExpressionError::new("the expression cannot be parsed", None)))
}

/// Parses and analyses on the current thread.
fn parse_here(source: &str) -> Result<(Arc<Program>, ExpressionAnalysis), ExpressionError> {
    let program = Program::compile(source).map_err(|errors| syntax_error(source, &errors))?;
    let analysis = analyse(source, &program)?;
    Ok((Arc::new(program), analysis))
}

/// Converts the first syntax error to a message without the names of grammar tokens.
fn syntax_error(source: &str, errors: &ParseErrors) -> ExpressionError {
    let Some(first) = errors.errors.first() else {
        return ExpressionError::new("the expression cannot be parsed", None);
    };
    // ANTLR appends a list of each token that it would accept, which is too long to read.
    let message = first.msg.split(" expecting ").next().unwrap_or_default().trim();
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let message = if message.contains("<EOF>") { "it ends too early" } else { message };
    ExpressionError::new(format!("the expression cannot be parsed: {message}"), range_at(source, first.pos))
}

/// Converts the position of the parser, with line and column from 1, to bytes.
fn range_at(source: &str, (line, column): (isize, isize)) -> Option<std::ops::Range<usize>> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.saturating_sub(1);
    let line_start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let (at, character) = source.get(line_start..)?.char_indices().nth(column)?;
    Some(line_start + at..line_start + at + character.len_utf8())
}
