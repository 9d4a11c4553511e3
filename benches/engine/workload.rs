//! Workloads, each measured in the process that runs it.

use std::{path::Path, process::Command, sync::Arc, time::Instant};

use serde::Serialize;
use serde_json::{Map, Value, json};
use stargate::{
    clock::Clock,
    engine::{DEFAULT_LEASE, Engine, EngineOptions, Prepared},
    event::NullReporter,
    journal::{self, Journal},
    plan::{
        DEFAULT_TIMEOUT_MS, FORMAT, ForEach, Include, Plan, PlannedExpression, PlannedStep, Retry, Scope, Template,
    },
    workflow::parse,
};
use stargate_sdk::{Nature, Recovery, Registry, Secrets};

use crate::body::{RecordTime, Trace, monotonic_ns};

/// Result of one workload, printed as one line of JSON.
///
/// Latencies are the time between two steps for sequential steps, the time from the start of the
/// run to the step for parallel steps, and the duration of a run or process for many of them.
#[derive(Serialize)]
pub(crate) struct WorkloadResult {
    pub(crate) wall_s: f64,
    pub(crate) steps: usize,
    pub(crate) runs: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Number of steps that this process ran.
    pub(crate) executed: usize,
    /// Time from the start of the process to its first step, in milliseconds.
    pub(crate) first_step_ms: f64,
    /// Size of the journal, in bytes.
    pub(crate) journal_bytes: u64,
    /// Maximum resident memory of the process, in KiB.
    pub(crate) peak_kib: u64,
}

impl std::fmt::Display for WorkloadResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).unwrap())
    }
}

/// Measures one workload in `folder`, which keeps the journal.
pub(crate) fn measure(name: &str, n: usize, folder: &Path) -> WorkloadResult {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    std::fs::create_dir_all(folder).unwrap();
    runtime.block_on(async {
        match name {
            "w1" | "w5" => one_run(chain(n), n, folder, true).await,
            "w2" => one_run(fan(n), n, folder, false).await,
            "w3" => many_runs(n, folder).await,
            "w4" => processes(n, folder),
            "w4one" => cold(folder).await,
            "w5resume" => resume(folder).await,
            other => panic!("no workload {other}"),
        }
    })
}

/// An engine on a journal in a folder.
struct Setup {
    engine: Engine,
    journal: Arc<dyn Journal>,
    trace: Arc<Trace>,
    registry: Registry,
    started_ns: u64,
}

impl Setup {
    async fn new(folder: &Path) -> Self {
        let started_ns = monotonic_ns();
        let journal = journal::open(folder.join("journal.db")).await.unwrap();
        let trace = Trace::new();
        let mut registry = Registry::default();
        registry.add(RecordTime(Arc::clone(&trace)));
        let engine = Engine::start(EngineOptions {
            journal: Arc::clone(&journal),
            registry: registry.clone(),
            secrets: Arc::new(Secrets::default()),
            reporter: Arc::new(NullReporter),
            clock: Clock::system(),
            max_parallel: 64,
            lease: DEFAULT_LEASE,
        })
        .unwrap();
        Self { engine, journal, trace, registry, started_ns }
    }

    fn measured(&self, wall: f64, runs: usize, mut latencies: Vec<f64>, folder: &Path) -> WorkloadResult {
        latencies.sort_by(f64::total_cmp);
        let at = self.trace.at.lock().unwrap();
        WorkloadResult {
            wall_s: wall,
            steps: at.len(),
            runs,
            p50_ms: quantile(&latencies, 0.50),
            p99_ms: quantile(&latencies, 0.99),
            executed: at.len(),
            first_step_ms: at.first().map_or(0.0, |first| ms(first - self.started_ns)),
            journal_bytes: folder.join("journal.db").metadata().map_or(0, |m| m.len()),
            peak_kib: peak_kib(),
        }
    }

    fn gaps(&self) -> Vec<f64> {
        self.trace.at.lock().unwrap().windows(2).map(|pair| ms(pair[1] - pair[0])).collect()
    }

    fn since_start(&self) -> Vec<f64> {
        self.trace.at.lock().unwrap().iter().map(|at| ms(at - self.started_ns)).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds need no more than 52 bits")]
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted.get((sorted.len().saturating_sub(1) as f64 * q) as usize).copied().unwrap_or_default()
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn one_run(plan: Plan, n: usize, folder: &Path, sequential: bool) -> WorkloadResult {
    let setup = Setup::new(folder).await;
    let prepared = Arc::new(Prepared::new(plan, &setup.registry).unwrap());
    let started = Instant::now();
    setup.engine.run_prepared(prepared).await.unwrap();
    let wall = started.elapsed().as_secs_f64();
    assert_eq!(setup.trace.at.lock().unwrap().len(), n);
    setup.measured(wall, 1, if sequential { setup.gaps() } else { setup.since_start() }, folder)
}

async fn many_runs(n: usize, folder: &Path) -> WorkloadResult {
    let setup = Setup::new(folder).await;
    let prepared = Arc::new(Prepared::new(chain(5), &setup.registry).unwrap());
    let started = Instant::now();
    let runs: Vec<_> = (0..n)
        .map(|_| {
            let (engine, prepared) = (setup.engine.clone(), Arc::clone(&prepared));
            tokio::spawn(async move {
                let started = Instant::now();
                engine.run_prepared(prepared).await.unwrap();
                started.elapsed().as_secs_f64() * 1e3
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for run in runs {
        latencies.push(run.await.unwrap());
    }
    let wall = started.elapsed().as_secs_f64();
    setup.measured(wall, n, latencies, folder)
}

async fn resume(folder: &Path) -> WorkloadResult {
    let started = Instant::now();
    let setup = Setup::new(folder).await;
    let run = setup.journal.runs(1).await.unwrap().remove(0).id;
    setup.engine.resume(run).await.unwrap();
    let wall = started.elapsed().as_secs_f64();
    setup.measured(wall, 1, setup.gaps(), folder)
}

/// Reads, checks and runs a workflow of three steps in this process.
async fn cold(folder: &Path) -> WorkloadResult {
    const TEXT: &str = "name: cold\nsteps:\n  a: {uses: bench.step.run, with: {i: 1}}\n  \
        b: {uses: bench.step.run, with: {i: \"${{ steps.a.outputs.i }}\"}}\n  \
        c: {uses: bench.step.run, with: {i: \"${{ steps.b.outputs.i }}\"}}\n";
    let setup = Setup::new(folder).await;
    let started = Instant::now();
    let alone = |_: Include<'_>| Err("no workflow is inlined".to_owned());
    let plan = parse("cold.yaml", TEXT).check(&setup.registry, &alone).unwrap().plan(Map::new()).unwrap();
    setup.engine.run(plan).await.unwrap();
    setup.measured(started.elapsed().as_secs_f64(), 1, setup.gaps(), folder)
}

fn processes(n: usize, folder: &Path) -> WorkloadResult {
    let started = Instant::now();
    let (mut walls, mut peak) = (Vec::new(), 0);
    for i in 0..n {
        let own = folder.join(format!("cold-{i}"));
        let started = Instant::now();
        let program = std::env::current_exe().unwrap();
        let output = Command::new(program).args(["w4one", "1"]).arg(own).output().unwrap();
        walls.push(started.elapsed().as_secs_f64() * 1e3);
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        peak = peak.max(line["peak_kib"].as_u64().unwrap());
    }
    walls.sort_by(f64::total_cmp);
    WorkloadResult {
        wall_s: started.elapsed().as_secs_f64(),
        steps: 3 * n,
        runs: n,
        p50_ms: quantile(&walls, 0.50),
        p99_ms: quantile(&walls, 0.99),
        executed: 3 * n,
        first_step_ms: 0.0,
        journal_bytes: 0,
        peak_kib: peak,
    }
}

fn step(i: usize, needs: Vec<usize>) -> PlannedStep {
    PlannedStep {
        name: format!("s{i}"),
        action: "bench.step.run".into(),
        version: 1,
        nature: Nature::Once,
        recovery: Recovery::Repeat,
        with: Template::Literal(json!({ "i": i })),
        needs,
        after: vec![],
        needs_each: vec![],
        when: None,
        approval: None,
        for_each: None,
        retry: Retry::default(),
        timeout_ms: DEFAULT_TIMEOUT_MS,
        scope: 0,
        allow_failure: false,
        is_finally: false,
    }
}

fn plan(steps: Vec<PlannedStep>, inputs: Map<String, Value>) -> Plan {
    let scope = Scope {
        prefix: String::new(),
        workflow: "bench".into(),
        parent: None,
        inputs: vec![],
        outputs: vec![],
        item: None,
        allow_failure: false,
    };
    Plan {
        format: FORMAT,
        workflow: "bench".into(),
        inputs,
        scopes: vec![scope],
        loops: vec![],
        locks: vec![],
        steps,
        outputs: vec![],
    }
}

fn chain(n: usize) -> Plan {
    plan((0..n).map(|i| step(i, i.checked_sub(1).into_iter().collect())).collect(), Map::new())
}

fn fan(n: usize) -> Plan {
    let expression = |source: &str| PlannedExpression::new(source, 0);
    let mut fan = step(0, vec![]);
    fan.with = Template::Map(vec![("i".into(), Template::Expression(expression("item")))]);
    let (items, key) = (expression("inputs.items"), expression("string(item)"));
    fan.for_each =
        Some(ForEach { items, variable: "item".into(), key, group: None, max_parallel: None, max_failures: None });
    let inputs = [("items".to_owned(), (0..n).collect::<Vec<_>>().into())];
    plan(vec![fan], inputs.into_iter().collect())
}
