use std::{collections::HashMap, fmt::Write as _, ops::Range, sync::Arc};

use super::{
    Diagnostic, Expression, ExpressionError, Patterns, SourceFile, Span, Spanned, SpannedExpression, SpannedTemplate,
    TemplateKind, TextPart,
    suggest::did_you_mean,
    text_parts::{RawTextPart, split},
    yaml_node::{YamlEntry, YamlNode, YamlValue},
};

/// Maximum cost of a file's different expressions that CEL parses, which excludes plain references:
/// the sum of their bytes, plus [`PROGRAM_COST`] for each. CEL parses this much in half a second in
/// a debug build.
const MAX_PROGRAM_COST: usize = 96 << 10;
/// Cost of an expression in addition to its bytes.
const PROGRAM_COST: usize = 96;

/// Maximum number of literals and expressions in one text. Usual texts have a few, and the place of
/// each is searched in the file.
const MAX_TEXT_PARTS: usize = 200;

/// Maximum length of a name, in bytes: longer ones make the output hard to read.
const MAX_NAME_BYTES: usize = 64;

/// Reads the parts of one file and collects the errors.
pub(super) struct Reader {
    /// File that is read.
    pub(super) source: Arc<SourceFile>,
    /// Errors that were found.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Patterns of the inputs' schemas, compiled.
    pub(super) patterns: Arc<Patterns>,
    /// Results of the parser by text.
    parsed: HashMap<String, Result<Expression, ExpressionError>>,
    /// Cost of the programs that were parsed.
    programs: usize,
}

impl Reader {
    pub(super) fn new(source: Arc<SourceFile>, patterns: Arc<Patterns>) -> Self {
        Self { source, diagnostics: Vec::new(), patterns, parsed: HashMap::new(), programs: 0 }
    }

    /// Adds an error.
    pub(super) fn report(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let diagnostic = Diagnostic::new(&self.source, code, span, message, label).with_hint(hint);
        self.diagnostics.push(diagnostic);
    }

    /// Returns the entries of a map with free names. Reports a value that is not a map, and
    /// duplicate keys.
    pub(super) fn entries<'a>(&mut self, node: &'a YamlNode, what: &str) -> Vec<&'a YamlEntry> {
        let YamlValue::Map(entries) = &node.kind else {
            self.expected(node, what, "a map");
            return Vec::new();
        };
        self.unique(entries, what)
    }

    /// Reports duplicate keys and returns the entries without them.
    fn unique<'a>(&mut self, entries: &'a [YamlEntry], what: &str) -> Vec<&'a YamlEntry> {
        let mut kept: Vec<&YamlEntry> = Vec::with_capacity(entries.len());
        let mut at: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
        for entry in entries {
            let key = &entry.key;
            match at.get(key.value.as_str()) {
                None => {
                    at.insert(&key.value, kept.len());
                    kept.push(entry);
                }
                Some(&first) if entry.own && kept[first].own => {
                    let line = kept[first].key.span.line;
                    let message = format!("{what} has {:?} twice", key.value);
                    self.report(
                        "workflow::duplicate_key",
                        key.span,
                        message,
                        "the second",
                        format!("the first is on line {line}"),
                    );
                }
                // An entry of the map itself replaces one from a merge key.
                Some(&first) if entry.own => kept[first] = entry,
                Some(_) => {}
            }
        }
        kept
    }

    /// Returns the entries of a map with fixed keys. Reports any other key.
    pub(super) fn fields<'a>(&mut self, node: &'a YamlNode, what: &str, known: &[&str]) -> YamlFields<'a> {
        let entries = self.entries(node, what);
        for entry in &entries {
            let key = &entry.key;
            if !known.contains(&key.value.as_str()) {
                let hint = did_you_mean(&key.value, known.iter().copied())
                    .unwrap_or_else(|| format!("{what} can have {}", list(known)));
                let message = format!("unknown key {:?} in {what}", key.value);
                self.report("workflow::unknown_key", key.span, message, "not known here", hint);
            }
        }
        YamlFields(entries)
    }

    /// Reports a value of the wrong type.
    pub(super) fn expected(&mut self, node: &YamlNode, what: &str, expected: &str) {
        let message = format!("{what} must be {expected}, this is {}", node.describe());
        self.report("workflow::type", node.span, message, format!("expected {expected}"), None);
    }

    /// Reports a name that expressions cannot use.
    pub(super) fn name(&mut self, key: &Spanned<String>, what: &str) {
        if is_name(&key.value) {
            return;
        }
        let rule = "a name is a lower-case letter, followed by lower-case letters, digits and underscores";
        let better: String =
            key.value.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let hint = if is_name(&better) { format!("{rule}, such as {better:?}") } else { rule.to_owned() };
        let message = format!("{:?} cannot be the name of {what}", key.value);
        self.report("workflow::name", key.span, message, "not a name", hint);
    }

    /// Reads text without expressions. Reports any other value.
    pub(super) fn text(&mut self, node: &YamlNode, what: &str) -> Option<Spanned<String>> {
        match &node.kind {
            YamlValue::Text(text) if !text.contains("${{") => Some(Spanned::new(text.clone(), node.span)),
            YamlValue::Text(_) => {
                let message = format!("{what} cannot contain an expression");
                self.report("workflow::expression", node.span, message, "no expression here", None);
                None
            }
            _ => {
                self.expected(node, what, "text");
                None
            }
        }
    }

    /// Reads a value that can contain expressions.
    pub(super) fn template(&mut self, node: &YamlNode) -> SpannedTemplate {
        let kind = match &node.kind {
            YamlValue::Null => TemplateKind::Null,
            YamlValue::Bool(value) => TemplateKind::Bool(*value),
            YamlValue::Number(number) => TemplateKind::Number(number.clone()),
            YamlValue::Text(text) => self.text_parts(text, node.span),
            YamlValue::List(items) => TemplateKind::List(items.iter().map(|item| self.template(item)).collect()),
            YamlValue::Map(entries) => {
                let entries = self.unique(entries, "the map");
                TemplateKind::Map(entries.into_iter().map(|entry| self.template_entry(entry)).collect())
            }
        };
        SpannedTemplate { kind, span: node.span }
    }

    /// Reads one entry of a map. Keys cannot contain expressions.
    fn template_entry(&mut self, entry: &YamlEntry) -> (Spanned<String>, SpannedTemplate) {
        if entry.key.value.contains("${{") {
            let message = format!("the key {:?} cannot contain an expression", entry.key.value);
            self.report("workflow::expression", entry.key.span, message, "no expression here", None);
        }
        (entry.key.clone(), self.template(&entry.value))
    }

    /// Reads a value that is exactly one expression. Reports any other value.
    pub(super) fn expression(&mut self, node: &YamlNode, what: &str) -> Option<SpannedExpression> {
        let YamlValue::Text(text) = &node.kind else {
            self.not_one_expression(node, what);
            return None;
        };
        let [RawTextPart::Expression(_) | RawTextPart::Open(_)] = split(text.trim()).as_slice() else {
            self.not_one_expression(node, what);
            return None;
        };
        match self.text_parts(text.trim(), node.span) {
            TemplateKind::Expression(placed) => Some(placed),
            _ => None,
        }
    }

    /// Reads a list: one expression, or a list without expressions.
    pub(super) fn list_expression(&mut self, node: &YamlNode, what: &str) -> Option<SpannedExpression> {
        if !matches!(node.kind, YamlValue::List(_)) {
            return self.expression(node, what);
        }
        let template = self.template(node);
        let Some(list) = template.to_json() else {
            if !matches!(template.kind, TemplateKind::Unknown) {
                self.not_one_expression(node, what);
            }
            return None;
        };
        // A list in JSON is an expression as well.
        let Ok(expression) = Expression::parse(&list.to_string()) else {
            self.not_one_expression(node, what);
            return None;
        };
        Some(SpannedExpression { expression, span: node.span, exact: false })
    }

    /// Reports a value that is not exactly one expression.
    fn not_one_expression(&mut self, node: &YamlNode, what: &str) {
        let message = format!("{what} must be one expression");
        let hint = "write it as ${{ … }}, with nothing before or after it; use + to join texts".to_owned();
        self.report("workflow::expression", node.span, message, "not one expression", hint);
    }

    /// Reads a text with expressions. One that cannot be parsed is reported and omitted, so that
    /// the rest can be checked.
    fn text_parts(&mut self, text: &str, span: Span) -> TemplateKind {
        let raw = split(text);
        if raw.len() > MAX_TEXT_PARTS {
            let message = format!("the text has more than {MAX_TEXT_PARTS} parts");
            self.report("workflow::expression", span, message, "too many", "compute it in an action".to_owned());
            return TemplateKind::Unknown;
        }
        let source = Arc::clone(&self.source);
        let mut spans = ExpressionSpans::new(&source, span);
        let mut parts = Vec::with_capacity(raw.len());
        for piece in &raw {
            match piece {
                RawTextPart::Literal(literal) => parts.push(TextPart::Literal(literal.clone())),
                RawTextPart::Open(_) => {
                    let hint = "close it with }}; write $${{ for a literal ${{".to_owned();
                    self.report("workflow::expression", span, "an expression is not closed", "no }} follows", hint);
                }
                RawTextPart::Expression(inner) => {
                    let (at, exact) = spans.next(inner);
                    parts.extend(self.parse(inner, at, exact).map(TextPart::Expression));
                }
            }
        }
        match (raw.len(), parts.pop()) {
            (1, Some(TextPart::Expression(placed))) => TemplateKind::Expression(placed),
            (0, None) => TemplateKind::Text(String::new()),
            (_, None) => TemplateKind::Unknown,
            (1, Some(TextPart::Literal(text))) => TemplateKind::Text(text),
            (_, Some(last)) => {
                parts.push(last);
                TemplateKind::Parts(parts)
            }
        }
    }

    /// Parses the text between `${{` and `}}`, and reports an error at its place.
    fn parse(&mut self, inner: &str, span: Span, exact: bool) -> Option<SpannedExpression> {
        match self.parse_once(inner) {
            Ok(expression) => Some(SpannedExpression { expression, span, exact }),
            Err(error) => {
                let ExpressionError { message, range, hint } = error;
                let whole: Range<usize> = 0..inner.len();
                let range = range.filter(|_| exact).unwrap_or(whole);
                let span =
                    if exact { self.source.span(span.start + range.start, span.start + range.end) } else { span };
                self.report("workflow::expression", span, message, "here", hint);
                None
            }
        }
    }

    /// Parses an expression, or returns the result for the same text. The total cost of a file is
    /// limited.
    fn parse_once(&mut self, inner: &str) -> Result<Expression, ExpressionError> {
        if let Some(known) = self.parsed.get(inner) {
            return known.clone();
        }
        if self.programs > MAX_PROGRAM_COST {
            let message = "the file has too many expressions that are more than references".to_owned();
            return Err(ExpressionError { message, range: None, hint: Some("compute more in actions".into()) });
        }
        let parsed = Expression::parse(inner);
        if !matches!(&parsed, Ok(expression) if expression.program().is_none()) {
            self.programs += inner.len() + PROGRAM_COST;
        }
        self.parsed.insert(inner.to_owned(), parsed.clone());
        parsed
    }
}

/// Entries of a map with fixed keys.
pub(super) struct YamlFields<'a>(Vec<&'a YamlEntry>);

impl<'a> YamlFields<'a> {
    /// Returns the entry of `key`.
    pub(super) fn find(&self, key: &str) -> Option<&'a YamlEntry> {
        self.0.iter().copied().find(|entry| entry.key.value == key)
    }

    /// Returns the value of `key`.
    pub(super) fn value(&self, key: &str) -> Option<&'a YamlNode> {
        self.find(key).map(|entry| &entry.value)
    }
}

/// Finds the places of a text's expressions in the file, in the order of the text.
struct ExpressionSpans<'a> {
    source: &'a SourceFile,
    span: Span,
    /// Offset within the text from which the next expression is searched.
    from: usize,
}

impl<'a> ExpressionSpans<'a> {
    fn new(source: &'a SourceFile, span: Span) -> Self {
        Self { source, span, from: 0 }
    }

    /// Returns the place of the next expression, and true if its text is written literally there.
    fn next(&mut self, inner: &str) -> (Span, bool) {
        let written = &self.source.slice(self.span)[self.from..];
        let opening = format!("${{{{{inner}}}}}");
        match written.find(&opening) {
            Some(at) => {
                let start = self.span.start + self.from + at + 3;
                self.from += at + opening.len();
                (self.source.within(self.span, start, start + inner.len()), true)
            }
            None => (self.span, false),
        }
    }
}

/// Returns true if `text` can be the name of a step, an input, an output or a loop variable.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Joins names as `a, b and c`.
pub(super) fn list(names: &[&str]) -> String {
    let mut text = String::new();
    for (at, name) in names.iter().enumerate() {
        let separator = if at == 0 {
            ""
        } else if at + 1 == names.len() {
            " and "
        } else {
            ", "
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{name}");
    }
    text
}
