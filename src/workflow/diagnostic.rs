use std::{collections::HashSet, fmt, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Source, Span};

/// One mistake in a workflow, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// Which kind of mistake, such as `workflow::unknown_key`.
    pub code: &'static str,
    /// What is wrong: lower case, no full stop, names the object. Never a secret's value.
    pub message: String,
    /// What is written under the underlined text.
    pub label: String,
    /// The text to underline.
    pub span: Span,
    /// What to do about it.
    pub hint: Option<String>,
    /// The file that `span` is in.
    pub source: Arc<Source>,
}

impl Diagnostic {
    /// A mistake at `span` of `source`.
    pub fn new(
        source: &Arc<Source>,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self { code, message: message.into(), label: label.into(), span, hint: None, source: Arc::clone(source) }
    }

    /// Adds what to do about it.
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

/// `{code, file, line, column, message, label, hint}`.
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

/// Every mistake that was found, in the order of the text. Never empty.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// `None` when there is no mistake. The same mistake at the same place is kept once.
    pub fn collect(mut found: Vec<Diagnostic>) -> Option<Self> {
        found.sort_by(|a, b| {
            (a.source.name(), a.span.start, a.span.end).cmp(&(b.source.name(), b.span.start, b.span.end))
        });
        let mut seen = HashSet::with_capacity(found.len());
        found.retain(|mistake| {
            let Diagnostic { message, span, source, .. } = mistake;
            seen.insert((source.name().to_owned(), span.start, span.end, message.clone()))
        });
        (!found.is_empty()).then_some(Self(found))
    }

    /// The mistakes.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// The mistakes, to be joined with others.
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
            1 => write!(f, "{file}: 1 mistake"),
            many => write!(f, "{file}: {many} mistakes"),
        }
    }
}

impl std::error::Error for Diagnostics {}
