use std::sync::Arc;

use super::cursor::{Document, Parsed, Parser};
use crate::host::shell::grammar::{DocumentBody, Part, Redirect, RedirectKind, Word};

impl Parser {
    /// Parses a redirection, if one starts here.
    pub(super) fn redirect(&mut self) -> Parsed<Option<Redirect>> {
        let start = self.at;
        if self.looking_at("&>") {
            self.refuse("&>")?;
        }
        let digits: String = self.text[self.at..].iter().take_while(|c| c.is_ascii_digit()).collect();
        self.at += digits.len();
        let Some(operator) = self.redirect_operator() else {
            self.at = start;
            return Ok(None);
        };
        if operator == "<>" {
            return Err(self.error("<>: not simulated"));
        }
        let standard = u32::from(!operator.starts_with('<'));
        let descriptor = digits.parse().unwrap_or(standard);
        if self.looking_at("(") || self.looking_at("<") {
            self.refuse("process substitution, or <<<")?;
        }
        self.blanks();
        if operator.starts_with("<<") {
            return self.here_document(descriptor, operator == "<<-").map(Some);
        }
        let target = self.word()?.ok_or_else(|| self.unexpected())?;
        let kind = match operator {
            "<" => RedirectKind::Read(target),
            ">>" => RedirectKind::Append(target),
            ">&" | "<&" => RedirectKind::Duplicate(target),
            _ => RedirectKind::Write(target),
        };
        Ok(Some(Redirect { descriptor, kind }))
    }

    /// Consumes the operator of a redirection, if one comes next.
    fn redirect_operator(&mut self) -> Option<&'static str> {
        let operators = ["<<-", "<<", "<&", "<>", "<", ">>", ">&", ">|", ">"];
        operators.into_iter().find(|operator| self.take(operator))
    }

    /// Parses the delimiter of a here-document, whose lines follow later.
    fn here_document(&mut self, descriptor: u32, strip: bool) -> Parsed<Redirect> {
        let word = self.word()?.ok_or_else(|| self.unexpected())?;
        let literal = word.0.iter().any(|part| matches!(part, Part::Text { quoted: true, .. }));
        let texts = word.0.iter().map(|part| match part {
            Part::Text { text, .. } => text.as_str(),
            _ => "",
        });
        let body = DocumentBody::default();
        self.documents.push(Document { delimiter: texts.collect(), literal, strip, body: Arc::clone(&body) });
        Ok(Redirect { descriptor, kind: RedirectKind::Document(body) })
    }

    /// Reads the lines of a here-document up to its delimiter.
    pub(super) fn read_document(&mut self, document: &Document) -> Parsed<()> {
        let mut text = String::new();
        while self.peek().is_some() {
            let start = self.at;
            while self.next().is_some_and(|c| c != '\n') {}
            let line: String = self.text[start..self.at].iter().collect();
            let line = if document.strip { line.trim_start_matches('\t') } else { &line };
            if line.strip_suffix('\n').unwrap_or(line) == document.delimiter {
                break;
            }
            text.push_str(line);
        }
        let parts = if document.literal {
            vec![Part::Text { text, quoted: true }]
        } else {
            let mut inner = Self::new(&text, self.refuses_bash);
            inner.line = self.line;
            let mut parts = Vec::new();
            inner.double_quoted(&mut parts, None)?;
            parts
        };
        document.body.set(Word(parts)).unwrap_or_default();
        Ok(())
    }
}
