//! The cases, two at a time.

use std::{process::ExitCode, sync::Arc};

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{shipped::Shipped, stage::Stage, verdict};

/// Worlds at one time: what two cores carry without waiting for each other.
const AT_ONCE: usize = 3;
/// Seeds of the schedule of faults by chance.
const SEEDS: u64 = 12;

/// Lines of a failed case's processes that are shown.
const SAID: usize = 12;

/// What a run without trouble looks like.
struct Reference {
    facts: Value,
    commits: u64,
    mutating: usize,
}

/// What went wrong in one case.
type Complaints = Vec<String>;

#[derive(Debug, Clone, Copy)]
enum Case {
    KillAfterCommit(u64),
    KillAtRequest { nth: usize, fault: &'static str },
    LoseReply(usize),
    Chance(u64),
}

/// Runs every case of `workflow` whose group begins with `wanted`, and prints what came of it.
pub(crate) async fn all(workflow: Shipped, wanted: &str) -> ExitCode {
    println!("{}", workflow.name);
    let reference = match reference(workflow).await {
        Ok(reference) => Arc::new(reference),
        Err(complaints) => {
            println!("FAILED without any fault:\n{}\n0 passed, 1 failed", complaints.join("\n"));
            return ExitCode::FAILURE;
        }
    };
    println!("without any fault: {} commits, {} mutating requests", reference.commits, reference.mutating);
    let cases = cases(&reference, wanted);
    let results: Vec<bool> = stream::iter(cases)
        .map(|case| {
            let reference = Arc::clone(&reference);
            async move { told(case, &judged(workflow, case, &reference).await) }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let passed = results.iter().filter(|passed| **passed).count() + 1;
    let failed = results.len() + 1 - passed;
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cases(reference: &Reference, wanted: &str) -> Vec<Case> {
    let commits = (1..=reference.commits).map(Case::KillAfterCommit);
    let requests = (1..=reference.mutating)
        .flat_map(|nth| ["hang_before", "hang_after"].map(|fault| Case::KillAtRequest { nth, fault }));
    let replies = (1..=reference.mutating).map(Case::LoseReply);
    let chance = (1..=SEEDS).map(Case::Chance);
    let groups: [(&str, Vec<Case>); 4] = [
        ("commits", commits.collect()),
        ("requests", requests.collect()),
        ("replies", replies.collect()),
        ("chance", chance.collect()),
    ];
    groups.into_iter().filter(|(name, _)| name.starts_with(wanted)).flat_map(|(_, cases)| cases).collect()
}

fn told(case: Case, complaints: &[String]) -> bool {
    if complaints.is_empty() {
        println!("ok      {case:?}");
        return true;
    }
    println!("FAILED  {case:?}\n        {}", complaints.join("\n        "));
    false
}

/// Runs the workflow without trouble, and a second time, which must write nothing.
async fn reference(workflow: Shipped) -> Result<Reference, Complaints> {
    let stage = Stage::new(workflow).await;
    let status = stage.run("run", 0).await;
    if status.code() != Some(10) {
        return Err(vec![format!("the first run ended with {status}"), stage.said()]);
    }
    let (facts, mutating) = (verdict::facts(&stage), mutating_requests(&stage).await);
    let commits = commits_of(&stage).await;
    let before = stage.writes();
    let again = stage.run("run", 0).await;
    let mut complaints = verdict::complaints(&stage, &facts).await;
    if again.code() != Some(0) || stage.writes() != before {
        complaints.push(format!("the second run ended with {again} and {} writes", stage.writes() - before));
        complaints.push(stage.said());
    }
    if complaints.is_empty() { Ok(Reference { facts, commits, mutating }) } else { Err(complaints) }
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

/// How many commits one run makes: asked of a process that is told to die after ever later ones would be slow, so the
/// history's instants are counted, which is never fewer.
async fn commits_of(stage: &Stage) -> u64 {
    use stargate::journal::{Journal, SqliteJournal};
    let journal = SqliteJournal::open(&stage.journal()).await.unwrap();
    let run = journal.runs(1).await.unwrap().remove(0);
    run.seq + journal.load(run.id).await.unwrap().latest.len() as u64
}

async fn judged(workflow: Shipped, case: Case, reference: &Reference) -> Complaints {
    let stage = Stage::new(workflow).await;
    let outcome = match case {
        Case::KillAfterCommit(nth) => kill_after_commit(&stage, nth).await,
        Case::KillAtRequest { nth, fault } => kill_at_request(&stage, nth, fault).await,
        Case::LoseReply(nth) => {
            stage.fault(nth, "lost_reply").await;
            to_the_end(&stage, "run").await
        }
        Case::Chance(seed) => {
            stage.post("faults", schedule(seed)).await;
            to_the_end(&stage, "run").await
        }
    };
    let mut complaints: Complaints = outcome.err().into_iter().collect();
    complaints.extend(verdict::complaints(&stage, &reference.facts).await);
    if !complaints.is_empty() {
        let said = stage.said();
        let last: Vec<&str> = said.lines().rev().take(SAID).collect();
        complaints.extend(last.into_iter().rev().map(str::to_owned));
    }
    stage.sim.shutdown().await.unwrap();
    complaints
}

fn schedule(seed: u64) -> Value {
    let faults = json!([
        { "kind": "throttle", "retry_after": 0 }, { "kind": "error", "status": 500 },
        { "kind": "lost_reply" }, { "kind": "refuse" }, { "kind": "error_after", "status": 503 },
        { "kind": "slow", "ms": 50 },
    ]);
    json!({ "schedule": { "seed": seed, "rate": 0.15, "faults": faults, "reads": true, "limit": 25 } })
}

/// A process that is not killed must end well.
async fn to_the_end(stage: &Stage, verb: &str) -> Result<(), String> {
    let status = stage.run(verb, 0).await;
    if matches!(status.code(), Some(0 | 10)) { Ok(()) } else { Err(format!("{verb} ended with {status}")) }
}

async fn kill_after_commit(stage: &Stage, nth: u64) -> Result<(), String> {
    use std::os::unix::process::ExitStatusExt;
    let status = stage.run("run", nth).await;
    match (status.signal(), status.code()) {
        (Some(9), _) => to_the_end(stage, "resume").await,
        (_, Some(10)) => Ok(()), // fewer commits than entries: outcomes shared a commit
        _ => Err(format!("run ended with {status}")),
    }
}

async fn kill_at_request(stage: &Stage, nth: usize, fault: &str) -> Result<(), String> {
    stage.fault(nth, fault).await;
    let mut child = stage.spawn("run", 0);
    if !stage.held(&mut child).await {
        return Err(format!("the {nth}th mutating request never came"));
    }
    child.kill().unwrap();
    stage.wait(&mut child).await;
    stage.post("holds/release", json!({})).await;
    to_the_end(stage, "resume").await
}
