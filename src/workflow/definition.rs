use std::sync::Arc;

use serde_json::Value;

use super::{Cron, Patterns, SourceFile, Span, Spanned, SpannedExpression, SpannedTemplate};

/// The content of a workflow's file. Names are not resolved and types are not checked:
/// [`Workflow::check`] does that.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// Text of the file.
    pub source: Arc<SourceFile>,
    /// Name of the workflow.
    pub name: Spanned<String>,
    /// Purpose of the workflow, as text for people.
    pub description: Option<String>,
    /// Inputs, in the order of the file.
    pub inputs: Vec<Input>,
    /// Place of the key `inputs`, or else of the name.
    pub inputs_span: Span,
    /// Schedule for `stargate schedule`. It applies to the file itself, not to workflows that
    /// inline it.
    pub schedule: Option<Spanned<Cron>>,
    /// Conditions over inputs, evaluated before a run.
    pub checks: Vec<CheckDefinition>,
    /// Locks that a run holds while it is running, as texts. At most one running run holds a lock.
    pub locks: Vec<SpannedTemplate>,
    /// Steps, in the order of the file; those under `finally` come last.
    pub steps: Vec<Step>,
    /// Outputs, in the order of the file.
    pub outputs: Vec<(Spanned<String>, SpannedTemplate)>,
    /// True if the whole file could be read.
    pub complete: bool,
    /// Patterns of the inputs' schemas, compiled. The check adds those of the actions.
    pub(crate) patterns: Arc<Patterns>,
}

/// One input of a workflow.
#[derive(Debug, Clone)]
pub struct Input {
    /// Name of the input.
    pub name: Spanned<String>,
    /// Purpose of the input, as text for people.
    pub description: Option<String>,
    /// JSON Schema of the value, without `default`, `description` and `secret`.
    pub schema: Value,
    /// Value to use if none is given. An input without default is required.
    pub default: Option<SpannedTemplate>,
    /// True if the value is a reference to a secret, never the secret itself.
    pub secret: bool,
}

impl Input {
    /// Converts typed text to a value: the text itself if the schema allows text, otherwise JSON.
    ///
    /// Text that is neither is returned as text, so that the check of the value can report the
    /// expected type.
    pub fn value_of(&self, text: &str) -> Value {
        let kind = self.schema.get("type");
        let allows_text =
            |kind: &Value| kind == "string" || kind.as_array().is_some_and(|k| k.contains(&"string".into()));
        if kind.is_some_and(allows_text) {
            return Value::String(text.to_owned());
        }
        serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
    }
}

/// A condition over inputs that must hold before a run.
#[derive(Debug, Clone)]
pub struct CheckDefinition {
    /// The condition.
    pub that: SpannedExpression,
    /// Error message if it does not hold, as a text with expressions of inputs.
    pub message: SpannedTemplate,
    /// Correction that helps then.
    pub hint: Option<String>,
}

/// One step of a workflow.
#[derive(Debug, Clone)]
pub struct Step {
    /// Name of the step.
    pub name: Spanned<String>,
    /// Action or workflow of the step.
    pub body: StepBody,
    /// Input of the action, or inputs of the inlined workflow. Always a map.
    pub with: SpannedTemplate,
    /// Dependencies in addition to the steps that its expressions refer to.
    pub needs: Vec<Spanned<String>>,
    /// Steps that must have ended, with any result.
    pub after: Vec<Spanned<String>>,
    /// `for_each` steps of which each instance needs the instance with the same key.
    pub needs_each: Vec<Spanned<String>>,
    /// Condition; if it is false, the step is skipped.
    pub when: Option<SpannedExpression>,
    /// True if a failure of the step, or of the workflow that it inlines, does not fail the run.
    pub allow_failure: bool,
    /// True for a step under `finally`: it starts when all steps under `steps` have ended.
    pub is_finally: bool,
}

/// The thing that a step executes.
#[derive(Debug, Clone)]
pub enum StepBody {
    /// An action: `uses: provider.noun.verb`.
    Action(Box<ActionBody>),
    /// An inlined workflow: `workflow: FILE`. Its steps replace this step.
    Inline(Box<InlineBody>),
    /// Neither could be read, which has been reported.
    Unknown,
}

/// The part of a step that concerns its action.
#[derive(Debug, Clone)]
pub struct ActionBody {
    /// Name of the action, `provider.noun.verb`.
    pub uses: Spanned<String>,
    /// Loop, if the step has one instance for each item of a list.
    pub for_each: Option<ForEachDefinition>,
    /// Question that an operator must approve before the step starts. An empty text requires no
    /// approval.
    pub approval: Option<SpannedTemplate>,
    /// Retry policy for failed attempts.
    pub retry: RetryDefinition,
    /// Timeout of one attempt, in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// The part of a step that concerns the workflow that it inlines.
#[derive(Debug, Clone)]
pub struct InlineBody {
    /// Path of the file, as written.
    pub file: Spanned<String>,
    /// Loop, if the workflow is inlined once for each item of a list.
    pub for_each: Option<ForEachDefinition>,
    /// Maximum number of concurrent instances, if it is an expression. A number is that of the
    /// loop.
    pub max_parallel: Option<SpannedExpression>,
    /// True if no further instance starts once one has failed.
    pub fail_fast: bool,
    /// True if all other instances need the first one.
    pub canary: bool,
}

/// The loop of a step: `for_each`, `as`, `key`, `group` and `max_parallel`.
#[derive(Debug, Clone)]
pub struct ForEachDefinition {
    /// Expression of the list.
    pub items: SpannedExpression,
    /// Name of the loop variable, which `with`, `key` and `group` can use.
    pub variable: Spanned<String>,
    /// Expression of an instance's key; by default the item itself.
    pub key: Option<SpannedExpression>,
    /// Expression of the group under which an instance is reported.
    pub group: Option<SpannedExpression>,
    /// Maximum number of concurrent instances.
    pub max_parallel: Option<u32>,
    /// Number of failed instances after which no further one starts; 0 with `fail_fast`. Of an
    /// action only.
    pub max_failures: Option<u32>,
}

/// The retry policy of a step, as far as the file sets it. Durations are in milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RetryDefinition {
    /// Maximum number of attempts, the first one included.
    pub attempts: Option<u32>,
    /// Backoff before the second attempt.
    pub initial_ms: Option<u64>,
    /// Factor by which each backoff is longer than the previous one.
    pub factor: Option<f64>,
    /// Maximum backoff between two attempts.
    pub max_ms: Option<u64>,
    /// Time after the start of the first attempt within which another one can start.
    pub budget_ms: Option<u64>,
}

impl Workflow {
    /// Returns each expression of the file that could be parsed.
    pub fn expressions(&self) -> Vec<&SpannedExpression> {
        let checks = self.checks.iter().flat_map(CheckDefinition::expressions);
        let locks = checks.chain(self.locks.iter().flat_map(SpannedTemplate::expressions));
        let steps = self.steps.iter().flat_map(Step::expressions);
        locks.chain(steps).chain(self.outputs.iter().flat_map(|(_, output)| output.expressions())).collect()
    }
}

impl CheckDefinition {
    /// Returns each expression of the check.
    pub fn expressions(&self) -> Vec<&SpannedExpression> {
        std::iter::once(&self.that).chain(self.message.expressions()).collect()
    }
}

impl Step {
    /// Returns each expression of the step that could be parsed.
    pub fn expressions(&self) -> Vec<&SpannedExpression> {
        let mut found = self.with.expressions();
        found.extend(&self.when);
        if let StepBody::Action(body) = &self.body {
            found.extend(body.approval.iter().flat_map(SpannedTemplate::expressions));
        }
        if let StepBody::Inline(body) = &self.body {
            found.extend(&body.max_parallel);
        }
        if let Some(each) = self.for_each() {
            found.push(&each.items);
            found.extend(each.key.iter().chain(&each.group));
        }
        found
    }

    /// Returns the loop of the step, if it has one.
    pub fn for_each(&self) -> Option<&ForEachDefinition> {
        match &self.body {
            StepBody::Action(body) => body.for_each.as_ref(),
            StepBody::Inline(body) => body.for_each.as_ref(),
            StepBody::Unknown => None,
        }
    }
}
