//! Sizes of functions, and the width of comments.

use crate::sources::{RustFile, all};

/// Maximum number of lines of a function.
const MAX_FUNCTION_LINES: usize = 120;

/// Maximum number of columns of a line that is a comment.
const MAX_COMMENT_COLUMNS: usize = 100;

fn begins_function(line: &str) -> bool {
    let head = line.trim_start().split('"').next().unwrap_or_default();
    let mut words = head.split_whitespace().take_while(|word| !word.contains('('));
    line.trim_end().ends_with('{') && (head.starts_with("fn ") || words.any(|word| word == "fn"))
}

/// First line and number of lines of each function, judged by indentation as rustfmt sets it.
fn functions(file: &RustFile) -> Vec<(usize, usize)> {
    let (mut functions, mut open) = (vec![], None);
    for (number, line) in file.code() {
        let indent = line.len() - line.trim_start().len();
        match open {
            Some((start, depth)) if indent == depth && line.trim_start().starts_with('}') => {
                functions.push((start, number - start));
                open = None;
            }
            None if begins_function(line) => open = Some((number, indent)),
            _ => {}
        }
    }
    functions
}

#[test]
fn no_function_is_longer_than_120_lines() {
    let mut long = vec![];
    for file in all() {
        for (start, lines) in functions(&file).into_iter().filter(|(_, lines)| *lines > MAX_FUNCTION_LINES) {
            long.push(format!("{}:{start}: {lines} lines", file.path.display()));
        }
    }
    assert!(long.is_empty(), "too long:\n{}", long.join("\n"));
}

/// Numbers of the comment lines that are too wide. Lines of code examples, tables and lines with a
/// URL may be as wide as code.
fn wide_comments(file: &RustFile) -> Vec<usize> {
    let (mut wide, mut is_example) = (vec![], false);
    for (index, line) in file.text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            is_example = false;
            continue;
        };
        let comment = comment.trim_start_matches(['/', '!']).trim_start();
        if comment.starts_with("```") {
            is_example = !is_example;
        }
        let may_be_wide = is_example || comment.starts_with('|') || comment.contains("://");
        if !may_be_wide && line.chars().count() > MAX_COMMENT_COLUMNS {
            wide.push(index + 1);
        }
    }
    wide
}

#[test]
fn comments_wrap_at_100_columns() {
    let mut wide = vec![];
    for file in all() {
        wide.extend(wide_comments(&file).into_iter().map(|number| format!("{}:{number}", file.path.display())));
    }
    assert!(wide.is_empty(), "comments wider than {MAX_COMMENT_COLUMNS} columns:\n{}", wide.join("\n"));
}
