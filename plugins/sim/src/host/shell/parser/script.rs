use super::cursor::{ParseError, Parsed, Parser};
use crate::host::shell::grammar::List;

/// Parses a whole script into a list of commands.
pub(in crate::host) fn parse(script: &str) -> Result<List, ParseError> {
    parse_in(script, 0)
}

/// Parses a script inside of `depth` constructs.
pub(super) fn parse_in(script: &str, depth: usize) -> Result<List, ParseError> {
    let mut parser = Parser { depth, ..Parser::new(script, false) };
    let list = parser.list()?;
    if parser.peek().is_some() {
        return Err(parser.unexpected());
    }
    parser.end()?;
    Ok(list)
}

/// Script that is parsed while it runs: a syntax error does not affect the lines before it.
pub(in crate::host::shell) struct ScriptLines(Parser);

impl ScriptLines {
    /// Creates a script. With `refuses_bash`, a construct that only bash has is a syntax error.
    pub(in crate::host::shell) fn new(text: &str, refuses_bash: bool) -> Self {
        Self(Parser::new(text, refuses_bash))
    }

    /// Parses the commands up to the end of the next line that completes them; `None` at the end.
    pub(in crate::host::shell) fn next(&mut self) -> Option<Parsed<List>> {
        let parser = &mut self.0;
        if let Err(error) = parser.newlines() {
            return Some(Err(error));
        }
        parser.peek()?;
        Some(parser.line_of_commands())
    }
}

impl Parser {
    /// Parses the commands up to a line end.
    fn line_of_commands(&mut self) -> Parsed<List> {
        let mut items = Vec::new();
        loop {
            if self.ends_list() {
                return Err(self.unexpected());
            }
            let (item, is_separated) = self.item()?;
            items.push(item);
            self.blanks();
            match self.peek() {
                None => break self.end()?,
                Some('\n') => break self.line_end()?,
                Some(_) if is_separated => {}
                Some(_) => return Err(self.unexpected()),
            }
        }
        Ok(List(items))
    }

    /// Reads the here-documents that were announced on the last line of the script.
    fn end(&mut self) -> Parsed<()> {
        if self.documents.is_empty() { Ok(()) } else { self.line_end() }
    }
}

/// Checks that the parser ends for any script, which it accepts or refuses.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_any_script(script: &str) {
    /// Maximum number of lines of a script. A parser that returns more does not advance.
    const MAX_LINES: usize = 100_000;
    let _ = parse(script); // accepted or not
    for refuses_bash in [false, true] {
        let mut lines = ScriptLines::new(script, refuses_bash);
        let mut count = 0;
        while let Some(Ok(_)) = lines.next() {
            count += 1;
            assert!(count < MAX_LINES, "the parser does not advance");
        }
    }
}
