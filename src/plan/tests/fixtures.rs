use std::collections::{BTreeMap, HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Recovery, Registry, SecretRef};

use crate::{
    plan::{Checked, CompiledPlan, EvaluationContext, Plan},
    workflow::{Diagnostics, parse},
};

/// Defines an action of which only the schemas are used.
macro_rules! action {
    ($action:ident, $name:literal, $input:ty => $output:ty) => {
        struct $action;
        impl stargate_sdk::RequiredPermissions for $action {}

        impl Action for $action {
            type Input = $input;
            type Output = $output;
            const NAME: &'static str = $name;
            const VERSION: u32 = 3;
            const NATURE: Nature = Nature::Once;
            const RECOVERY: Recovery = Recovery::Find;
            const SUMMARY: &'static str = "Does nothing.";
            async fn run(&self, _: &ActionContext, _: &Self::Input) -> Result<Self::Output, ActionError> {
                Err(ActionError::permanent("this action cannot be run"))
            }
        }
    };
}
pub(super) use action;

#[derive(Serialize, Deserialize, JsonSchema)]
struct Nothing {}

#[derive(Serialize, Deserialize, JsonSchema)]
struct SubnetOutput {
    name: String,
    prefix: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Network {
    id: String,
    name: String,
    size: u32,
    private: bool,
    subnets: Vec<SubnetOutput>,
    node_subnet: Option<SubnetOutput>,
    tags: BTreeMap<String, String>,
    raw: Value,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct NetworkInput {
    /// Name of the network.
    name: String,
    #[serde(default)]
    size: Option<u8>,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    image: Option<Image>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    key: Option<SecretRef>,
    #[serde(default)]
    keys: BTreeMap<String, SecretRef>,
    #[serde(default)]
    raw: Value,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Image {
    publisher: String,
    version: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Native,
    Overlay,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Anything {
    #[serde(default)]
    value: Value,
}

action!(MakeNetwork, "net.network.ensure", NetworkInput => Network);
action!(Note, "test.note.write", Anything => Anything);
action!(Nop, "test.nop.run", Nothing => Nothing);

pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.add(MakeNetwork);
    registry.add(Note);
    registry.add(Nop);
    registry
}

/// Files that workflows can inline.
pub(super) type InlineFiles<'a> = [(&'a str, &'a str)];

pub(super) fn load(files: &InlineFiles<'_>, name: &str) -> Result<(String, String), String> {
    let file = files.iter().find(|(file, _)| *file == name);
    file.map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).ok_or_else(|| "no such file".into())
}

/// Returns the mistakes of a workflow as `line:column message; hint`.
pub(super) fn mistakes(text: &str) -> Vec<String> {
    mistakes_among(&[], text)
}

pub(super) fn mistakes_among(files: &InlineFiles<'_>, text: &str) -> Vec<String> {
    match check_among(files, text) {
        Ok(_) => Vec::new(),
        Err(diagnostics) => lines(&diagnostics),
    }
}

pub(super) fn lines(diagnostics: &Diagnostics) -> Vec<String> {
    let line = |diagnostic: &crate::workflow::Diagnostic| {
        let hint = diagnostic.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        let file = Some(diagnostic.source.name()).filter(|name| *name != "test.yaml");
        let file = file.map(|name| format!("{name}:")).unwrap_or_default();
        format!("{file}{}:{} {}{hint}", diagnostic.span.line, diagnostic.span.column, diagnostic.message)
    };
    diagnostics.iter().map(line).collect()
}

/// Reads and checks a workflow.
pub(super) fn check_among(files: &InlineFiles<'_>, text: &str) -> Result<Checked, Diagnostics> {
    parse("test.yaml", text).check(&registry(), &|include| load(files, include.path))
}

/// Checks a workflow without mistakes that inlines no other one.
pub(super) fn checked(text: &str) -> Checked {
    checked_among(&[], text)
}

pub(super) fn checked_among(files: &InlineFiles<'_>, text: &str) -> Checked {
    check_among(files, text).unwrap_or_else(|e| panic!("{:#?}", lines(&e)))
}

pub(super) fn plan(text: &str, inputs: Value) -> Plan {
    plan_among(&[], text, inputs)
}

pub(super) fn plan_among(files: &InlineFiles<'_>, text: &str, inputs: Value) -> Plan {
    checked_among(files, text).plan(map(inputs)).unwrap_or_else(|e| panic!("{:#?}", lines(&e)))
}

/// Returns a workflow with steps of the action `test.nop.run`: name and further fields of each.
pub(super) fn steps(lines: &[(&str, &str)]) -> String {
    let step = |(name, rest): &(&str, &str)| format!("  {name}: {{uses: test.nop.run, {rest}}}\n");
    format!("name: w\nsteps:\n{}", lines.iter().map(step).collect::<String>())
}

/// Results of steps, as an evaluation context.
#[derive(Default)]
pub(super) struct StepResults {
    outputs: HashMap<usize, Value>,
    skipped: HashSet<usize>,
    failed: HashSet<usize>,
    outcome: Option<&'static str>,
}

impl StepResults {
    pub(super) fn with(mut self, plan: &CompiledPlan, step: &str, output: Value) -> Self {
        self.outputs.insert(index(plan, step), output);
        self
    }

    pub(super) fn skip(mut self, plan: &CompiledPlan, step: &str) -> Self {
        self.skipped.insert(index(plan, step));
        self
    }

    /// Ends the steps that are not under `finally`.
    pub(super) fn end(self, outcome: &'static str) -> Self {
        Self { outcome: Some(outcome), ..self }
    }

    pub(super) fn fail(mut self, plan: &CompiledPlan, step: &str) -> Self {
        self.failed.insert(index(plan, step));
        self
    }
}

pub(super) fn index(plan: &CompiledPlan, step: &str) -> usize {
    plan.plan().steps.iter().position(|planned| planned.name == step).expect("a step of that name")
}

impl EvaluationContext for StepResults {
    fn output(&self, step: usize) -> Option<&Value> {
        self.outputs.get(&step)
    }

    fn skipped(&self, step: usize) -> bool {
        self.skipped.contains(&step)
    }

    fn failed(&self, step: usize) -> bool {
        self.failed.contains(&step)
    }

    fn outcome(&self) -> Option<&str> {
        self.outcome
    }

    fn run_id(&self) -> &'static str {
        "01RUN"
    }

    fn run_changed(&self) -> bool {
        false
    }
}

pub(super) fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is not a map"),
    }
}
