//! Cases of the test: the faults that a run must survive.

use std::os::unix::process::ExitStatusExt;

use rand::{SeedableRng, rngs::StdRng, seq::index};
use serde_json::{Value, json};

use crate::{arguments::Arguments, drift::Drift, drifts, shipped::Shipped, stage::Stage, stops};

/// Number of seeds for schedules of random faults.
const SEEDS: u64 = 12;

/// Groups of cases, by the type of the fault.
pub(crate) const GROUPS: [&str; 7] = ["commits", "requests", "replies", "hosts", "stops", "chance", "drifts"];

/// Single fault, with the position at which it occurs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Case {
    KillAfterCommit(u64),
    KillAtRequest { nth: usize, fault: &'static str },
    LoseReply(usize),
    KillAfterHostWrite(u64),
    Stop { writes: u64, millis: u64 },
    Chance(u64),
    Drift { commit: u64, drift: Drift },
}

/// Numbers of events in a run without faults; each of them is a position for a fault.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) commits: u64,
    pub(crate) mutating: usize,
    pub(crate) host_writes: u64,
}

/// Returns the selected cases of all groups.
pub(crate) fn chosen(workflow: Shipped, extent: Extent, arguments: &Arguments) -> Vec<Case> {
    let groups = GROUPS.into_iter().filter(|group| arguments.wants(group));
    groups.flat_map(|group| sample(workflow, group, &all(group, extent, arguments.seed), arguments)).collect()
}

/// Returns every case of a group, in the order of their positions.
fn all(group: &str, extent: Extent, seed: u64) -> Vec<Case> {
    let nths = || 1..=extent.mutating;
    match group {
        "commits" => (1..=extent.commits).map(Case::KillAfterCommit).collect(),
        "requests" => nths()
            .flat_map(|nth| ["hang_before", "hang_after"].map(|fault| Case::KillAtRequest { nth, fault }))
            .collect(),
        "replies" => nths().map(Case::LoseReply).collect(),
        "hosts" => (1..=extent.host_writes).map(Case::KillAfterHostWrite).collect(),
        "stops" => stops::moments(extent, seed),
        "drifts" => drifts::pairs(extent, seed),
        _ => (0..SEEDS).map(|n| Case::Chance(seed + n)).collect(),
    }
}

/// Returns a sample of the cases in their order, which the seed determines.
fn sample(workflow: Shipped, group: &str, all: &[Case], arguments: &Arguments) -> Vec<Case> {
    let share = arguments.share(workflow, group, all.len());
    let mut chosen = index::sample(&mut StdRng::seed_from_u64(arguments.seed), all.len(), share).into_vec();
    chosen.sort_unstable();
    if share < all.len() {
        println!("{group}: {share} of {} cases, by seed {}; --all runs every one", all.len(), arguments.seed);
    }
    chosen.into_iter().map(|at| all[at]).collect()
}

impl Case {
    /// True if the world ends as in a run without faults.
    pub(crate) fn ends_as_reference(self) -> bool {
        !matches!(self, Self::Drift { .. })
    }

    /// Runs the workflow with the fault, and resumes it if the process was killed.
    ///
    /// # Errors
    ///
    /// A description of an outcome that the fault does not justify.
    pub(crate) async fn play(self, stage: &Stage) -> Result<(), String> {
        match self {
            Self::KillAfterCommit(nth) => kill_after_commit(stage, nth).await,
            Self::KillAtRequest { nth, fault } => kill_at_request(stage, nth, fault).await,
            Self::KillAfterHostWrite(nth) => kill_after_host_write(stage, nth).await,
            Self::Drift { commit, drift } => drifts::resume_after(stage, commit, drift).await,
            Self::Stop { writes, millis } => stops::stop(stage, writes, millis).await,
            Self::LoseReply(nth) => {
                stage.fault(nth, "lost_reply").await;
                to_the_end(stage, "run").await
            }
            Self::Chance(seed) => {
                stage.post("faults", schedule(seed)).await;
                through_faults(stage).await
            }
        }
    }
}

/// Most runs that the faults of a [`schedule`] can make fail: a step gives up after 10 of them.
const GIVEN_UP: usize = 2;

/// Runs the workflow, and resumes it if all attempts of a step have met a fault.
async fn through_faults(stage: &Stage) -> Result<(), String> {
    let mut verb = "run";
    for _ in 0..GIVEN_UP {
        match to_the_end(stage, verb).await {
            Err(_) if has_given_up(&stage.said()) => verb = "resume",
            result => return result,
        }
    }
    to_the_end(stage, verb).await
}

/// True if a step has failed, and each failure is of a kind that a retry can succeed after: all but
/// permanent ones. A step in doubt stays in doubt when its run is resumed.
fn has_given_up(said: &str) -> bool {
    let kinds = ["kind: Transient", "kind: Throttled", "kind: Unknown"];
    kinds.iter().any(|kind| said.contains(kind)) && !said.contains("kind: Permanent")
}

/// Returns the schedule of random faults for a seed: 15 % of the requests, at most 25 faults.
fn schedule(seed: u64) -> Value {
    let faults = json!([
        { "kind": "throttle", "retry_after": 0 }, { "kind": "error", "status": 500 },
        { "kind": "lost_reply" }, { "kind": "refuse" }, { "kind": "error_after", "status": 503 },
        { "kind": "slow", "ms": 50 },
    ]);
    json!({ "schedule": { "seed": seed, "rate": 0.15, "faults": faults, "reads": true, "limit": 25 } })
}

/// Runs a process that is not killed, which must succeed.
async fn to_the_end(stage: &Stage, verb: &str) -> Result<(), String> {
    let status = stage.run(verb, 0).await;
    if matches!(status.code(), Some(0 | 10)) { Ok(()) } else { Err(format!("{verb} ended with {status}")) }
}

/// Kills the process after its `nth` commit and resumes the run.
async fn kill_after_commit(stage: &Stage, nth: u64) -> Result<(), String> {
    let status = stage.run("run", nth).await;
    match (status.signal(), status.code()) {
        (Some(9), _) => to_the_end(stage, "resume").await,
        (_, Some(10)) => Ok(()), // fewer commits than in the run without faults: outcomes shared one
        _ => Err(format!("run ended with {status}")),
    }
}

/// Kills the process while its `nth` mutating request is held, and resumes the run.
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

/// Kills the process a few milliseconds after the `nth` change of a machine.
///
/// The process may or may not have received the result by then.
async fn kill_after_host_write(stage: &Stage, nth: u64) -> Result<(), String> {
    let before = stage.host_writes();
    let mut child = stage.spawn("run", 0);
    if !stage.written(&mut child, before + nth).await {
        return Err(format!("the {nth}th change of a machine never came"));
    }
    child.kill().unwrap();
    match stage.wait(&mut child).await.code() {
        None => to_the_end(stage, "resume").await,
        Some(10) => Ok(()), // it was the last one, and the run has ended
        Some(code) => Err(format!("run ended with {code}")),
    }
}
