//! A first plan shows each value that inputs decide, and no value that a run does not have.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

#[path = "world/inputs.rs"]
#[expect(dead_code, reason = "each test uses a part of the module")]
mod inputs;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use inputs::WorldFacts;
use serde_json::{Value, json};
use world::Harness;

/// Returns the last plan.
fn plan(harness: &Harness) -> Value {
    let (_, out) = harness.outputs.iter().rev().find(|(name, _)| name.starts_with("standard output")).unwrap();
    serde_json::from_slice(out).unwrap()
}

/// Returns JSON pointer and value of each scalar and each empty list or map.
fn leaves(value: &Value, pointer: &str, found: &mut BTreeMap<String, Value>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(name, value)| leaves(value, &format!("{pointer}/{}", escaped(name)), found));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(at, item)| leaves(item, &format!("{pointer}/{at}"), found));
        }
        leaf => drop(found.insert(pointer.to_owned(), leaf.clone())),
    }
}

/// Values of a plan by step and JSON pointer, and the pointers of those that are known later.
#[derive(Default)]
struct Values {
    known: BTreeMap<(String, String), Value>,
    later: BTreeSet<(String, String)>,
}

impl Values {
    fn of(plan: &Value) -> Self {
        let mut values = Self::default();
        for step in plan["steps"].as_array().unwrap() {
            let name = step["step"].as_str().unwrap();
            let later: BTreeSet<&String> =
                step["known_later"].as_object().into_iter().flat_map(|map| map.keys()).collect();
            let mut found = BTreeMap::new();
            if let Some(input) = step.get("input") {
                leaves(input, "", &mut found);
            }
            for (pointer, value) in found {
                let at = (name.to_owned(), pointer.clone());
                if later.contains(&pointer) {
                    values.later.insert(at);
                } else {
                    values.known.insert(at, value);
                }
            }
        }
        values
    }
}

/// The plan of a run as it is stored, to find out which values inputs alone decide.
struct StoredPlan(Value);

impl StoredPlan {
    async fn of_latest_run(harness: &Harness) -> Self {
        let journal = stargate::journal::open(&harness.path("journal.db")).await.unwrap();
        let run = journal.runs(1).await.unwrap().pop().unwrap();
        let stored = journal.load(run.id).await.unwrap();
        journal.close().await.unwrap();
        Self(serde_json::from_str(&stored.plan_json).unwrap())
    }

    /// Returns step and JSON pointer of each template of a step's input that inputs alone decide. A
    /// step with instances has one entry.
    fn decided(&self) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        for step in self.0["steps"].as_array().unwrap() {
            let item = step.get("for_each").is_none_or(|each| self.is_decided(&each["items"]));
            self.collect(step["name"].as_str().unwrap(), &step["with"], "", item, &mut found);
        }
        found
    }

    fn collect(&self, step: &str, template: &Value, pointer: &str, item: bool, found: &mut BTreeSet<(String, String)>) {
        let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
        if let Some(items) = template.get("list") {
            for (at, below) in items.as_array().unwrap().iter().enumerate() {
                self.collect(step, below, &format!("{pointer}/{at}"), item, found);
            }
        } else if let Some(entries) = template.get("map") {
            for entry in entries.as_array().unwrap() {
                let below = format!("{pointer}/{}", escaped(entry[0].as_str().unwrap()));
                self.collect(step, &entry[1], &below, item, found);
            }
        } else if item && self.is_template_decided(template) {
            found.insert((step.to_owned(), pointer.to_owned()));
        }
    }

    /// True if no expression of the template reads a step.
    fn is_template_decided(&self, template: &Value) -> bool {
        match template {
            Value::Object(map) if map.contains_key("literal") => true,
            Value::Object(map) if map.contains_key("source") => self.is_decided(template),
            Value::Object(map) => map.values().all(|value| self.is_template_decided(value)),
            Value::Array(items) => items.iter().all(|item| self.is_template_decided(item)),
            _ => true,
        }
    }

    /// True if an expression reads neither a step nor the run, nor an input of an included workflow
    /// that does.
    fn is_decided(&self, expression: &Value) -> bool {
        let source = expression["source"].as_str().unwrap();
        if source.contains("steps.") || source.contains("run.") {
            return false;
        }
        let scopes = &self.0["scopes"];
        let mut scope = &scopes[usize::try_from(expression["scope"].as_u64().unwrap()).unwrap()];
        if let Some(copy_of) = scope["item"]["copy_of"].as_u64() {
            scope = &scopes[usize::try_from(copy_of).unwrap()];
        }
        let inputs = scope["inputs"].as_array().unwrap();
        let is_read = |name: &str| {
            source.match_indices(&format!("inputs.{name}")).any(|(at, text)| {
                !source[at + text.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            })
        };
        let read = inputs.iter().filter(|input| is_read(input[0].as_str().unwrap()));
        read.map(|input| &input[1]).all(|template| self.is_template_decided(template))
    }
}

/// Compares the first plan of a workflow with the values of its run.
async fn check_first_plan(harness: &mut Harness, workflow: &str) -> Value {
    let inputs = inputs::of(workflow, &WorldFacts::of(&harness.sim).await);
    assert_eq!(harness.run_with_inputs(&["plan"], workflow, &inputs).await, Some(2), "{}", harness.last_output());
    let first_plan = plan(harness);
    harness.run_to_success(workflow).await;
    let stored = StoredPlan::of_latest_run(harness).await.decided();
    assert_eq!(harness.run_with_inputs(&["plan"], workflow, &inputs).await, Some(0), "{}", harness.last_output());
    let (first, run) = (Values::of(&first_plan), Values::of(&plan(harness)));

    let wrong: Vec<_> =
        first.known.iter().filter(|(at, value)| run.known.get(*at).is_some_and(|run| run != *value)).collect();
    assert_eq!(wrong, [], "{workflow}: these values are not those of the run");

    let is_decided = |(step, pointer): &(String, String)| {
        let planned = step.strip_suffix(']').and_then(|step| step.rsplit_once('[')).map(|(step, _)| step);
        let of = |name: &str| stored.iter().any(|(step, outer)| step == name && is_inside(pointer, outer));
        of(step) || planned.is_some_and(of)
    };
    let decided: Vec<_> = run.known.keys().filter(|at| is_decided(at)).collect();
    let missing: Vec<_> = decided.iter().filter(|at| !first.known.contains_key(**at)).collect();
    let shown = decided.len() - missing.len();
    assert!(decided.len() > 300, "{workflow}: only {} values are decided by inputs", decided.len());
    assert!(shown * 100 >= decided.len() * 95, "{workflow}: {shown} of {}, without {missing:#?}", decided.len());
    first_plan
}

/// True if `pointer` is `outer` or leads to a value inside it.
fn is_inside(pointer: &str, outer: &str) -> bool {
    pointer.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Checks that each value that is known later is that of a step that would not be unchanged.
fn check_later(plan: &Value) {
    let steps = plan["steps"].as_array().unwrap();
    let name = |step: &Value| step["step"].as_str().unwrap().split('[').next().unwrap().to_owned();
    let unchanged = |of: &str| {
        let mut own = steps.iter().filter(|step| step["step"] == of || of == name(step)).peekable();
        own.peek().is_some() && own.all(|step| step["forecast"] == "unchanged")
    };
    for step in steps {
        for (pointer, after) in step["known_later"].as_object().into_iter().flatten() {
            let after: Vec<&str> = after.as_array().unwrap().iter().map(|of| of.as_str().unwrap()).collect();
            assert!(!after.is_empty(), "{step}: {pointer} is known after some step");
            assert!(!after.iter().any(|of| unchanged(of)), "{step}: {pointer} is known after {after:?}");
        }
    }
}

fn step<'p>(plan: &'p Value, name: &str) -> &'p Value {
    plan["steps"].as_array().unwrap().iter().find(|step| step["step"] == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_plan_of_a_deployment_shows_what_its_inputs_decide() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    let plan = check_first_plan(&mut harness, "deploy").await;
    check_later(&plan);
    assert!(plan["counts"]["create"].as_u64().unwrap() > 20 && plan["counts"]["delete"] == 0, "{}", plan["counts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_plan_of_a_site_shows_what_its_inputs_decide() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    let plan = check_first_plan(&mut harness, "provision-dc").await;
    check_later(&plan);
    // Ids of machines that do not exist are certain, and their addresses are not.
    let vm = step(&plan, "worker_vm[worker-1]");
    assert!(vm["input"]["network_interface_id"].as_str().unwrap().ends_with("/networkInterfaces/worker-1-nic"), "{vm}");
    assert_eq!((&vm["forecast"], &vm["differences"][0]["operation"]), (&"changes".into(), &"create".into()), "{vm}");
    let kernel = step(&plan, "worker_forwarding[worker-1]");
    assert_eq!(kernel["known_later"]["/host/host_key"], json!(["worker_vm"]), "{kernel}");
    assert_eq!(kernel["input"]["settings"]["net.ipv4.ip_forward"], "1", "{kernel}");
}
