use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Diagnostics, SourceFile, Span, Spanned, SpannedTemplate, TemplateKind,
    reader::Reader,
    yaml_node::{self, YamlNode, YamlValue},
};

/// Values for the inputs of a workflow, each with its place in a file or on the command line.
#[derive(Debug, Clone, Default)]
pub struct GivenInputs(Vec<GivenInput>);

/// Value of one input.
#[derive(Debug, Clone)]
pub(crate) struct GivenInput {
    /// Name of the input.
    pub(crate) name: String,
    pub(crate) value: Value,
    /// Place of the value; `None` if it is written nowhere.
    pub(crate) place: Option<InputPlace>,
}

/// Place of an input in an inputs file or an argument.
#[derive(Debug, Clone)]
pub(crate) struct InputPlace {
    /// Inputs file, or argument, that contains it.
    pub(crate) source: Arc<SourceFile>,
    /// Place of the name.
    pub(crate) key: Span,
    /// Value with the place of each of its parts.
    pub(crate) value: SpannedTemplate,
}

impl GivenInputs {
    /// Reads an inputs file: a map in YAML or JSON. Scalars mean what they mean in a workflow; text
    /// is literal, also if it contains `${{`. `file_name` is used in messages only.
    ///
    /// # Errors
    /// The text is not a map, has a key twice or exceeds a limit.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, Diagnostics> {
        let source = Arc::new(SourceFile::new(file_name, text));
        let mut reader = Reader::new(Arc::clone(&source), Arc::default());
        let given = match yaml_node::read(&source) {
            Ok(root) => read_inputs(&mut reader, &root),
            Err(error) => {
                reader.report("inputs::yaml", error.span, error.message, "here", error.hint);
                Self::default()
            }
        };
        Diagnostics::collect(reader.diagnostics).map_or(Ok(given), Err)
    }

    /// Sets the value of an input from the argument `--input NAME=TEXT`. Errors are reported at the
    /// argument.
    pub fn set_argument(&mut self, name: &str, text: &str, value: Value) {
        let source = Arc::new(SourceFile::new(format!("--input {name}"), format!("{name}={text}")));
        let start = name.len() + 1;
        let template = SpannedTemplate::from_json(&value, source.span(start, start + text.len()));
        let place = InputPlace { key: source.span(0, name.len()), source, value: template };
        self.0.retain(|given| given.name != name);
        self.0.push(GivenInput { name: name.to_owned(), value, place: Some(place) });
    }

    /// Drops the inputs for whose names `keep` returns false.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|given| keep(&given.name));
    }

    /// Returns the values by name.
    pub fn to_map(&self) -> Map<String, Value> {
        self.0.iter().map(|given| (given.name.clone(), given.value.clone())).collect()
    }

    /// Returns the inputs in the order of the file.
    pub(crate) fn as_slice(&self) -> &[GivenInput] {
        &self.0
    }

    /// Returns the input of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&GivenInput> {
        self.0.iter().find(|given| given.name == name)
    }
}

impl From<Map<String, Value>> for GivenInputs {
    fn from(values: Map<String, Value>) -> Self {
        Self(values.into_iter().map(|(name, value)| GivenInput { name, value, place: None }).collect())
    }
}

/// Reads the map of a file. Parts with errors are omitted.
fn read_inputs(reader: &mut Reader, root: &YamlNode) -> GivenInputs {
    if !matches!(root.kind, YamlValue::Map(_)) {
        reader.expected(root, "an inputs file", "a map from input to value");
        return GivenInputs::default();
    }
    let entries = reader.entries(root, "the file");
    let given = entries.into_iter().map(|entry| {
        let value = literal(reader, &entry.value);
        let place = InputPlace { source: Arc::clone(&reader.source), key: entry.key.span, value };
        let json = place.value.to_json().unwrap_or_default();
        GivenInput { name: entry.key.value.clone(), value: json, place: Some(place) }
    });
    GivenInputs(given.collect())
}

/// Reads a value without expressions.
fn literal(reader: &mut Reader, node: &YamlNode) -> SpannedTemplate {
    let kind = match &node.kind {
        YamlValue::Null => TemplateKind::Null,
        YamlValue::Bool(value) => TemplateKind::Bool(*value),
        YamlValue::Number(number) => TemplateKind::Number(number.clone()),
        YamlValue::Text(text) => TemplateKind::Text(text.clone()),
        YamlValue::List(items) => TemplateKind::List(items.iter().map(|item| literal(reader, item)).collect()),
        YamlValue::Map(_) => {
            let entries = reader.entries(node, "the map");
            let entry = |entry: &yaml_node::YamlEntry| -> (Spanned<String>, SpannedTemplate) {
                (entry.key.clone(), literal(reader, &entry.value))
            };
            TemplateKind::Map(entries.into_iter().map(entry).collect())
        }
    };
    SpannedTemplate { kind, span: node.span }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_mean_what_they_mean_in_a_workflow() {
        let text = "{country: no, mode: 0644, ver: 1.10, und: 1_000, z: 007, y: off, t: true, x: '${{ a }}'}";
        let given = GivenInputs::parse("in.yaml", text).expect("inputs").to_map();
        let yaml = format!("name: w\noutputs:\n  o: {}\nsteps: {{}}\n", text.replace("'${{ a }}'", "x"));
        let workflow = crate::workflow::parse("w.yaml", &yaml).workflow.expect("a workflow");
        let mut written = workflow.outputs[0].1.to_json().expect("no expressions");
        written["x"] = json!("${{ a }}");
        assert_eq!(Value::Object(given), written);
        assert_eq!(
            (&written["country"], &written["mode"], &written["z"]),
            (&"no".into(), &"0644".into(), &"007".into())
        );
    }

    #[test]
    fn an_error_has_its_place_in_the_file() {
        let errors = |text: &str| {
            let found = GivenInputs::parse("in.yaml", text).expect_err("an error").into_vec();
            found.iter().map(|e| format!("{}:{} {}", e.span.line, e.span.column, e.message)).collect::<Vec<_>>()
        };
        assert_eq!(
            errors("a: 1\nb: {c: 1, c: 2}\na: 2\n"),
            ["2:11 the map has \"c\" twice", "3:1 the file has \"a\" twice"]
        );
        assert_eq!(errors("- a\n"), ["1:1 an inputs file must be a map from input to value, this is a list"]);
        assert_eq!(errors(""), ["1:1 an inputs file must be a map from input to value, this is nothing"]);
        assert!(errors("a: [1\nb: 2\n")[0].contains("the file is not YAML"));
    }
}
