//! Execution of the cases of one workflow, several at the same time.

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

/// Number of simulated worlds at the same time.
///
/// A case spends most of its time waiting for the world or for a retry.
const AT_ONCE: usize = 8;

/// Number of output lines that are printed for a failed case.
const SAID: usize = 12;

/// State from which each case starts, and the result of a run without faults.
struct Reference {
    template: Template,
    facts: Value,
    extent: Extent,
}

/// Messages about the violations that one case has found.
type Complaints = Vec<String>;

/// Runs the selected cases of `workflow` and prints their results.
pub(crate) async fn run(workflow: Shipped, arguments: &Arguments) -> ExitCode {
    let began = Instant::now();
    println!("{}", workflow.label);
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
    let results: Vec<bool> = stream::iter(case::chosen(workflow, reference.extent, arguments))
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

/// Prints the result of one case. Returns true if it has passed.
fn told(case: Case, took: Duration, complaints: &[String]) -> bool {
    if complaints.is_empty() {
        println!("ok      {case:?} in {:.1} s", took.as_secs_f32());
        return true;
    }
    println!("FAILED  {case:?}\n        {}", complaints.join("\n        "));
    false
}

/// Runs the workflow without faults, then again: the second run must not write anything.
///
/// # Errors
///
/// The messages about a run that failed or wrote too much.
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

/// Returns the number of mutating requests that each run sends.
///
/// Requests that failed are not counted: a throttled request is sent again.
async fn mutating_requests(stage: &Stage) -> usize {
    let requests = stage.get("requests").await;
    // The log also contains changes of hosts over SSH, but faults apply to HTTP only.
    let took_effect = |request: &&Value| {
        request["mutating"] == true && request["surface"] != "host" && request["status"].as_u64() < Some(400)
    };
    requests.as_array().unwrap().iter().filter(took_effect).count()
}

/// Returns the number of commits from the last process in the output.
fn commits(said: &str) -> u64 {
    let count = said.lines().rev().find_map(|line| line.strip_prefix(COMMITS));
    count.and_then(|count| count.parse().ok()).expect("every process says how many commits it made")
}

/// Returns true if a line of the output is the event of a step that has failed or is in doubt.
fn tells_of_failure(line: &str) -> bool {
    let event = serde_json::from_str::<Value>(line).unwrap_or_default();
    matches!(event["event"].as_str(), Some("step_failed" | "step_in_doubt"))
}

/// Runs one case in a world of its own and returns the violations with the failures and the end of
/// the output.
async fn judged(workflow: Shipped, case: Case, reference: &Reference) -> Complaints {
    let stage = Stage::new(workflow, &reference.template).await;
    let outcome = case.play(&stage).await;
    let mut complaints: Complaints = outcome.err().into_iter().collect();
    if case.ends_as_reference() {
        complaints.extend(verdict::complaints(&stage, &reference.facts).await);
    } else {
        complaints.extend(verdict::steps_done_twice(&stage).await);
    }
    if !complaints.is_empty() {
        let said = stage.said();
        complaints.extend(said.lines().filter(|line| tells_of_failure(line)).map(str::to_owned));
        let last: Vec<&str> = said.lines().rev().take(SAID).collect();
        complaints.extend(last.into_iter().rev().map(str::to_owned));
    }
    drop(stage.close().await);
    complaints
}
