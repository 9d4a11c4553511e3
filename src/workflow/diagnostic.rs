use std::{collections::HashSet, fmt, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{SourceFile, Span};

/// Meaning of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The workflow cannot run.
    Error,
    /// The workflow can run, but probably not as it is meant.
    Warning,
}

/// One error or warning about a workflow, with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// Kind of the error, such as `workflow::unknown_key`.
    pub code: &'static str,
    /// Description: lower case, no full stop, with the name of the object. Never contains the value
    /// of a secret.
    pub message: String,
    /// Text shown below the underlined part.
    pub label: String,
    /// Part of the file to underline.
    pub span: Span,
    /// Advice to the reader.
    pub hint: Option<String>,
    /// File that contains `span`.
    pub source: Arc<SourceFile>,
    /// Error, unless set otherwise.
    pub severity: Severity,
}

impl Diagnostic {
    /// Creates a diagnostic for an error at `span` of `source`.
    pub fn new(
        source: &Arc<SourceFile>,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        let (message, label, source) = (message.into(), label.into(), Arc::clone(source));
        Self { code, message, label, span, hint: None, source, severity: Severity::Error }
    }

    /// Sets the severity.
    #[must_use]
    pub fn with_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// Adds advice to the reader.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// Serialises as an object `{code, file, line, column, message, label, hint}`.
impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Diagnostic", 7)?;
        fields.serialize_field("code", self.code)?;
        fields.serialize_field("file", self.source.name())?;
        fields.serialize_field("line", &self.span.line)?;
        fields.serialize_field("column", &self.span.column)?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("label", &self.label)?;
        fields.serialize_field("hint", &self.hint)?;
        fields.end()
    }
}

/// All errors of a workflow, sorted by file and place. Never empty.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Sorts the errors; `None` if there are none. Equal errors at the same place are kept
    /// once.
    pub fn collect(mut found: Vec<Diagnostic>) -> Option<Self> {
        found.sort_by(|a, b| {
            (a.source.name(), a.span.start, a.span.end).cmp(&(b.source.name(), b.span.start, b.span.end))
        });
        let mut seen = HashSet::with_capacity(found.len());
        found.retain(|error| {
            let Diagnostic { message, span, source, .. } = error;
            seen.insert((source.name().to_owned(), span.start, span.end, message.clone()))
        });
        (!found.is_empty()).then_some(Self(found))
    }

    /// Returns an iterator over the errors.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// Returns the errors as a list.
    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.0
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.0.first().map_or("workflow", |first| first.source.name());
        match self.0.len() {
            1 => write!(f, "{file}: 1 error"),
            many => write!(f, "{file}: {many} errors"),
        }
    }
}

impl std::error::Error for Diagnostics {}
