use std::sync::Arc;

use serde_json::Value;

use super::{Cron, Placed, Source, Span, Spanned, Template};

/// What a workflow's file says. Names are not resolved and types are not checked: that is the plan's business.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// The file.
    pub source: Arc<Source>,
    /// Its name.
    pub name: Spanned<String>,
    /// What it does, for people.
    pub description: Option<String>,
    /// What it is given, in the order of the file.
    pub inputs: Vec<Input>,
    /// Where `inputs` is written, or else the name.
    pub inputs_span: Span,
    /// When it is run by `stargate schedule`, for the file itself and not for what inlines it.
    pub schedule: Option<Spanned<Cron>>,
    /// What its runs hold while they go on, so that no other run with the same lock goes on: texts.
    pub locks: Vec<Template>,
    /// What it does, in the order of the file.
    pub steps: Vec<Step>,
    /// What it gives, in the order of the file.
    pub outputs: Vec<(Spanned<String>, Template)>,
    /// All of the file could be read.
    pub complete: bool,
}

/// One input.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name.
    pub name: Spanned<String>,
    /// What it is for, for people.
    pub description: Option<String>,
    /// JSON Schema of its value, without `default`, `description` and `secret`.
    pub schema: Value,
    /// Its value when none is given. Without one the input is required.
    pub default: Option<Template>,
    /// Its value is a reference to a secret, never the secret itself.
    pub secret: bool,
}

impl Input {
    /// The value that a person means who types `text`: the text itself if text is allowed, else JSON.
    ///
    /// What is neither is given back as text, so that whoever checks it can say what it should be.
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

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: Spanned<String>,
    /// What is run.
    pub body: Body,
    /// What it is given: always a map.
    pub with: Template,
    /// Steps that must be done before, beyond those it refers to.
    pub needs: Vec<Spanned<String>>,
    /// Whether it is run at all.
    pub when: Option<Placed>,
}

/// What a step runs.
#[derive(Debug, Clone)]
pub enum Body {
    /// `uses: provider.noun.verb`.
    Action(Box<ActionBody>),
    /// `workflow: FILE`, whose steps take this step's place.
    Inline {
        /// The file, as written.
        file: Spanned<String>,
    },
    /// Nothing that could be read, which has been reported.
    Unknown,
}

/// How a step runs an action.
#[derive(Debug, Clone)]
pub struct ActionBody {
    /// Name of the action.
    pub uses: Spanned<String>,
    /// Whether it is run once for every item of a list.
    pub for_each: Option<ForEach>,
    /// What a person is asked before it begins: a text; an empty one asks nobody.
    pub approval: Option<Template>,
    /// How failed attempts are repeated.
    pub retry: Retry,
    /// How long one attempt may take, in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// A step that is run once for every item of a list.
#[derive(Debug, Clone)]
pub struct ForEach {
    /// Gives the list.
    pub items: Placed,
    /// What `with` and `key` call the item.
    pub variable: Spanned<String>,
    /// Gives the name of an item's instance; without one it is the item itself.
    pub key: Option<Placed>,
    /// How many instances may run at one time.
    pub max_parallel: Option<u32>,
}

/// What a step says about failed attempts; times in milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Retry {
    /// How many attempts there may be in all.
    pub attempts: Option<u32>,
    /// Pause before the second attempt.
    pub initial_ms: Option<u64>,
    /// How much longer each pause is than the one before.
    pub factor: Option<f64>,
    /// Longest pause.
    pub max_ms: Option<u64>,
    /// How long after the first attempt's start another may begin.
    pub budget_ms: Option<u64>,
}

impl Workflow {
    /// Every expression of the file that could be parsed.
    pub fn expressions(&self) -> Vec<&Placed> {
        let locks = self.locks.iter().flat_map(Template::expressions);
        let steps = self.steps.iter().flat_map(Step::expressions);
        locks.chain(steps).chain(self.outputs.iter().flat_map(|(_, output)| output.expressions())).collect()
    }
}

impl Step {
    /// Every expression of the step that could be parsed.
    pub fn expressions(&self) -> Vec<&Placed> {
        let mut found = self.with.expressions();
        found.extend(&self.when);
        if let Body::Action(body) = &self.body {
            found.extend(body.approval.iter().flat_map(Template::expressions));
            if let Some(each) = &body.for_each {
                found.push(&each.items);
                found.extend(&each.key);
            }
        }
        found
    }
}
