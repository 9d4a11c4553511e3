use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use regex::Regex;

/// Regular expressions of the schemas of one workflow, each compiled once.
///
/// A pattern with large classes takes a tenth of a second in a debug build, and an action's pattern
/// applies to a value of each step that uses the action.
#[derive(Debug, Default)]
pub(crate) struct Patterns(Mutex<PatternCache>);

#[derive(Debug, Default)]
struct PatternCache {
    by_text: HashMap<String, Result<Regex, String>>,
    /// Number of patterns that were compiled.
    #[cfg(test)]
    count: usize,
}

impl Patterns {
    /// Returns the compiled `pattern`.
    ///
    /// # Errors
    /// The last line of the compiler's message if the text is not a regular expression, or is too
    /// large.
    pub(crate) fn compile(&self, pattern: &str) -> Result<Regex, String> {
        let mut compiled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = compiled.by_text.get(pattern) {
            return known.clone();
        }
        #[cfg(test)]
        {
            compiled.count += 1;
        }
        let result = Regex::new(pattern).map_err(|error| last_line(&error.to_string()));
        compiled.by_text.insert(pattern.to_owned(), result.clone());
        result
    }

    /// Returns the number of patterns that were compiled.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }
}

fn last_line(message: &str) -> String {
    message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_compiled_once() {
        let patterns = Patterns::default();
        for text in ["^a$", "(", "^a$", "("] {
            assert_eq!(patterns.compile(text).is_ok(), text != "(");
        }
        assert_eq!(patterns.count(), 2);
        assert_eq!(patterns.compile("(").expect_err("not a pattern"), "unclosed group");
    }
}
