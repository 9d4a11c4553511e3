use serde::Serialize;

/// Where something is written: a range of bytes, and the line and column (in characters) of its start, both from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
    /// Line of the first byte, from 1; 0 when it is nowhere in the file.
    pub line: usize,
    /// Column of the first byte in characters, from 1; 0 when it is nowhere in the file.
    pub column: usize,
}

/// Something and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// What is written there.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// `value`, written at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// The text of one file.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    lines: Vec<usize>,
}

impl Source {
    /// `text`, shown to people as `name`.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, lines }
    }

    /// What people know the file as.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The span of the bytes `start..end`, cut down to what the file has.
    pub fn span(&self, start: usize, end: usize) -> Span {
        let start = self.floor(start);
        let end = self.floor(end).max(start);
        let line = self.lines.partition_point(|&begin| begin <= start);
        let column = self.text[self.lines[line - 1]..start].chars().count() + 1;
        Span { start, end, line, column }
    }

    /// The span of the bytes `start..end`, which are inside `outer`: cheap even where lines are very long.
    pub(super) fn within(&self, outer: Span, start: usize, end: usize) -> Span {
        match self.text.get(outer.start..start) {
            Some(between) if !between.contains('\n') && outer.line > 0 && self.text.get(start..end).is_some() => {
                Span { start, end, line: outer.line, column: outer.column + between.chars().count() }
            }
            _ => self.span(start, end),
        }
    }

    /// The span of the one character at `line` and `column`, both from 1; the end of the line if that is shorter.
    pub(super) fn place(&self, line: u64, column: u64) -> Span {
        let index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
        let begin = self.lines[index(line).min(self.lines.len() - 1)];
        let line = self.text[begin..].lines().next().unwrap_or_default();
        let (at, length) = line.char_indices().nth(index(column)).map_or((line.len(), 0), |(at, c)| (at, c.len_utf8()));
        self.span(begin + at, begin + at + length)
    }

    /// The text at `span`.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    fn floor(&self, at: usize) -> usize {
        (0..=at.min(self.text.len())).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_knows_its_line_and_its_column_in_characters() {
        let source = Source::new("f", "eins\nzwölf: x\n");
        let span = source.span(13, 14);
        assert_eq!((source.slice(span), span.line, span.column), ("x", 2, 8));
    }

    #[test]
    fn a_range_outside_the_text_is_cut_down() {
        let source = Source::new("f", "ö");
        assert_eq!(source.span(1, 99), Span { start: 0, end: 2, line: 1, column: 1 });
    }
}
