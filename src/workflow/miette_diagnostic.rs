//! Implementations of [`miette::Diagnostic`], for programs that show errors with the underlined
//! source.

use std::fmt;

use super::{Diagnostic, Diagnostics, Severity, SourceFile};

/// Maximum number of lines that are underlined.
const MAX_LINES: usize = 6;

impl miette::Diagnostic for Diagnostic {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&*self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let label = Some(self.label.clone()).filter(|label| !label.is_empty());
        Some(Box::new(std::iter::once(miette::LabeledSpan::new(label, self.span.start, underlined(self)))))
    }
}

/// Returns the number of bytes to underline. Of a long part, such as a whole file, only the first
/// line is underlined and printed.
fn underlined(diagnostic: &Diagnostic) -> usize {
    let text = diagnostic.source.slice(diagnostic.span);
    match text.lines().next() {
        Some(first) if text.lines().count() > MAX_LINES => first.len(),
        _ => text.len(),
    }
}

impl miette::SourceCode for SourceFile {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let contents = self.text().read_span(span, before, after)?;
        Ok(Box::new(
            miette::MietteSpanContents::new_named(
                self.name().to_owned(),
                contents.data(),
                *contents.span(),
                contents.line(),
                contents.column(),
                contents.line_count(),
            )
            .with_language("yaml"),
        ))
    }
}

impl miette::Diagnostic for Diagnostics {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.iter().map(|diagnostic| diagnostic as &dyn miette::Diagnostic)))
    }
}
