use super::{
    ActionBody, ForEachDefinition, InlineBody, RetryDefinition, Span, Spanned, SpannedExpression, SpannedTemplate,
    Step, StepBody, TemplateKind, duration,
    reader::{Reader, YamlFields, is_name},
    yaml_node::{YamlEntry, YamlNode, YamlValue},
};

/// Keys of a step.
const KEYS: [&str; 19] = [
    "uses",
    "workflow",
    "with",
    "needs",
    "after",
    "needs_each",
    "when",
    "approval",
    "for_each",
    "as",
    "key",
    "group",
    "max_parallel",
    "fail_fast",
    "max_failures",
    "canary",
    "allow_failure",
    "retry",
    "timeout",
];

/// Maximum timeout or backoff: 30 days in milliseconds. A longer one is most likely a typing
/// error.
const MAX_DURATION_MS: u64 = 30 * 86_400_000;

/// Maximum number of attempts or concurrent instances. A larger one is most likely a typing
/// error.
const MAX_COUNT: u64 = 10_000;

/// Reads one entry of `finally`.
pub(super) fn read_finally_step(reader: &mut Reader, entry: &YamlEntry) -> Step {
    if let YamlValue::Map(fields) = &entry.value.kind
        && let Some(field) = fields.iter().find(|field| field.key.value == "approval")
    {
        let message = "approval cannot be used under finally";
        let hint = "a run does not end before its finally steps; ask in a step under `steps`".to_owned();
        reader.report("workflow::step", field.key.span, message, "not for a finally step", hint);
    }
    Step { is_finally: true, ..read_step(reader, entry) }
}

/// Reads one entry of `steps`.
pub(super) fn read_step(reader: &mut Reader, entry: &YamlEntry) -> Step {
    let what = format!("step {:?}", entry.key.value);
    let fields = reader.fields(&entry.value, &what, &KEYS);
    let with = read_with(reader, &fields, entry.key.span);
    let [needs, after, needs_each] = ["needs", "after", "needs_each"].map(|key| read_step_names(reader, &fields, key));
    let when = fields.value("when").and_then(|node| reader.expression(node, "when"));
    let body = read_body(reader, entry, &fields).unwrap_or(StepBody::Unknown);
    let allow_failure = read_flag(reader, &fields, "allow_failure");
    if allow_failure {
        report_limits_of_failures(reader, &fields);
    }
    Step { name: entry.key.clone(), body, with, needs, after, needs_each, when, allow_failure, is_finally: false }
}

/// Reads `with`; an empty map if there is none. `step` is the place of the step's name.
fn read_with(reader: &mut Reader, fields: &YamlFields<'_>, step: Span) -> SpannedTemplate {
    let empty = |span| SpannedTemplate { kind: TemplateKind::Map(Vec::new()), span };
    let Some(entry) = fields.find("with") else { return empty(step) };
    match &entry.value.kind {
        YamlValue::Map(_) => SpannedTemplate { span: entry.key.span, ..reader.template(&entry.value) },
        YamlValue::Null => empty(entry.key.span),
        _ => {
            reader.expected(&entry.value, "with", "a map");
            empty(entry.key.span)
        }
    }
}

/// Reads a list of step names; an empty one if the step does not have the key.
fn read_step_names(reader: &mut Reader, fields: &YamlFields<'_>, key: &str) -> Vec<Spanned<String>> {
    let Some(node) = fields.value(key) else { return Vec::new() };
    let YamlValue::List(items) = &node.kind else {
        reader.expected(node, key, "a list of steps such as [first, second]");
        return Vec::new();
    };
    items.iter().filter_map(|item| reader.text(item, &format!("an entry of {key}"))).collect()
}

/// Reads the action or the inlined workflow; `None` after an error.
fn read_body(reader: &mut Reader, entry: &YamlEntry, fields: &YamlFields<'_>) -> Option<StepBody> {
    let step = &entry.key.value;
    match (fields.find("uses"), fields.find("workflow")) {
        (Some(uses), None) => {
            report_inline_keys(reader, fields);
            let for_each = read_for_each(reader, fields, false);
            let approval = fields.value("approval").and_then(|node| read_approval(reader, node));
            let retry = fields.value("retry").map(|node| read_retry(reader, node)).unwrap_or_default();
            let timeout_ms = fields.value("timeout").and_then(|node| read_duration(reader, node, "timeout"));
            let uses = reader.text(&uses.value, "uses")?;
            Some(StepBody::Action(Box::new(ActionBody { uses, for_each, approval, retry, timeout_ms })))
        }
        (None, Some(file)) => {
            report_action_keys(reader, fields);
            let limit = fields.value("max_parallel").filter(|node| matches!(node.kind, YamlValue::Text(_)));
            let max_parallel = limit.and_then(|node| reader.expression(node, "max_parallel"));
            let for_each = read_for_each(reader, fields, limit.is_some());
            let [fail_fast, canary] = ["fail_fast", "canary"].map(|key| read_flag(reader, fields, key));
            let file = reader.text(&file.value, "workflow")?;
            Some(StepBody::Inline(Box::new(InlineBody { file, for_each, max_parallel, fail_fast, canary })))
        }
        (Some(_), Some(file)) => {
            let message = format!("step {step:?} has both uses and workflow");
            reader.report("workflow::step", file.key.span, message, "second of two", "remove one of them".to_owned());
            None
        }
        (None, None) => {
            if matches!(entry.value.kind, YamlValue::Map(_)) {
                let message = format!("step {step:?} has neither an action nor a workflow");
                let hint = "add `uses: provider.noun.verb`, or `workflow: FILE` to inline another workflow".to_owned();
                reader.report("workflow::missing", entry.key.span, message, "neither uses nor workflow", hint);
            }
            None
        }
    }
}

/// Reports keys that only a step with an action can have.
fn report_action_keys(reader: &mut Reader, fields: &YamlFields<'_>) {
    for key in ["approval", "needs_each", "group", "max_failures", "retry", "timeout"] {
        let Some(entry) = fields.find(key) else { continue };
        let message = format!("{key} cannot be used with workflow");
        let hint = "set it on the steps of the inlined workflow".to_owned();
        reader.report("workflow::step", entry.key.span, message, "not for an inlined workflow", hint);
    }
}

/// Reports a key that only a step with a workflow can have.
fn report_inline_keys(reader: &mut Reader, fields: &YamlFields<'_>) {
    if let Some(entry) = fields.find("canary") {
        let key = "canary";
        let hint = "it is for a loop over a workflow".to_owned();
        reader.report(
            "workflow::step",
            entry.key.span,
            format!("{key} cannot be used with uses"),
            "not for an action",
            hint,
        );
    }
}

/// Reports keys that stop a loop at failures which `allow_failure` permits.
fn report_limits_of_failures(reader: &mut Reader, fields: &YamlFields<'_>) {
    for key in ["fail_fast", "max_failures", "canary"] {
        let Some(entry) = fields.find(key) else { continue };
        let message = format!("{key} and allow_failure exclude each other");
        let hint = "remove one of them: with allow_failure, no failure stops the other instances".to_owned();
        reader.report("workflow::step", entry.key.span, message, "second of two", hint);
    }
}

/// Reads `for_each` and the keys that belong to it. A limit that is an expression is read
/// elsewhere.
fn read_for_each(reader: &mut Reader, fields: &YamlFields<'_>, has_limit: bool) -> Option<ForEachDefinition> {
    let Some(items) = fields.find("for_each") else {
        for key in ["as", "key", "group", "max_parallel", "fail_fast", "max_failures", "canary", "needs_each"] {
            if let Some(entry) = fields.find(key) {
                let message = format!("{key} requires for_each");
                reader.report("workflow::step", entry.key.span, message, "no for_each", None);
            }
        }
        return None;
    };
    let variable = read_variable(reader, fields, items.key.span);
    let key: Option<SpannedExpression> = fields.value("key").and_then(|node| reader.expression(node, "key"));
    let group = fields.value("group").and_then(|node| reader.expression(node, "group"));
    let limit = fields.value("max_parallel").filter(|_| !has_limit);
    let max_parallel = limit.and_then(|node| read_count(reader, node, "max_parallel"));
    let max_failures = read_max_failures(reader, fields);
    let items = reader.list_expression(&items.value, "for_each")?;
    Some(ForEachDefinition { items, variable: variable?, key, group, max_parallel, max_failures })
}

/// Reads the number of failed instances after which no further one starts.
fn read_max_failures(reader: &mut Reader, fields: &YamlFields<'_>) -> Option<u32> {
    let count = fields.value("max_failures").and_then(|node| read_count(reader, node, "max_failures"));
    // What is not a flag is reported where the flag is read.
    let is_fast = matches!(fields.value("fail_fast").map(|node| &node.kind), Some(YamlValue::Bool(true)));
    if is_fast && let Some(entry) = fields.find("max_failures") {
        let hint = "remove one of them: fail_fast permits no failure".to_owned();
        reader.report(
            "workflow::step",
            entry.key.span,
            "fail_fast and max_failures exclude each other",
            "second of two",
            hint,
        );
    }
    if is_fast { Some(0) } else { count }
}

/// Reads the question of an approval, which must be a text.
fn read_approval(reader: &mut Reader, node: &YamlNode) -> Option<SpannedTemplate> {
    if !matches!(node.kind, YamlValue::Text(_)) {
        reader.expected(node, "approval", "a question for the operator, such as \"Drain ${{ inputs.worker }}?\"");
        return None;
    }
    let question = reader.template(node);
    (!matches!(question.kind, TemplateKind::Unknown)).then_some(question)
}

/// Reads the name of the loop variable. Names with a meaning in expressions are reserved.
fn read_variable(reader: &mut Reader, fields: &YamlFields<'_>, for_each: Span) -> Option<Spanned<String>> {
    let Some(node) = fields.value("as") else {
        let hint = "add `as: item`; `with` and `key` can then use ${{ item }}".to_owned();
        reader.report("workflow::missing", for_each, "for_each needs `as`, the name of its variable", "", hint);
        return None;
    };
    let name = reader.text(node, "as")?;
    if ["inputs", "steps", "run", "true", "false", "null", "in"].contains(&name.value.as_str()) {
        let message = format!("{:?} cannot be the name of a variable", name.value);
        reader.report("workflow::name", name.span, message, "reserved", None);
        return None;
    }
    reader.name(&name, "a variable");
    is_name(&name.value).then_some(name)
}

/// Reads the retry policy; missing keys have the default of the plan.
fn read_retry(reader: &mut Reader, node: &YamlNode) -> RetryDefinition {
    let fields = reader.fields(node, "retry", &["attempts", "initial", "factor", "max", "budget"]);
    RetryDefinition {
        attempts: fields.value("attempts").and_then(|node| read_count(reader, node, "attempts")),
        initial_ms: fields.value("initial").and_then(|node| read_duration(reader, node, "initial")),
        factor: fields.value("factor").and_then(|node| read_factor(reader, node)),
        max_ms: fields.value("max").and_then(|node| read_duration(reader, node, "max")),
        budget_ms: fields.value("budget").and_then(|node| read_duration(reader, node, "budget")),
    }
}

/// Reads a whole number from 1 to [`MAX_COUNT`].
fn read_count(reader: &mut Reader, node: &YamlNode, what: &str) -> Option<u32> {
    let count = match &node.kind {
        YamlValue::Number(number) => number.as_u64().filter(|count| (1..=MAX_COUNT).contains(count)),
        _ => None,
    };
    if count.is_none() {
        reader.expected(node, what, &format!("a whole number from 1 to {MAX_COUNT}"));
    }
    count.and_then(|count| u32::try_from(count).ok())
}

/// Reads `true` or `false`; `false` if the step does not have the key, and after an error.
fn read_flag(reader: &mut Reader, fields: &YamlFields<'_>, key: &str) -> bool {
    match fields.value(key).map(|node| (node, &node.kind)) {
        None => false,
        Some((_, YamlValue::Bool(flag))) => *flag,
        Some((node, _)) => {
            reader.expected(node, key, "true or false");
            false
        }
    }
}

/// Reads the factor of the backoff, from 1 to 100.
fn read_factor(reader: &mut Reader, node: &YamlNode) -> Option<f64> {
    let factor = match &node.kind {
        YamlValue::Number(number) => number.as_f64().filter(|factor| (1.0..=100.0).contains(factor)),
        _ => None,
    };
    if factor.is_none() {
        reader.expected(node, "factor", "a number from 1 to 100");
    }
    factor
}

/// Reads a duration, from 1 ms to [`MAX_DURATION_MS`], in milliseconds.
fn read_duration(reader: &mut Reader, node: &YamlNode, what: &str) -> Option<u64> {
    let read = match &node.kind {
        YamlValue::Text(text) => duration::parse(text).filter(|ms| (1..=MAX_DURATION_MS).contains(ms)),
        _ => None,
    };
    if read.is_none() {
        reader.expected(node, what, "a duration such as 500ms, 10m or 1h30m, of at most 30d");
    }
    read
}
