use crate::host::shell::grammar::{DocumentBody, Part};

/// Syntax error of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// Line on which the error was found, from 1.
    pub(crate) line: usize,
    /// Message in dash's wording.
    pub(crate) message: String,
    /// True if more lines could complete the script.
    pub(crate) incomplete: bool,
}

/// Result of parsing one construct.
pub(super) type Parsed<T> = Result<T, ParseError>;

/// State of the parser: the characters of the script and the position.
pub(super) struct Parser {
    pub(super) text: Vec<char>,
    pub(super) at: usize,
    pub(super) line: usize,
    /// Here-documents whose lines start after the next line end.
    pub(super) documents: Vec<Document>,
    /// Number of commands and expansions that the position is inside of.
    pub(super) depth: usize,
    /// True if constructs that only bash has are reported as not simulated.
    pub(super) refuses_bash: bool,
}

/// Here-document that was announced: its delimiter, and the flags of its expansion.
pub(super) struct Document {
    pub(super) delimiter: String,
    pub(super) literal: bool,
    pub(super) strip: bool,
    pub(super) body: DocumentBody,
}

/// Maximum depth of commands and expansions in each other. Parsing and running them use the stack.
const MAX_DEPTH: usize = 64;

/// Reserved words and operators that end a list of commands.
const LIST_ENDS: [&str; 9] = ["then", "else", "elif", "fi", "do", "done", "esac", "}", ")"];

/// Characters that end a word, in addition to blanks.
const OPERATORS: &str = ";&|()<>";

impl Parser {
    /// Creates a parser at the start of a script.
    pub(super) fn new(script: &str, refuses_bash: bool) -> Self {
        Self { text: script.chars().collect(), at: 0, line: 1, documents: Vec::new(), depth: 0, refuses_bash }
    }

    /// Parses a construct that can contain others of its kind.
    ///
    /// # Errors
    /// More than [`MAX_DEPTH`] of them contain each other.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("Syntax error: more than {MAX_DEPTH} nested constructs are not simulated")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Returns the current character without consuming it.
    pub(super) fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    /// Returns true if the remaining script starts with `text`.
    pub(super) fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(offset, c)| self.text.get(self.at + offset) == Some(&c))
    }

    /// Consumes and returns the current character.
    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    /// Consumes `text` if it comes next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let is_next = self.looking_at(text);
        if is_next {
            for _ in text.chars() {
                self.next();
            }
        }
        is_next
    }

    /// Returns an error at the current line.
    pub(super) fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError { line: self.line, message: message.into(), incomplete: self.at >= self.text.len() }
    }

    /// Returns dash's error for an unexpected word or the end of the script.
    pub(super) fn unexpected(&self) -> ParseError {
        let token: String = match self.peek() {
            None => return self.error("Syntax error: end of file unexpected"),
            Some('\n') => return self.error("Syntax error: newline unexpected"),
            Some(_) if self.looking_at(";;") => ";;".to_owned(),
            Some(c) if OPERATORS.contains(c) => c.to_string(),
            Some(_) => {
                self.text[self.at..].iter().take_while(|c| !c.is_whitespace() && !";&|()".contains(**c)).collect()
            }
        };
        self.error(format!("Syntax error: \"{token}\" unexpected"))
    }

    /// Skips blanks, comments and continued lines.
    pub(super) fn blanks(&mut self) {
        loop {
            if self.take("\\\n") {
                continue;
            }
            match self.peek() {
                Some(' ' | '\t') => drop(self.next()),
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                _ => return,
            }
        }
    }

    /// Skips blanks, comments and line ends, with the here-documents after them.
    pub(super) fn newlines(&mut self) -> Parsed<()> {
        loop {
            self.blanks();
            if self.peek() != Some('\n') {
                return Ok(());
            }
            self.line_end()?;
        }
    }

    /// Consumes a line end and reads the here-documents after it.
    pub(super) fn line_end(&mut self) -> Parsed<()> {
        self.next();
        for document in std::mem::take(&mut self.documents) {
            self.read_document(&document)?;
        }
        Ok(())
    }

    /// Returns true if a list of commands ends here.
    pub(super) fn ends_list(&self) -> bool {
        self.looking_at(";;")
            || LIST_ENDS.iter().any(|word| *word == ")" && self.looking_at(word) || self.is_word(word))
    }

    /// Returns true if `word` comes next and a word ends after it.
    fn is_word(&self, word: &str) -> bool {
        let after = self.text.get(self.at + word.chars().count());
        self.looking_at(word) && after.is_none_or(|c| matches!(c, ' ' | '\t' | '\n') || OPERATORS.contains(*c))
    }

    /// Consumes a reserved word if it comes next.
    pub(super) fn keyword(&mut self, word: &str) -> bool {
        self.blanks();
        self.is_word(word) && self.take(word)
    }

    /// Consumes a reserved word that must come next.
    pub(super) fn expect(&mut self, word: &str) -> Parsed<()> {
        self.newlines()?;
        if self.keyword(word) || (word == ")" && self.take(word)) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Parses the name of a variable; empty if none starts here.
    pub(super) fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            let fits = c == '_' || c.is_ascii_alphabetic() || (!name.is_empty() && c.is_ascii_digit());
            if !fits {
                break;
            }
            name.push(c);
            self.next();
        }
        name
    }

    /// Returns an error for a construct of bash that is not simulated.
    ///
    /// dash reads the same characters as something else.
    pub(super) fn refuse(&self, construct: &str) -> Parsed<()> {
        if self.refuses_bash { Err(self.error(format!("{construct}: not simulated"))) } else { Ok(()) }
    }
}

/// Returns true if a character ends an unquoted word.
pub(super) fn ends_word(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n') || OPERATORS.contains(c)
}

/// Appends a character to the text at the end of `parts`.
pub(super) fn push(parts: &mut Vec<Part>, c: char, quoted: bool) {
    match parts.last_mut() {
        Some(Part::Text { text, quoted: same }) if *same == quoted => text.push(c),
        _ => parts.push(Part::Text { text: c.to_string(), quoted }),
    }
}
