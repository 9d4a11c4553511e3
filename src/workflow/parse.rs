use std::sync::Arc;

use super::{
    CheckDefinition, Cron, Diagnostic, Diagnostics, Patterns, SourceFile, Spanned, SpannedTemplate, Step, TemplateKind,
    Workflow,
    input::read_input,
    reader::{Reader, YamlFields},
    step::{read_finally_step, read_step},
    yaml_node::{self, YamlEntry, YamlNode, YamlValue},
};

/// Keys of a workflow's file.
const KEYS: [&str; 9] = ["name", "description", "inputs", "checks", "schedule", "locks", "steps", "finally", "outputs"];

/// The content of a file as far as it could be read, with all errors.
#[derive(Debug)]
pub struct ParsedWorkflow {
    /// The readable part of the workflow; `None` if the file is not a map.
    pub workflow: Option<Workflow>,
    /// Errors in the order in which they were found.
    pub diagnostics: Vec<Diagnostic>,
}

impl ParsedWorkflow {
    /// Returns the workflow if it has no errors.
    ///
    /// # Errors
    /// All errors of the text. Names and types are not checked: see [`check`](Self::check).
    pub fn into_result(self) -> Result<Workflow, Diagnostics> {
        match (Diagnostics::collect(self.diagnostics), self.workflow) {
            (None, Some(workflow)) => Ok(workflow),
            (Some(diagnostics), _) => Err(diagnostics),
            (None, None) => unreachable!("a file that is not a workflow has a diagnostic"),
        }
    }
}

/// Reads a workflow from `text`. `file_name` is used in messages only.
///
/// The work is bounded for any text: size, nesting, aliases and expressions have limits.
pub fn parse(file_name: &str, text: &str) -> ParsedWorkflow {
    parse_sharing(file_name, text, &Arc::default())
}

/// Reads a workflow like [`parse`], with the compiled patterns of another one.
pub(crate) fn parse_sharing(file_name: &str, text: &str, patterns: &Arc<Patterns>) -> ParsedWorkflow {
    let source = Arc::new(SourceFile::new(file_name, text));
    let mut reader = Reader::new(Arc::clone(&source), Arc::clone(patterns));
    let workflow = match yaml_node::read(&source) {
        Ok(root) => read_workflow(&mut reader, &root),
        Err(error) => {
            reader.report("workflow::yaml", error.span, error.message, "here", error.hint);
            None
        }
    };
    ParsedWorkflow { workflow, diagnostics: reader.diagnostics }
}

/// Reads the whole file. Parts with errors are omitted or replaced, so that the rest can be
/// checked.
fn read_workflow(reader: &mut Reader, root: &YamlNode) -> Option<Workflow> {
    if !matches!(root.kind, YamlValue::Map(_)) {
        reader.expected(root, "a workflow", "a map with name, inputs, steps and outputs");
        return None;
    }
    let fields = reader.fields(root, "a workflow", &KEYS);
    let name = read_name(reader, root, &fields);
    let inputs = named(reader, &fields, "inputs", "an input");
    let inputs = inputs.into_iter().map(|entry| read_input(reader, entry)).collect();
    let schedule = fields.value("schedule").and_then(|node| read_schedule(reader, node));
    let checks = fields.value("checks").map(|node| read_checks(reader, node)).unwrap_or_default();
    let locks = fields.value("locks").map(|node| read_locks(reader, node)).unwrap_or_default();
    let steps = named(reader, &fields, "steps", "a step");
    if steps.is_empty() && fields.find("steps").is_none_or(|entry| is_empty(&entry.value)) {
        let span = fields.find("steps").map_or(name.span, |entry| entry.key.span);
        reader.report("workflow::missing", span, "the workflow has no steps", "no steps", None);
    }
    let mut steps: Vec<_> = steps.into_iter().map(|entry| read_step(reader, entry)).collect();
    let last = read_finally(reader, &fields, &steps);
    steps.extend(last);
    let outputs = named(reader, &fields, "outputs", "an output");
    let outputs = outputs.into_iter().map(|entry| read_output(reader, entry)).collect();
    let description = fields.value("description").and_then(|node| reader.text(node, "description"));
    Some(Workflow {
        source: Arc::clone(&reader.source),
        inputs_span: fields.find("inputs").map_or(name.span, |entry| entry.key.span),
        description: description.map(|text| text.value),
        name,
        inputs,
        schedule,
        checks,
        locks,
        steps,
        outputs,
        complete: reader.diagnostics.is_empty(),
        patterns: Arc::clone(&reader.patterns),
    })
}

/// Reads the steps under `finally`, whose names are different from those of `steps`.
fn read_finally(reader: &mut Reader, fields: &YamlFields<'_>, steps: &[Step]) -> Vec<Step> {
    let entries = named(reader, fields, "finally", "a step");
    for entry in &entries {
        if steps.iter().any(|step| step.name.value == entry.key.value) {
            let message = format!("there is a step {:?} under steps, too", entry.key.value);
            let hint = "give one of them another name".to_owned();
            reader.report("workflow::name", entry.key.span, message, "second of two", hint);
        }
    }
    entries.into_iter().map(|entry| read_finally_step(reader, entry)).collect()
}

/// Returns true for a key without value and for an empty map.
fn is_empty(node: &YamlNode) -> bool {
    match &node.kind {
        YamlValue::Null => true,
        YamlValue::Map(entries) => entries.is_empty(),
        _ => false,
    }
}

/// Reads the name of the workflow; empty after an error.
fn read_name(reader: &mut Reader, root: &YamlNode, fields: &YamlFields<'_>) -> Spanned<String> {
    let Some(node) = fields.value("name") else {
        let hint = "add a first line such as `name: provision-router`".to_owned();
        reader.report("workflow::missing", root.span, "the workflow has no name", "", hint);
        return Spanned::new(String::new(), root.span);
    };
    let Some(name) = reader.text(node, "name") else { return Spanned::new(String::new(), node.span) };
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if name.value.is_empty() || name.value.len() > 64 || !name.value.bytes().all(fits) {
        let hint = "a workflow's name has up to 64 lower-case letters, digits, - and _".to_owned();
        let message = format!("{:?} cannot be the name of a workflow", name.value);
        reader.report("workflow::name", name.span, message, "not a name", hint);
    }
    name
}

/// Returns the entries of a map with names that expressions can use.
fn named<'a>(reader: &mut Reader, fields: &YamlFields<'a>, key: &str, what: &str) -> Vec<&'a YamlEntry> {
    let Some(node) = fields.value(key).filter(|node| !is_empty(node)) else { return Vec::new() };
    let entries = reader.entries(node, key);
    for entry in &entries {
        reader.name(&entry.key, what);
    }
    entries
}

/// Reads the schedule. An error has the place of the wrong field inside the text.
fn read_schedule(reader: &mut Reader, node: &YamlNode) -> Option<Spanned<Cron>> {
    if !matches!(node.kind, YamlValue::Map(_)) {
        reader.expected(node, "schedule", "a map such as {cron: \"*/5 * * * *\"}");
        return None;
    }
    let fields = reader.fields(node, "schedule", &["cron"]);
    let Some(node) = fields.value("cron") else {
        let hint = "add `cron: \"*/5 * * * *\"` for every five minutes".to_owned();
        reader.report("workflow::missing", node.span, "the schedule has no cron expression", "no cron", hint);
        return None;
    };
    let text = reader.text(node, "cron")?;
    match text.value.parse::<Cron>() {
        Ok(cron) => Some(Spanned::new(cron, text.span)),
        Err(error) => {
            let written = reader.source.slice(text.span).find(&text.value).map(|at| text.span.start + at);
            let place = |start| reader.source.span(start + error.range.start, start + error.range.end);
            let span = written.map_or(text.span, place);
            reader.report("workflow::schedule", span, error.message, "here", error.hint);
            None
        }
    }
}

/// Reads the list of checks.
fn read_checks(reader: &mut Reader, node: &YamlNode) -> Vec<CheckDefinition> {
    let YamlValue::List(items) = &node.kind else {
        reader.expected(node, "checks", "a list of maps with `that` and `message`");
        return Vec::new();
    };
    items.iter().filter_map(|item| read_check(reader, item)).collect()
}

/// Reads one check: condition, message and hint.
fn read_check(reader: &mut Reader, node: &YamlNode) -> Option<CheckDefinition> {
    let fields = reader.fields(node, "a check", &["that", "message", "hint"]);
    let that = fields.value("that").and_then(|node| reader.expression(node, "that"));
    let message = fields.value("message").and_then(|node| read_text_template(reader, node, "message"));
    let hint = fields.value("hint").and_then(|node| reader.text(node, "hint"));
    if matches!(node.kind, YamlValue::Map(_)) {
        for key in ["that", "message"].into_iter().filter(|key| fields.find(key).is_none()) {
            let hint = "write {that: ${{ … }}, message: …}".to_owned();
            reader.report("workflow::missing", node.span, format!("the check has no {key}"), "incomplete", hint);
        }
    }
    Some(CheckDefinition { that: that?, message: message?, hint: hint.map(|hint| hint.value) })
}

/// Reads the list of locks.
fn read_locks(reader: &mut Reader, node: &YamlNode) -> Vec<SpannedTemplate> {
    let YamlValue::List(items) = &node.kind else {
        reader.expected(node, "locks", "a list of texts such as [\"cluster/${{ inputs.cluster }}\"]");
        return Vec::new();
    };
    items.iter().filter_map(|item| read_text_template(reader, item, "a lock")).collect()
}

/// Reads a text, which can contain expressions.
fn read_text_template(reader: &mut Reader, node: &YamlNode, what: &str) -> Option<SpannedTemplate> {
    if !matches!(node.kind, YamlValue::Text(_)) {
        reader.expected(node, what, "text");
        return None;
    }
    let text = reader.template(node);
    (!matches!(text.kind, TemplateKind::Unknown)).then_some(text)
}

/// Reads one output: any value with expressions.
fn read_output(reader: &mut Reader, entry: &YamlEntry) -> (Spanned<String>, SpannedTemplate) {
    (entry.key.clone(), reader.template(&entry.value))
}
