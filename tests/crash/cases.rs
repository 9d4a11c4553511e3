//! The cases of a workflow, a few at a time.

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use serde_json::Value;

use crate::{
    arguments::Arguments,
    case::{self, Case, Extent},
    child::COMMITS,
    facts,
    shipped::Shipped,
    stage::Stage,
    template::Template,
    verdict,
};

/// Worlds at one time: most of a case is waiting, for the world and for the next attempt.
const AT_ONCE: usize = 8;

/// Lines of a failed case's processes that are shown.
const SAID: usize = 12;

/// What a run without trouble looks like, and the world that it begins in.
struct Reference {
    template: Template,
    facts: Value,
    extent: Extent,
}

/// What went wrong in one case.
type Complaints = Vec<String>;

/// Runs the cases of `workflow` that are asked for, and prints what came of it.
pub(crate) async fn run(workflow: Shipped, arguments: &Arguments) -> ExitCode {
    let began = Instant::now();
    println!("{}", workflow.name);
    let reference = match reference(workflow).await {
        Ok(reference) => Arc::new(reference),
        Err(complaints) => {
            println!("FAILED without any fault:\n{}\n0 passed, 1 failed", complaints.join("\n"));
            return ExitCode::FAILURE;
        }
    };
    let Extent { commits, mutating, host_writes } = reference.extent;
    println!("without any fault: {commits} commits, {mutating} mutating requests, {host_writes} changes of machines");
    println!("made after {} s", began.elapsed().as_secs());
    let results: Vec<bool> = stream::iter(case::chosen(reference.extent, arguments))
        .map(|case| {
            let reference = Arc::clone(&reference);
            async move {
                let began = Instant::now();
                let complaints = judged(workflow, case, &reference).await;
                told(case, began.elapsed(), &complaints)
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let passed = results.iter().filter(|passed| **passed).count() + 1;
    let failed = results.len() + 1 - passed;
    println!("{passed} passed, {failed} failed in {} s", began.elapsed().as_secs());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn told(case: Case, took: Duration, complaints: &[String]) -> bool {
    if complaints.is_empty() {
        println!("ok      {case:?} in {:.1} s", took.as_secs_f32());
        return true;
    }
    println!("FAILED  {case:?}\n        {}", complaints.join("\n        "));
    false
}

/// Runs the workflow without trouble, and a second time, which must write nothing.
async fn reference(workflow: Shipped) -> Result<Reference, Complaints> {
    let template = Template::before(workflow).await.map_err(|complaint| vec![complaint])?;
    let stage = Stage::new(workflow, &template).await;
    let host_writes = stage.host_writes();
    let status = stage.run("run", 0).await;
    if status.code() != Some(10) {
        return Err(vec![format!("the first run ended with {status}"), stage.said()]);
    }
    let facts = facts::of(&stage);
    let extent = Extent {
        commits: commits(&stage.said()),
        mutating: mutating_requests(&stage).await,
        host_writes: stage.host_writes() - host_writes,
    };
    let before = stage.writes();
    let again = stage.run("run", 0).await;
    let mut complaints = verdict::complaints(&stage, &facts).await;
    if again.code() != Some(0) || stage.writes() != before {
        complaints.push(format!("the second run ended with {again} and {} writes", stage.writes() - before));
        complaints.push(stage.said());
    }
    if complaints.is_empty() { Ok(Reference { template, facts, extent }) } else { Err(complaints) }
}

/// Mutating requests that every run makes; one that is told to wait and come again makes more.
async fn mutating_requests(stage: &Stage) -> usize {
    let requests = stage.get("requests").await;
    // What is done to a host over SSH is in the log as well, but faults are for HTTP.
    let took_effect = |request: &&Value| {
        request["mutating"] == true && request["surface"] != "host" && request["status"].as_u64() < Some(400)
    };
    requests.as_array().unwrap().iter().filter(took_effect).count()
}

/// How many commits the process has made that has said so last.
fn commits(said: &str) -> u64 {
    let count = said.lines().rev().find_map(|line| line.strip_prefix(COMMITS));
    count.and_then(|count| count.parse().ok()).expect("every process says how many commits it made")
}

async fn judged(workflow: Shipped, case: Case, reference: &Reference) -> Complaints {
    let stage = Stage::new(workflow, &reference.template).await;
    let outcome = case.play(&stage).await;
    let mut complaints: Complaints = outcome.err().into_iter().collect();
    complaints.extend(verdict::complaints(&stage, &reference.facts).await);
    if !complaints.is_empty() {
        let said = stage.said();
        let last: Vec<&str> = said.lines().rev().take(SAID).collect();
        complaints.extend(last.into_iter().rev().map(str::to_owned));
    }
    drop(stage.close().await);
    complaints
}
