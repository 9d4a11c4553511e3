use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, options::DuplicateKeyPolicy};

use super::{SourceFile, Span, Spanned, large_stack};

/// Maximum nesting of a file. The stack of the parser's thread is large enough for it, in a debug
/// build too.
const MAX_DEPTH: usize = 64;
/// Maximum number of nodes of a file, those that aliases repeat included. An exponential chain of
/// aliases is refused in a tenth of a second.
const MAX_NODES: usize = 20_000;
/// Maximum size of a file, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// A value of a file with its place. A value from an alias or a merge key has the place of the
/// anchor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct YamlNode {
    pub(super) kind: YamlValue,
    pub(super) span: Span,
}

/// Value of a [`YamlNode`].
#[derive(Debug, Clone, PartialEq)]
pub(super) enum YamlValue {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<YamlNode>),
    Map(Vec<YamlEntry>),
}

/// One key of a map and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct YamlEntry {
    pub(super) key: Spanned<String>,
    pub(super) value: YamlNode,
    /// True if the entry is written in the map itself, false if it is from a merge key.
    pub(super) own: bool,
}

impl YamlNode {
    /// Returns the type of the value as text for people.
    pub(super) fn describe(&self) -> &'static str {
        match self.kind {
            YamlValue::Null => "nothing",
            YamlValue::Bool(_) => "true or false",
            YamlValue::Number(_) => "a number",
            YamlValue::Text(_) => "text",
            YamlValue::List(_) => "a list",
            YamlValue::Map(_) => "a map",
        }
    }

    /// Returns the value as JSON.
    pub(super) fn to_json(&self) -> Value {
        match &self.kind {
            YamlValue::Null => Value::Null,
            YamlValue::Bool(value) => Value::Bool(*value),
            YamlValue::Number(number) => Value::Number(number.clone()),
            YamlValue::Text(text) => Value::String(text.clone()),
            YamlValue::List(items) => items.iter().map(Self::to_json).collect(),
            YamlValue::Map(entries) => {
                let entries = entries.iter().map(|entry| (entry.key.value.clone(), entry.value.to_json()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

/// Reason for which a file could not be read as YAML.
pub(super) struct ReadError {
    /// Description of the error.
    pub(super) message: String,
    pub(super) span: Span,
    /// Advice to the reader.
    pub(super) hint: Option<String>,
}

/// Reads the only document of `source`.
///
/// # Errors
/// The text is not YAML, has several documents, or exceeds a limit.
pub(super) fn read(source: &Arc<SourceFile>) -> Result<YamlNode, ReadError> {
    let shared = Arc::clone(source);
    large_stack::run(move || read_here(&shared)).unwrap_or_else(|| {
        let span = source.span(0, 0);
        Err(ReadError { message: "the file cannot be read as YAML".into(), span, hint: None })
    })
}

/// Reads the document on the current thread.
fn read_here(source: &SourceFile) -> Result<YamlNode, ReadError> {
    let text = source.text();
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, {MAX_BYTES} are allowed", text.len());
        return Err(ReadError { message, span: source.span(0, 0), hint: None });
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
        },
        // The work for merge keys that include each other doubles with each level.
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 4 * MAX_NODES },
        // The reader reports all of them, not only the first.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    let read = serde_saphyr::from_str_with_options::<RawYaml>(text, options);
    read.map(|raw| raw.into_node(source)).map_err(|error| describe(source, &error))
}

/// Converts an error of the YAML parser to a message with a place and a hint.
fn describe(source: &SourceFile, error: &serde_saphyr::Error) -> ReadError {
    let place = error.location();
    let span = place.map_or_else(|| source.span(0, 0), |location| span(source, location));
    let words = first_line(&error.without_snippet().to_string());
    let (message, hint) = if let serde_saphyr::Error::MultipleDocuments { .. } = error.without_snippet() {
        ("the file has more than one document".to_owned(), Some("write one document per file"))
    } else if words.starts_with("budget breached") || words.contains("alias") && words.contains("limit") {
        let limits = format!("{MAX_NODES} values and {MAX_DEPTH} levels are allowed, those of aliases included");
        (format!("the file is too large: {limits}"), Some("split it into several files"))
    } else {
        let quotes = "put a text that contains a colon and a blank in quotes";
        let hint = words.starts_with("mapping values are not allowed").then_some(quotes);
        (format!("the file is not YAML: {words}"), hint)
    };
    ReadError { message, span, hint: hint.map(str::to_owned) }
}

/// Returns the first line of an error without its place, which the span shows.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = line.strip_prefix("line ").and_then(|rest| rest.split_once(": ")).map_or(line, |(_, rest)| rest);
    line.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Converts a location of the YAML parser to a span.
fn span(source: &SourceFile, location: Location) -> Span {
    let at = location.span();
    let (Some(start), Some(length)) = (at.byte_offset(), at.byte_len()) else {
        // Errors of the scanner have only line and column.
        return source.character(location.line(), location.column());
    };
    let (start, length) = (usize::try_from(start).unwrap_or(0), usize::try_from(length).unwrap_or(0));
    let number = |of: u64| usize::try_from(of).unwrap_or(0);
    let written = source.text().get(start..start.saturating_add(length)).unwrap_or_default();
    // The scanner includes the line break after a plain or block scalar.
    let end = start + written.trim_end().len();
    Span { start, end, line: number(location.line()), column: number(location.column()) }
}

/// A key with its value.
type RawYamlEntry = (serde_saphyr::Spanned<String>, RawYaml);

/// A node as serde reads it. `Spanned` needs a type for the value below it, so each level has its
/// place.
struct RawYaml(serde_saphyr::Spanned<RawYamlValue>);

/// Value of a [`RawYaml`].
enum RawYamlValue {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<RawYaml>),
    Map(Vec<RawYamlEntry>),
}

impl RawYaml {
    /// Converts to a node with spans of `source`.
    fn into_node(self, source: &SourceFile) -> YamlNode {
        let span = span(source, self.0.defined);
        let kind = match self.0.value {
            RawYamlValue::Null => YamlValue::Null,
            RawYamlValue::Bool(value) => YamlValue::Bool(value),
            RawYamlValue::Number(number) => YamlValue::Number(number),
            RawYamlValue::Text(text) => YamlValue::Text(text),
            RawYamlValue::List(items) => {
                YamlValue::List(items.into_iter().map(|item| item.into_node(source)).collect())
            }
            RawYamlValue::Map(entries) => {
                YamlValue::Map(entries.into_iter().map(|entry| into_entry(entry, source)).collect())
            }
        };
        YamlNode { kind, span }
    }
}

/// Converts an entry. An entry from a merge key has a different place of reference and definition.
fn into_entry((key, value): RawYamlEntry, source: &SourceFile) -> YamlEntry {
    let own = key.referenced == key.defined;
    YamlEntry { key: Spanned::new(key.value, span(source, key.defined)), value: value.into_node(source), own }
}

impl<'de> Deserialize<'de> for RawYaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_saphyr::Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for RawYamlValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

/// Visitor that accepts any YAML value.
struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawYamlValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<RawYamlValue, E> {
        Ok(RawYamlValue::Null)
    }

    fn visit_none<E>(self) -> Result<RawYamlValue, E> {
        Ok(RawYamlValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawYamlValue, E> {
        Ok(RawYamlValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawYamlValue, E> {
        Ok(RawYamlValue::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawYamlValue, E> {
        Ok(RawYamlValue::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<RawYamlValue, E> {
        Number::from_f64(value).map(RawYamlValue::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawYamlValue, E> {
        Ok(RawYamlValue::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<RawYamlValue, E> {
        Ok(RawYamlValue::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawYamlValue, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawYamlValue::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawYamlValue, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(RawYamlValue::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Vec<String> {
        let source = Arc::new(SourceFile::new("f", text));
        let node = read(&source).unwrap_or_else(|e| panic!("{}", e.message));
        let mut found = Vec::new();
        collect(&source, &node, &mut found);
        found
    }

    fn collect(source: &SourceFile, node: &YamlNode, found: &mut Vec<String>) {
        match &node.kind {
            YamlValue::List(items) => items.iter().for_each(|item| collect(source, item, found)),
            YamlValue::Map(entries) => {
                for entry in entries {
                    let key = &entry.key;
                    found.push(format!("{}:{} {}", key.span.line, key.span.column, source.slice(key.span)));
                    collect(source, &entry.value, found);
                }
            }
            _ => found.push(format!("{}:{} {}", node.span.line, node.span.column, source.slice(node.span))),
        }
    }

    #[test]
    fn each_key_and_value_has_its_place() {
        let text = "a: 1\nb:\n  - \"zw\u{f6}lf\" # why\n  - {c: true}\n";
        assert_eq!(written(text), ["1:1 a", "1:4 1", "2:1 b", "3:5 \"zw\u{f6}lf\"", "4:6 c", "4:9 true"]);
    }

    #[test]
    fn an_alias_has_the_place_of_its_anchor() {
        assert_eq!(written("a: &x {k: v}\nb: *x\n"), ["1:1 a", "1:8 k", "1:11 v", "2:1 b", "1:8 k", "1:11 v"]);
    }

    #[test]
    fn a_merge_key_adds_missing_entries() {
        let source = Arc::new(SourceFile::new("f", "a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3\n"));
        let node = read(&source).unwrap_or_else(|e| panic!("{}", e.message));
        assert_eq!(node.to_json(), serde_json::json!({"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}}));
    }

    #[test]
    fn scalars_have_the_types_of_json() {
        let text = "[yes, no, on, 014, 1_000, 0.5, -3, null, ~, '7', 18446744073709551615]";
        let node = read(&Arc::new(SourceFile::new("f", text))).unwrap_or_else(|e| panic!("{}", e.message));
        let expected = serde_json::json!([
            "yes",
            "no",
            "on",
            "014",
            "1_000",
            0.5,
            -3,
            null,
            null,
            "7",
            18_446_744_073_709_551_615_u64
        ]);
        assert_eq!(node.to_json(), expected);
    }
}
