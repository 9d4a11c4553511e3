use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stargate_sdk::{Nature, Recovery, SecretRef};

use super::{PlannedExpression, StoredPlanError, Template};
use crate::id::PlanDigest;

/// Newest format of plans that this program reads and writes. It reads all older ones.
///
/// Format 2 added [`PlannedStep::approval`], format 3 [`PlannedStep::nature`],
/// [`PlannedStep::after`] and [`PlannedStep::needs_each`], format 4 [`Plan::loops`],
/// [`Scope::item`] and [`ForEach::max_failures`], format 5 [`PlannedStep::allow_failure`],
/// [`Scope::allow_failure`] and [`PlannedStep::is_finally`]. A plan has the oldest format that can
/// express it.
pub const FORMAT: u32 = 5;

/// Timeout of an attempt if the workflow has none, in milliseconds: ten minutes, more than the
/// usual operations of Azure take.
pub const DEFAULT_TIMEOUT_MS: u64 = 600_000;

/// The checked, compiled form of a workflow and its inputs: everything that a run needs.
///
/// A plan is immutable and stored with the run under its [digest](Self::digest). A change of the
/// workflow's file never affects an existing run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Oldest format that can express the plan; see [`FORMAT`].
    pub format: u32,
    /// Name of the workflow.
    pub workflow: String,
    /// Value of each input, given or default, in the order of the workflow. Secrets are references.
    pub inputs: Map<String, Value>,
    /// The workflow itself, then each inlined workflow.
    pub scopes: Vec<Scope>,
    /// Steps that inline a workflow once for each item of a list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loops: Vec<PlannedLoop>,
    /// Locks that the run holds while it is running, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<String>,
    /// Steps, each after all that it depends on; otherwise in the order of the file.
    pub steps: Vec<PlannedStep>,
    /// Outputs of the run.
    pub outputs: Vec<(String, Template)>,
}

impl Plan {
    /// Returns the SHA-256 of the plan's canonical JSON in hexadecimal: the same for equal plans,
    /// on any machine.
    ///
    /// # Panics
    /// Never: a plan contains only what JSON can express.
    pub fn digest(&self) -> PlanDigest {
        let json = serde_json::to_string(self).expect("a plan contains only what JSON can express");
        // The text is read back, because a number that is parsed may differ in its last bit. A text
        // that is nested too deeply to be read back cannot be resumed either.
        canonical_digest(&json).unwrap_or_else(|_| PlanDigest::of_json(&json))
    }

    /// Returns the `env:` references that the plan contains as text. Others are the results of
    /// expressions.
    pub fn env_references(&self) -> Vec<SecretRef> {
        let mut found = Vec::new();
        let mut add = |text: &str| {
            if text.starts_with("env:") {
                found.extend(text.parse::<SecretRef>());
            }
        };
        self.inputs.values().for_each(|value| visit_texts(value, &mut add));
        for template in self.steps.iter().map(|step| &step.with) {
            template.visit_literals(&mut |value| visit_texts(value, &mut add));
        }
        let scopes = self.scopes.iter().flat_map(|scope| &scope.inputs);
        scopes.for_each(|(_, template)| template.visit_literals(&mut |value| visit_texts(value, &mut add)));
        found
    }

    /// Reads a stored plan, and compares it with the digest under which it was stored.
    ///
    /// # Errors
    /// [`StoredPlanError`] if the text is not the JSON of a plan, or has another digest.
    pub fn from_stored(json: &str, digest: &PlanDigest) -> Result<Self, StoredPlanError> {
        let unreadable = |error: serde_json::Error| StoredPlanError::Unreadable(error.to_string());
        let found = canonical_digest(json).map_err(unreadable)?;
        if found != *digest {
            return Err(StoredPlanError::Changed { expected: digest.clone(), found });
        }
        serde_json::from_str(json).map_err(unreadable)
    }
}

/// Calls `visit` for each string of `value`.
fn visit_texts(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| visit_texts(item, visit)),
        Value::Object(members) => members.values().for_each(|member| visit_texts(member, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn canonical_digest(json: &str) -> serde_json::Result<PlanDigest> {
    let mut canonical = String::with_capacity(json.len());
    write_sorted(&serde_json::from_str(json)?, &mut canonical);
    Ok(PlanDigest::of_json(&canonical))
}

/// Writes JSON with the keys of all maps sorted: inside the value of an input, their order depends
/// on the caller.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            write_all(entries, out, ['{', '}'], |(key, value), out| {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_sorted(value, out);
            });
        }
        Value::Array(items) => write_all(items, out, ['[', ']'], write_sorted),
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn write_all<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut String,
    [open, close]: [char; 2],
    write: impl Fn(T, &mut String),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

/// A step that inlines a workflow once for each item of a list. Its instances are part of the plan:
/// inputs decide the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedLoop {
    /// Name of the step; `outer/inner` for the step of an inlined workflow.
    pub name: String,
    /// Key of each instance, and the index of its scope in [`Plan::scopes`].
    pub instances: Vec<(String, usize)>,
}

/// The loop variable that a scope adds to the scope that it is a copy of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScopeItem {
    /// Index of the other scope, in [`Plan::scopes`].
    pub copy_of: usize,
    /// Name of the loop variable.
    pub variable: String,
    /// Value of the loop variable; `None` in an outline.
    pub value: Option<Value>,
}

/// The names that expressions of one workflow can use: its inputs and its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    /// Text before the names of its steps: empty, or `outer/` for the workflow that step `outer`
    /// inlines.
    pub prefix: String,
    /// Name of the workflow.
    pub workflow: String,
    /// Scope of the expressions in `inputs`; `None` for the workflow itself.
    pub parent: Option<usize>,
    /// Inputs of an inlined workflow, with expressions of its parent. Empty for the workflow
    /// itself, which has [`Plan::inputs`].
    pub inputs: Vec<(String, Template)>,
    /// Outputs of an inlined workflow, with its own expressions. Empty for the workflow itself,
    /// which has [`Plan::outputs`].
    pub outputs: Vec<(String, Template)>,
    /// Loop variable, of a copy of another scope. Its names are those of the other scope and the
    /// variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ScopeItem>,
    /// True if the failure of a step inside does not fail the run: it stops only what is inside.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_failure: bool,
}

impl Scope {
    /// Returns the value of the loop variable, if the scope has one and it is known.
    pub(super) fn value(&self) -> Option<&Value> {
        self.item.as_ref()?.value.as_ref()
    }
}

/// One step of a plan. Fields with their usual value are not stored: a plan is a large part of a
/// short run's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Name in the workflow; `outer/inner` for the step of an inlined workflow.
    pub name: String,
    /// Name of the action, `provider.noun.verb`.
    pub action: String,
    /// Version of the action that the step was checked against.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub version: u32,
    /// Meaning of an earlier result after an interruption; `Once` in plans of formats 1 and 2.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nature: Nature,
    /// Handling of an unknown outcome.
    pub recovery: Recovery,
    /// Template of the action's input.
    pub with: Template,
    /// Direct dependencies: indexes of steps, ascending, all smaller than the step's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<usize>,
    /// Steps that must have ended, with any result: indexes as in `needs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<usize>,
    /// `for_each` steps of which each instance needs the instance with its own key: indexes as in
    /// `needs`. An instance without such a counterpart does not wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_each: Vec<usize>,
    /// Condition; if it is false, the step is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<PlannedExpression>,
    /// Question that an operator must approve before the step starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Template>,
    /// Loop, if the step has one instance for each item of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// Retry policy for failed attempts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Retry,
    /// Timeout of one attempt, in milliseconds.
    #[serde(default = "default_timeout", skip_serializing_if = "is_default_timeout")]
    pub timeout_ms: u64,
    /// Scope of its expressions, an index into [`Plan::scopes`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: usize,
    /// True if a failure of the step does not fail the run.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_failure: bool,
    /// True if the step starts when all steps that are not under `finally` have ended.
    #[serde(default, rename = "finally", skip_serializing_if = "is_default")]
    pub is_finally: bool,
}

impl PlannedStep {
    /// True if the step's result is stale after an interruption: it is obtained again. The result
    /// of an action that asks a person after an unknown outcome is always kept.
    pub fn is_repeatable(&self) -> bool {
        self.nature != Nature::Once && self.recovery != Recovery::Ask
    }

    /// Returns the indexes of all steps that the step waits for, ascending.
    pub fn predecessors(&self) -> impl Iterator<Item = usize> {
        let all: BTreeSet<usize> =
            [&self.needs, &self.after, &self.needs_each].into_iter().flatten().copied().collect();
        all.into_iter()
    }
}

fn default_timeout() -> u64 {
    DEFAULT_TIMEOUT_MS
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_default_timeout(timeout: &u64) -> bool {
    *timeout == DEFAULT_TIMEOUT_MS
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_one(version: &u32) -> bool {
    *version == 1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The loop of a step that has one instance for each item of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForEach {
    /// Expression of the list.
    pub items: PlannedExpression,
    /// Name of the loop variable, which `with`, `key` and `group` can use.
    pub variable: String,
    /// Expression of an instance's key; no two items may have the same key.
    pub key: PlannedExpression,
    /// Expression of the group under which an instance is reported, such as its site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<PlannedExpression>,
    /// Maximum number of concurrent instances; `None` if the step has no limit of its own.
    pub max_parallel: Option<u32>,
    /// Number of failed instances after which no further one starts; `None` if each one starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<u32>,
}

/// Retry policy of a step: exponential backoff with an upper limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Maximum number of attempts, the first one included.
    pub attempts: u32,
    /// Backoff before the second attempt, in milliseconds.
    pub initial_ms: u64,
    /// Factor by which each backoff is longer than the previous one.
    pub factor: f64,
    /// Maximum backoff, in milliseconds.
    pub max_ms: u64,
    /// Time after the start of the first attempt within which another one can start, in
    /// milliseconds.
    pub budget_ms: u64,
}

/// Ten attempts within ten minutes, 500 ms to 30 s apart: enough for an outage of a cloud interface
/// of a few minutes.
///
/// Stored plans omit the default, so that a different default needs a new [`FORMAT`].
impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 10, initial_ms: 500, factor: 2.0, max_ms: 30_000, budget_ms: 600_000 }
    }
}
