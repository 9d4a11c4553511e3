use serde::Serialize;

/// Place in a file: a range of bytes, with line and column (in characters) of its start, both from
/// 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
    /// Line of the first byte, from 1; 0 if the value is not in the file.
    pub line: usize,
    /// Column of the first byte in characters, from 1; 0 if the value is not in the file.
    pub column: usize,
}

/// A value with its place in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The value itself.
    pub value: T,
    /// Place of the value.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Creates `value` with the place `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// Name and text of one file.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    name: String,
    text: String,
    /// Offsets of the starts of the lines.
    lines: Vec<usize>,
}

impl SourceFile {
    /// Creates the file `name` with this text. The name is used in messages only.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, lines }
    }

    /// Returns the name that messages show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the span of the bytes `start..end`, limited to the file and to whole characters.
    pub fn span(&self, start: usize, end: usize) -> Span {
        let start = self.floor(start);
        let end = self.floor(end).max(start);
        let line = self.lines.partition_point(|&line_start| line_start <= start);
        let column = self.text[self.lines[line - 1]..start].chars().count() + 1;
        Span { start, end, line, column }
    }

    /// Returns the span of the bytes `start..end` inside `outer`. The cost does not depend on the
    /// length of the line.
    pub(super) fn within(&self, outer: Span, start: usize, end: usize) -> Span {
        match self.text.get(outer.start..start) {
            Some(between) if !between.contains('\n') && outer.line > 0 && self.text.get(start..end).is_some() => {
                Span { start, end, line: outer.line, column: outer.column + between.chars().count() }
            }
            _ => self.span(start, end),
        }
    }

    /// Returns the span of the character at `line` and `column`, both from 1; the end of the line
    /// if it is shorter.
    pub(super) fn character(&self, line: u64, column: u64) -> Span {
        let index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
        let line_start = self.lines[index(line).min(self.lines.len() - 1)];
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        let (at, length) = line.char_indices().nth(index(column)).map_or((line.len(), 0), |(at, c)| (at, c.len_utf8()));
        self.span(line_start + at, line_start + at + length)
    }

    /// Returns the file with asterisks at `spans`, whose text must not be shown. Lines stay as they
    /// are.
    pub(crate) fn masked(&self, spans: impl IntoIterator<Item = Span>) -> Self {
        let mut text = self.text.clone().into_bytes();
        for span in spans {
            let hidden = text.get_mut(span.start..span.end).into_iter().flatten();
            hidden.filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
        }
        // Spans begin and end between characters.
        let text = String::from_utf8(text).unwrap_or_default();
        Self { name: self.name.clone(), text, lines: self.lines.clone() }
    }

    /// Returns the text at `span`.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Returns the last character boundary at or before `at`.
    fn floor(&self, at: usize) -> usize {
        (0..=at.min(self.text.len())).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_line_and_column_in_characters() {
        let source = SourceFile::new("f", "eins\nzwölf: x\n");
        let span = source.span(13, 14);
        assert_eq!((source.slice(span), span.line, span.column), ("x", 2, 8));
    }

    #[test]
    fn a_range_outside_the_text_is_limited() {
        let source = SourceFile::new("f", "ö");
        assert_eq!(source.span(1, 99), Span { start: 0, end: 2, line: 1, column: 1 });
    }
}
