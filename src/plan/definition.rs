use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use stargate_sdk::Recovery;

/// The newest format of plans that this program writes and reads; it reads the older ones as well.
///
/// 2 has what a person is asked before a step begins. A plan has the oldest format that says all that is in it.
pub const FORMAT: u32 = 2;

/// A workflow checked against the actions' schemas and given inputs: all that a run ever needs.
///
/// Stored with the run under its [digest](Self::digest); editing the workflow's file never changes a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The oldest format that says all that is in it; see [`FORMAT`].
    pub format: u32,
    /// Name of the workflow.
    pub workflow: String,
    /// Every input with its value, given or default, in the order of the workflow. Secrets are references.
    pub inputs: Map<String, Value>,
    /// The workflow itself, then every inlined workflow.
    pub scopes: Vec<Scope>,
    /// What the run holds while it goes on; no two are the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<String>,
    /// The steps, each after everything it depends on; where that leaves a choice, in the order of the file.
    pub steps: Vec<PlannedStep>,
    /// What the run gives when it is done.
    pub outputs: Vec<(String, Template)>,
}

impl Plan {
    /// SHA-256 in hexadecimal of the plan's canonical JSON: the same for equal plans, on any machine.
    ///
    /// # Panics
    /// Never: a plan holds only what JSON can hold.
    pub fn digest(&self) -> String {
        let json = serde_json::to_value(self).expect("a plan holds only what JSON can hold");
        let bytes = Sha256::digest(sorted(json).to_string());
        bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

// The order of keys inside an input's value depends on who gave it.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// The names that expressions of one workflow can use: its inputs and its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    /// What stands before the names of its steps: nothing, or `outer/` for the workflow that step `outer` inlines.
    pub prefix: String,
    /// Name of the workflow.
    pub workflow: String,
    /// The scope whose expressions `inputs` are; `None` for the workflow itself.
    pub parent: Option<usize>,
    /// The inputs of an inlined workflow, in terms of its parent. Empty for the workflow itself: see [`Plan::inputs`].
    pub inputs: Vec<(String, Template)>,
    /// The outputs of an inlined workflow, in its own terms. Empty for the workflow itself: see [`Plan::outputs`].
    pub outputs: Vec<(String, Template)>,
}

/// One step, ready to be run once its dependencies are done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Name in the workflow; `outer/inner` for the step of an inlined workflow.
    pub name: String,
    /// Name of the action.
    pub action: String,
    /// Version of the action that the step was checked against.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub version: u32,
    /// How an unknown outcome is left.
    pub recovery: Recovery,
    /// What becomes the action's input.
    pub with: Template,
    /// The steps it depends on directly, ascending; all smaller than the step's own index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<usize>,
    /// Whether it is run at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expression>,
    /// What a person is asked before it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Template>,
    /// Whether it is run once for every item of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// How failed attempts are repeated.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Retry,
    /// How long one attempt may take, in milliseconds.
    #[serde(default = "default_timeout", skip_serializing_if = "is_default_timeout")]
    pub timeout_ms: u64,
    /// The scope that its expressions are in, an index into [`Plan::scopes`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: usize,
}

/// How long one attempt may take where a workflow does not say, in milliseconds: ten minutes, which is more than the
/// slowest of the usual operations of Azure takes.
pub const DEFAULT_TIMEOUT_MS: u64 = 600_000;

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

// What most steps have in common is left out: a plan is a large part of a short run's journal.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A step that is run once for every item of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForEach {
    /// Gives the list.
    pub items: Expression,
    /// What `with` and `key` call the item.
    pub variable: String,
    /// Gives the name of an item's instance; no two items may have the same.
    pub key: Expression,
    /// How many instances may run at one time; `None` for no limit of the step's own.
    pub max_parallel: Option<u32>,
}

/// How failed attempts are repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// How many attempts there may be in all, the first one included.
    pub attempts: u32,
    /// Pause before the second attempt, in milliseconds.
    pub initial_ms: u64,
    /// How much longer each pause is than the one before.
    pub factor: f64,
    /// Longest pause, in milliseconds.
    pub max_ms: u64,
    /// How long after the first attempt's start another may begin, in milliseconds.
    pub budget_ms: u64,
}

/// Ten attempts within ten minutes, 500 ms to 30 s apart: what cloud interfaces need to get over a bad minute.
///
/// Stored plans leave it out, so that another default needs another [`FORMAT`].
impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 10, initial_ms: 500, factor: 2.0, max_ms: 30_000, budget_ms: 600_000 }
    }
}

/// The text of an expression, and whose names it uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expression {
    /// What stands between `${{` and `}}`.
    pub source: String,
    /// Index into [`Plan::scopes`].
    pub scope: usize,
    /// A condition of the step that inlines the workflow: it must hold as well, and is looked at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub and: Option<Box<Expression>>,
}

/// A value with expressions in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// A value without expressions.
    Literal(Value),
    /// One expression, whose value keeps its type.
    Expression(Expression),
    /// Text with expressions in it.
    Text(Vec<Piece>),
    /// A list with expressions in it.
    List(Vec<Template>),
    /// A map with expressions in it.
    Map(Vec<(String, Template)>),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// Text as it stands.
    Literal(String),
    /// An expression, whose value becomes text.
    Expression(Expression),
}
