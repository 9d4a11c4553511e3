use super::cursor::{Parsed, Parser, ends_word, push};
use crate::host::shell::grammar::{Part, Word};

impl Parser {
    /// Parses a word, if one starts at the current position.
    pub(super) fn word(&mut self) -> Parsed<Option<Word>> {
        let start = self.at;
        let mut parts = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                c if ends_word(c) => break,
                '\'' => self.single_quoted(&mut parts)?,
                '"' => self.quoted(&mut parts)?,
                '\\' => self.escaped(&mut parts),
                '$' | '`' => self.expansion(&mut parts, false)?,
                c => {
                    self.next();
                    push(&mut parts, c, false);
                }
            }
        }
        Ok((self.at > start).then_some(Word(parts)))
    }

    /// Parses text in single quotes, which is literal.
    pub(super) fn single_quoted(&mut self, parts: &mut Vec<Part>) -> Parsed<()> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('\'') => break,
                Some(c) => text.push(c),
                None => return Err(self.error("Syntax error: Unterminated quoted string")),
            }
        }
        parts.push(Part::Text { text, quoted: true });
        Ok(())
    }

    /// Parses text in double quotes. Empty quotes are a part, too, because they make a field.
    pub(super) fn quoted(&mut self, parts: &mut Vec<Part>) -> Parsed<()> {
        self.next();
        parts.push(Part::Text { text: String::new(), quoted: true });
        self.double_quoted(parts, Some('"'))
    }

    /// Parses a backslash outside quotes.
    pub(super) fn escaped(&mut self, parts: &mut Vec<Part>) {
        self.next();
        match self.next() {
            Some('\n') => {}
            Some(c) => push(parts, c, true),
            None => push(parts, '\\', true),
        }
    }

    /// Parses a backslash in double quotes or in a here-document, in which only the characters of
    /// `special` are escaped.
    pub(super) fn escaped_in_quotes(&mut self, parts: &mut Vec<Part>, special: &str) {
        self.next();
        match self.peek() {
            Some('\n') => drop(self.next()),
            Some(c) if special.contains(c) => {
                self.next();
                push(parts, c, true);
            }
            _ => push(parts, '\\', true),
        }
    }

    /// Parses quoted text up to `end`, or up to the end of the text if it is `None`.
    pub(super) fn double_quoted(&mut self, parts: &mut Vec<Part>, end: Option<char>) -> Parsed<()> {
        loop {
            match self.peek() {
                c if c == end => {
                    self.next();
                    return Ok(());
                }
                None => return Err(self.error("Syntax error: Unterminated quoted string")),
                Some('$' | '`') => self.expansion(parts, true)?,
                Some('\\') => self.escaped_in_quotes(parts, if end.is_some() { "$`\\\"" } else { "$`\\" }),
                Some(c) => {
                    self.next();
                    push(parts, c, true);
                }
            }
        }
    }
}
