//! Forecasts of a plan as text for people and as JSON, which `docs/plan.md` describes.

use serde_json::{Map, Value, json};
use stargate::{journal::RunRow, plan::Plan};
use stargate_sdk::{Difference, Preview};

use super::forecast::{Forecast, StepForecast, StepInput};
use crate::cli::{
    exit::Exit,
    format,
    ui::{self, Tone},
};

/// Version of the JSON. It increases when a key changes its meaning or disappears; keys can be
/// added.
pub(super) const JSON_FORMAT: u32 = 1;

/// Maximum length of a value that is shown as text, in characters.
const MAX_VALUE_CHARS: usize = 200;

/// Kind of a change, from the values before and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChangeKind {
    Create,
    Change,
    Delete,
}

impl ChangeKind {
    fn of(difference: &Difference) -> Self {
        match (&difference.before, &difference.after) {
            (Value::Null, _) => Self::Create,
            (_, Value::Null) => Self::Delete,
            _ => Self::Change,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
        }
    }
}

/// Counts of a plan: of differences by kind, of steps by forecast, and of values.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PlanCounts {
    create: usize,
    change: usize,
    delete: usize,
    replace: usize,
    /// Steps that may change something and whose input or object is not known yet.
    later: usize,
    /// Steps that only read, after other steps.
    read_later: usize,
    no_preview: usize,
    unchanged: usize,
    skipped: usize,
    /// Steps under `finally`.
    at_end: usize,
    failed: usize,
    /// Values of inputs that are shown.
    values_known: usize,
    /// Values of inputs that are known after other steps.
    values_later: usize,
}

impl PlanCounts {
    pub(super) fn new(forecasts: &[StepForecast]) -> Self {
        let mut counts = Self::default();
        for forecast in forecasts {
            counts.add(forecast);
        }
        counts
    }

    fn add(&mut self, forecast: &StepForecast) {
        match &forecast.forecast {
            Forecast::Previewed(Preview::Unchanged { .. }) => self.unchanged += 1,
            Forecast::Previewed(Preview::Changes { differences, .. }) => {
                for difference in differences {
                    match ChangeKind::of(difference) {
                        ChangeKind::Create => self.create += 1,
                        ChangeKind::Change => self.change += 1,
                        ChangeKind::Delete => self.delete += 1,
                    }
                }
            }
            Forecast::Previewed(Preview::Replacement { .. }) => self.replace += 1,
            Forecast::Previewed(Preview::Opaque) => self.no_preview += 1,
            Forecast::Unknown { .. } if forecast.only_reads => self.read_later += 1,
            Forecast::Unknown { .. } => self.later += 1,
            Forecast::Skipped => self.skipped += 1,
            Forecast::AtEnd => self.at_end += 1,
            Forecast::Failed(_) => self.failed += 1,
        }
        if let Some(input) = &forecast.input {
            self.values_later += input.unknown.len();
            self.values_known += input.leaves().len() - input.unknown.len();
        }
    }

    /// Returns the counts in words.
    pub(super) fn text(&self) -> String {
        let unchanged = self.unchanged + self.skipped + self.at_end;
        let deferred = self.later + self.read_later + self.no_preview;
        let changes = self.create + self.change + self.delete + self.replace;
        if changes + deferred + self.failed == 0 {
            return format!("no changes: {} unchanged", format::plural(unchanged, "step"));
        }
        let parts = [
            (changes > 0).then(|| {
                let Self { create, change, replace, delete, .. } = self;
                format!("{create} to create, {change} to change, {replace} to replace, {delete} to delete")
            }),
            (self.later > 0).then(|| {
                let values = format::plural(self.values_later, "value");
                format!("{} after others, with {values} known later", format::plural(self.later, "step"))
            }),
            (self.read_later > 0).then(|| format!("{} after others", plural_verb(self.read_later, "reads", "read"))),
            (self.no_preview > 0).then(|| format!("{} without preview", self.no_preview)),
            (unchanged > 0).then(|| format!("{unchanged} unchanged")),
            (self.failed > 0).then(|| format!("{} failed", self.failed)),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    fn to_json(&self) -> Value {
        json!({
            "create": self.create, "change": self.change, "delete": self.delete, "replace": self.replace,
            "later": self.later, "read_later": self.read_later, "no_preview": self.no_preview,
            "unchanged": self.unchanged, "skipped": self.skipped, "at_end": self.at_end, "failed": self.failed,
            "values_known": self.values_known, "values_later": self.values_later,
        })
    }
}

fn plural_verb(count: usize, one: &str, several: &str) -> String {
    if count == 1 { format!("1 step {one}") } else { format!("{count} steps {several}") }
}

impl StepInput {
    /// Returns JSON pointer and value of each scalar and each empty list or map.
    fn leaves(&self) -> Vec<(String, &Value)> {
        let mut leaves = Vec::new();
        collect_leaves(&self.value, &mut String::new(), &mut leaves);
        leaves
    }
}

fn collect_leaves<'v>(value: &'v Value, pointer: &mut String, leaves: &mut Vec<(String, &'v Value)>) {
    let mut below = |name: &str, value: &'v Value| {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        collect_leaves(value, pointer, leaves);
        pointer.truncate(length);
    };
    match value {
        Value::Object(map) if !map.is_empty() => map.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(index, item)| below(&index.to_string(), item));
        }
        leaf => leaves.push((pointer.clone(), leaf)),
    }
}

/// Prints the forecast of a step: the differences, and the values of an object that would be
/// created or that depends on other steps.
pub(super) fn show(forecast: &StepForecast, width: usize) {
    let StepForecast { step, input, only_reads, .. } = forecast;
    let (tone, text) = forecast_text(forecast);
    ui::out(&format!("{step:width$}  {}", ui::paint_out(tone, &text)));
    let line = |text: &str| ui::out(&format!("    {text}"));
    let mut shows_values = false;
    match &forecast.forecast {
        Forecast::Previewed(Preview::Changes { differences, .. }) => {
            for difference in differences {
                line(&difference.to_string());
            }
            shows_values = differences.iter().all(|difference| ChangeKind::of(difference) == ChangeKind::Create);
        }
        Forecast::Previewed(Preview::Replacement { forced_by, error }) => {
            for difference in forced_by {
                line(&format!("{difference} (forces replacement)"));
            }
            line(&format!("until then the step fails: {}", error.hint.as_deref().unwrap_or(&error.message)));
        }
        Forecast::Unknown { .. } => shows_values = !only_reads,
        Forecast::Previewed(Preview::Unchanged { .. } | Preview::Opaque)
        | Forecast::Skipped
        | Forecast::AtEnd
        | Forecast::Failed(_) => {}
    }
    if let Some(input) = input.as_ref().filter(|_| shows_values) {
        for text in value_lines(input) {
            line(&format!("  {text}"));
        }
    }
}

/// Returns the forecast of a step in words.
fn forecast_text(StepForecast { forecast, only_reads, .. }: &StepForecast) -> (Tone, String) {
    match forecast {
        Forecast::Previewed(Preview::Unchanged { .. }) => (Tone::Good, "unchanged".into()),
        Forecast::Previewed(Preview::Changes { differences, .. }) => (Tone::Notable, changes_text(differences)),
        Forecast::Previewed(Preview::Replacement { .. }) => (Tone::Bad, "must be replaced".into()),
        Forecast::Previewed(Preview::Opaque) => {
            (Tone::Notable, "no preview: the action shows its changes only when it runs".into())
        }
        Forecast::Unknown { after, message } => {
            let now = message.as_ref().map(|message| format!("; now: {message}")).unwrap_or_default();
            let verb = if *only_reads { "reads" } else { "would be applied" };
            (Tone::Quiet, format!("{verb} after {}{now}", after.join(", ")))
        }
        Forecast::Skipped => (Tone::Quiet, "would be skipped".into()),
        Forecast::AtEnd => (Tone::Quiet, "runs at the end, after success and failure".into()),
        Forecast::Failed(error) => (Tone::Bad, format!("preview failed: {error}")),
    }
}

/// Returns the kinds of differences in words, such as `would create 1, delete 2`.
fn changes_text(differences: &[Difference]) -> String {
    let count = |operation| differences.iter().filter(|difference| ChangeKind::of(difference) == operation).count();
    let kinds = [ChangeKind::Create, ChangeKind::Change, ChangeKind::Delete];
    let counted = kinds.into_iter().map(|kind| (kind, count(kind))).filter(|(_, count)| *count > 0);
    let parts: Vec<_> = counted.map(|(kind, count)| format!("{} {count}", kind.as_str())).collect();
    format!("would {}", parts.join(", "))
}

/// Returns a line for each value of an input. A list of scalars is one line.
fn value_lines(input: &StepInput) -> Vec<String> {
    let mut lines = Vec::new();
    add_value_lines(input, &input.value, "", "", &mut lines);
    lines
}

/// Adds the lines of the value at `pointer`, whose name is `name`.
fn add_value_lines(input: &StepInput, value: &Value, pointer: &str, name: &str, lines: &mut Vec<String>) {
    if let Some((_, after)) = input.unknown.iter().find(|(unknown, _)| unknown == pointer) {
        return lines.push(format!("{name}: known after {}", after.join(", ")));
    }
    let is_inside = |unknown: &str| unknown.starts_with(pointer) && unknown[pointer.len()..].starts_with('/');
    let has_unknown = input.unknown.iter().any(|(unknown, _)| is_inside(unknown));
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let below = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                add_value_lines(input, value, &below, &name, lines);
            }
        }
        Value::Array(items) if has_unknown || items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                add_value_lines(input, item, &format!("{pointer}/{index}"), &format!("{name}[{index}]"), lines);
            }
        }
        value => lines.push(format!("{name}: {}", value_text(value))),
    }
}

/// Returns a value as text of one line, cut at [`MAX_VALUE_CHARS`].
fn value_text(value: &Value) -> String {
    let text = match value {
        Value::String(text) if !text.is_empty() && !text.contains('\n') => text.clone(),
        other => other.to_string(),
    };
    let length = text.chars().count();
    if length <= MAX_VALUE_CHARS {
        return text;
    }
    let start: String = text.chars().take(MAX_VALUE_CHARS).collect();
    format!("{start}… ({length} characters)")
}

/// Returns all forecasts as JSON.
pub(super) fn to_json(forecasts: &[StepForecast], plan: &Plan, drift: Option<&RunRow>, exit: Exit) -> Value {
    let approvals = plan.steps.iter().filter(|step| step.approval.is_some()).map(|step| step.name.as_str());
    json!({
        "format": JSON_FORMAT, "workflow": plan.workflow, "plan_digest": plan.digest().to_string(),
        "changes": exit != Exit::Success, "exit": exit.code(), "counts": PlanCounts::new(forecasts).to_json(),
        "drift_since": drift.map(|run| json!({ "run": run.id, "at": run.updated_at.to_string() })),
        "locks": plan.locks, "approvals": approvals.collect::<Vec<_>>(),
        "steps": forecasts.iter().map(step_json).collect::<Vec<_>>(),
    })
}

/// Returns the forecast of a step as JSON.
pub(super) fn step_json(forecast: &StepForecast) -> Value {
    let mut step = match &forecast.forecast {
        Forecast::Previewed(Preview::Unchanged { output }) => json!({ "forecast": "unchanged", "output": output }),
        Forecast::Previewed(Preview::Changes { differences, .. }) => {
            json!({ "forecast": "changes", "differences": differences.iter().map(difference_json).collect::<Vec<_>>() })
        }
        Forecast::Previewed(Preview::Replacement { forced_by, error }) => {
            let forced_by: Vec<_> = forced_by.iter().map(difference_json).collect();
            json!({ "forecast": "replacement", "forced_by": forced_by, "error": error })
        }
        Forecast::Previewed(Preview::Opaque) => json!({ "forecast": "no_preview" }),
        Forecast::Unknown { after, message } => json!({ "forecast": "unknown", "after": after, "message": message }),
        Forecast::Skipped => json!({ "forecast": "skipped" }),
        Forecast::AtEnd => json!({ "forecast": "at_end" }),
        Forecast::Failed(error) => json!({ "forecast": "failed", "error": error }),
    };
    step["step"] = forecast.step.clone().into();
    step["action"] = forecast.action.clone().into();
    step["only_reads"] = forecast.only_reads.into();
    if let Some(input) = &forecast.input {
        step["input"] = input.value.clone();
        let later = input.unknown.iter().map(|(pointer, after)| (pointer.clone(), json!(after)));
        step["known_later"] = later.collect::<Map<_, _>>().into();
    }
    step
}

fn difference_json(difference: &Difference) -> Value {
    let mut json = json!(difference);
    json["operation"] = ChangeKind::of(difference).as_str().into();
    json
}
