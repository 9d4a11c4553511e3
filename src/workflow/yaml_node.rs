use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, options::DuplicateKeyPolicy};

use super::{Source, Span, Spanned, large_stack};

/// Deepest nesting of a file: enough for any workflow, and little enough for a usual thread's stack.
const MAX_DEPTH: usize = 64;
/// Most nodes of a file, those that aliases repeat included: a bomb of aliases is refused in a tenth of a second.
const MAX_NODES: usize = 20_000;
/// Largest file, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// A value of a file and where it is written. What an alias or a merge key brings in is where the anchor is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct YamlNode {
    pub(super) kind: YamlValue,
    pub(super) span: Span,
}

/// What a [`YamlNode`] is.
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
    /// It stands here, not behind a merge key.
    pub(super) own: bool,
}

impl YamlNode {
    /// What it is, in words.
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

    /// The value without its places.
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

/// Why a file is no YAML that we read.
pub(super) struct ReadError {
    pub(super) message: String,
    pub(super) span: Span,
    pub(super) hint: Option<String>,
}

/// Reads the one document of `source`.
pub(super) fn read(source: &Arc<Source>) -> Result<YamlNode, ReadError> {
    let shared = Arc::clone(source);
    large_stack::run(move || read_here(&shared)).unwrap_or_else(|| {
        let span = source.span(0, 0);
        Err(ReadError { message: "the file cannot be read as YAML".into(), span, hint: None })
    })
}

fn read_here(source: &Source) -> Result<YamlNode, ReadError> {
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
        // Merge keys that bring in each other double their work at every level.
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 4 * MAX_NODES },
        // All of them are reported by us, not only the first.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    let read = serde_saphyr::from_str_with_options::<RawYaml>(text, options);
    read.map(|raw| raw.into_node(source)).map_err(|error| describe(source, &error))
}

fn describe(source: &Source, error: &serde_saphyr::Error) -> ReadError {
    let place = error.location();
    let span = place.map_or_else(|| source.span(0, 0), |location| span(source, location));
    let words = first_line(&error.without_snippet().to_string());
    let (message, hint) = if let serde_saphyr::Error::MultipleDocuments { .. } = error.without_snippet() {
        ("the file has more than one document".to_owned(), Some("write one workflow per file"))
    } else if words.starts_with("budget breached") || words.contains("alias") && words.contains("limit") {
        let limits = format!("{MAX_NODES} values and {MAX_DEPTH} levels are allowed, what aliases repeat included");
        (format!("the file is too large: {limits}"), Some("split it over several workflows"))
    } else {
        let quotes = "put a text that contains a colon and a blank in quotes";
        let hint = words.starts_with("mapping values are not allowed").then_some(quotes);
        (format!("the file is no YAML: {words}"), hint)
    };
    ReadError { message, span, hint: hint.map(str::to_owned) }
}

// The place is shown by the span.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = line.strip_prefix("line ").and_then(|rest| rest.split_once(": ")).map_or(line, |(_, rest)| rest);
    line.split(" at line ").next().unwrap_or_default().to_owned()
}

fn span(source: &Source, location: Location) -> Span {
    let at = location.span();
    let (Some(start), Some(length)) = (at.byte_offset(), at.byte_len()) else {
        // Errors of the scanner know only line and column.
        return source.place(location.line(), location.column());
    };
    let (start, length) = (usize::try_from(start).unwrap_or(0), usize::try_from(length).unwrap_or(0));
    let number = |of: u64| usize::try_from(of).unwrap_or(0);
    let written = source.text().get(start..start.saturating_add(length)).unwrap_or_default();
    // The scanner counts the line break behind a plain or block scalar to it.
    let end = start + written.trim_end().len();
    Span { start, end, line: number(location.line()), column: number(location.column()) }
}

type RawYamlEntry = (serde_saphyr::Spanned<String>, RawYaml);

// `Spanned` asks for the kind below it, so places are known at every level.
struct RawYaml(serde_saphyr::Spanned<RawYamlValue>);

enum RawYamlValue {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<RawYaml>),
    Map(Vec<RawYamlEntry>),
}

impl RawYaml {
    fn into_node(self, source: &Source) -> YamlNode {
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

fn into_entry((key, value): RawYamlEntry, source: &Source) -> YamlEntry {
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
        let source = Arc::new(Source::new("f", text));
        let node = read(&source).unwrap_or_else(|e| panic!("{}", e.message));
        let mut found = Vec::new();
        collect(&source, &node, &mut found);
        found
    }

    fn collect(source: &Source, node: &YamlNode, found: &mut Vec<String>) {
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
    fn every_key_and_value_knows_where_it_is_written() {
        let text = "a: 1\nb:\n  - \"zw\u{f6}lf\" # why\n  - {c: true}\n";
        assert_eq!(written(text), ["1:1 a", "1:4 1", "2:1 b", "3:5 \"zw\u{f6}lf\"", "4:6 c", "4:9 true"]);
    }

    #[test]
    fn an_alias_is_where_its_anchor_is() {
        assert_eq!(written("a: &x {k: v}\nb: *x\n"), ["1:1 a", "1:8 k", "1:11 v", "2:1 b", "1:8 k", "1:11 v"]);
    }

    #[test]
    fn a_merge_key_brings_in_what_is_not_there() {
        let source = Arc::new(Source::new("f", "a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3\n"));
        let node = read(&source).unwrap_or_else(|e| panic!("{}", e.message));
        assert_eq!(node.to_json(), serde_json::json!({"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}}));
    }

    #[test]
    fn types_are_those_of_json_and_nothing_is_guessed() {
        let text = "[yes, no, on, 014, 1_000, 0.5, -3, null, ~, '7', 18446744073709551615]";
        let node = read(&Arc::new(Source::new("f", text))).unwrap_or_else(|e| panic!("{}", e.message));
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
