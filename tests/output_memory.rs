//! Memory that the output of a step costs. The limit is measured, so this binary has one test,
//! which runs alone in its process.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod support;

use std::{fs, io::Write as _, process::Command, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stargate::{
    clock::Clock,
    engine::{DEFAULT_LEASE, Ending, Engine, EngineOptions, RunReport},
    event::NullReporter,
    journal,
    plan::{Plan, Template},
    run::Outcome,
};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Recovery, Registry, RequiredPermissions, Secrets};
use support::{expression, plan, step};

/// Largest output that is measured, in bytes of JSON.
const OUTPUT_BYTES: usize = 1_000_000;

/// Action with an output of a requested size.
struct Give;

/// Shape and size of the output.
#[derive(Deserialize, JsonSchema)]
struct GiveInput {
    shape: String,
    bytes: usize,
}

/// An output: either of the two is empty.
#[derive(Serialize, Deserialize, JsonSchema)]
struct GiveOutput {
    text: String,
    routes: Vec<GivenRoute>,
}

/// An item of a list, such as those of nodes and routes.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct GivenRoute {
    id: String,
    prefix: String,
    next_hop: String,
}

impl RequiredPermissions for Give {}

impl Action for Give {
    type Input = GiveInput;
    type Output = GiveOutput;
    const NAME: &'static str = "test.find";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Once;
    const RECOVERY: Recovery = Recovery::Find;
    const SUMMARY: &'static str = "Returns an output.";

    async fn run(&self, _: &ActionContext, input: &GiveInput) -> Result<GiveOutput, ActionError> {
        let id =
            "/subscriptions/44654aed-2753-4b88-9142-af7132933b6b/resourceGroups/g/providers/Microsoft.Network/routes/r";
        let route = GivenRoute { id: id.into(), prefix: "10.50.0.0/24".into(), next_hop: "10.20.0.4".into() };
        let route_bytes = serde_json::to_string(&route).map_or(1, |text| text.len());
        Ok(match input.shape.as_str() {
            "text" => GiveOutput { text: "x".repeat(input.bytes), routes: Vec::new() },
            _ => GiveOutput { text: String::new(), routes: vec![route; input.bytes / route_bytes] },
        })
    }
}

/// A step with the output, a second one with a condition, and the output of the run.
fn workflow(shape: &str, bytes: usize, condition: Option<&str>) -> Plan {
    let mut give = step("give", "test.find", &[]);
    give.with = Template::Literal(json!({"shape": shape, "bytes": bytes}));
    let mut second = step("second", "test.find", &[0]);
    second.when = condition.map(expression);
    second.with = Template::Literal(json!({"shape": shape, "bytes": 1}));
    let mut plan = plan(vec![give, second]);
    plan.outputs.push(("value".into(), Template::Expression(expression("steps.give.outputs"))));
    plan
}

/// A line of this process's status in `/proc`, in bytes.
fn status(name: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

async fn run(engine: &Engine, plan: Plan) -> RunReport {
    let report = engine.run(plan).await.unwrap();
    assert_eq!(report.ending, Ending::Finished(Outcome::Succeeded), "{:?}", report.failures);
    report
}

/// Maximum memory as a multiple of the output.
const MAX_RATIO: usize = 10;
/// Shape of the output, and condition of the second step.
const CASES: [(&str, Option<&str>); 7] = [
    ("text", None),
    ("text", Some("size(steps.give.outputs.text) > 0")),
    ("routes", None),
    ("routes", Some("size(steps.give.outputs.routes) > 0")),
    ("routes", Some("steps.give.outputs.routes.all(route, route.next_hop != '')")),
    ("routes", Some("steps.give.outputs.routes[0].id != ''")),
    ("routes", Some("steps.give.outputs.routes.map(route, route.id).size() > 0")),
];
/// Variable with the number of the case that a process measures.
const CASE: &str = "MEASURED_CASE";

/// Measures each case in a process of its own: memory that was freed before would be used again.
#[test]
fn an_output_costs_a_few_times_its_size() {
    if let Ok(case) = std::env::var(CASE) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(measure(CASES[case.parse::<usize>().unwrap()]));
    }
    for case in 0..CASES.len() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.arg("--nocapture").env(CASE, case.to_string()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        std::io::stderr().write_all(&output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    }
}

async fn measure((shape, condition): (&str, Option<&str>)) {
    let folder = tempfile::tempdir().unwrap();
    let mut registry = Registry::default();
    registry.add(Give);
    let secrets = Secrets::default();
    secrets.redactor().add("a-secret-that-is-not-in-the-output");
    let engine = Engine::start(EngineOptions {
        journal: journal::open(&folder.path().join("journal.db")).await.unwrap(),
        registry,
        secrets: Arc::new(secrets),
        reporter: Arc::new(NullReporter),
        clock: Clock::system(),
        max_parallel: 4,
        lease: DEFAULT_LEASE,
    })
    .unwrap();
    drop(run(&engine, workflow(shape, 1000, condition)).await);
    fs::write("/proc/self/clear_refs", "5").unwrap(); // the peak begins again at the present size
    let before = status("VmRSS");
    let report = run(&engine, workflow(shape, OUTPUT_BYTES, condition)).await;
    let peak = status("VmHWM") - before;
    assert!(report.outputs["value"].to_string().len() > OUTPUT_BYTES / 10 * 9);
    let case = format!("{shape}, {condition:?}: {peak} bytes for an output of {OUTPUT_BYTES}");
    std::io::stdout().write_all(format!("{case}\n").as_bytes()).unwrap();
    assert!(peak <= MAX_RATIO * OUTPUT_BYTES, "{case}");
}
