//! Cases in which the world changes between the end of a process and the resume of its run.
//!
//! The world at the moment of the resume is copied. In the copy, a new run of the workflow begins.
//! Both worlds must end in the same state.

use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt,
    process::Child,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::Value;
use stargate::{journal, run::Entry};

use crate::{
    case::{Case, Extent},
    drift::{ALL, Drift},
    facts,
    stage::{OVERTAKEN, Stage},
    template::Template,
    verdict,
};

/// Time without output after which two processes wait. Longer than the longest delay between two
/// attempts.
const QUIET: Duration = Duration::from_secs(40);

/// Returns all pairs of a kill point and a drift, in an order that the seed determines.
pub(crate) fn pairs(extent: Extent, seed: u64) -> Vec<Case> {
    let pairs = (1..=extent.commits).flat_map(|commit| ALL.map(|drift| Case::Drift { commit, drift }));
    let mut pairs: Vec<Case> = pairs.collect();
    pairs.shuffle(&mut StdRng::seed_from_u64(seed));
    pairs
}

/// Kills the process after a commit, changes the world, and resumes the run.
///
/// # Errors
///
/// The differences between the state after the resume and the one after a new run.
pub(crate) async fn resume_after(stage: &Stage, commit: u64, drift: Drift) -> Result<(), String> {
    let prepared = drift.prepare(stage).await;
    let status = stage.run("run", commit).await;
    if status.signal() != Some(9) {
        return if status.code() == Some(10) { Ok(()) } else { Err(format!("run ended with {status}")) };
    }
    if has_finished(stage).await {
        return Ok(()); // the last commit: nothing is resumed
    }
    drift.apply(stage, prepared).await?;
    if drift.overtakes(stage.workflow_name()) { refused(stage).await } else { same_as_new(stage).await }
}

/// Returns true if the only run of the journal has finished.
async fn has_finished(stage: &Stage) -> bool {
    let journal = journal::open(stage.journal()).await.unwrap();
    let run = journal.runs(1).await.unwrap().remove(0).id;
    let history = journal.load(run).await.unwrap().history;
    history.iter().any(|timed| matches!(timed.entry, Entry::RunFinished { .. }))
}

/// Resumes a run that another run has overtaken.
async fn refused(stage: &Stage) -> Result<(), String> {
    let latest = stage.latest_request();
    let status = stage.run("resume", 0).await;
    match (status.code(), stage.changes_after(latest).as_slice()) {
        (Some(code), []) if code == i32::from(OVERTAKEN) => Ok(()),
        (code, changes) => Err(format!("the resume of an overtaken run ended with {code:?} after {changes:#?}")),
    }
}

/// Resumes the run, and compares the result with that of a new run in a copy of the world.
async fn same_as_new(stage: &Stage) -> Result<(), String> {
    let copy = Template::copied(stage);
    let fresh = Stage::with_journal(stage, &copy).await;
    let (mut resumed, mut begun) = (stage.spawn("resume", 0), fresh.spawn("run", 0));
    if both_wait(&mut resumed, stage, &mut begun, &fresh).await {
        let waits = [stage, &fresh].map(running_steps);
        for child in [&mut resumed, &mut begun] {
            child.kill().and_then(|()| child.wait()).unwrap();
        }
        drop(fresh.close().await);
        return if waits[0] == waits[1] { Ok(()) } else { Err(format!("resume and new run wait for {waits:?}")) };
    }
    let (resumed, begun) = (stage.wait(&mut resumed).await, fresh.wait(&mut begun).await);
    let succeeded = [&resumed, &begun].map(|status| matches!(status.code(), Some(0 | 10)));
    let mut found = vec![];
    match succeeded {
        [true, true] => verdict::differences("", &comparable(&fresh), &comparable(stage), &mut found),
        [false, false] => {}
        _ => found.push(format!("resume ended with {resumed}, a new run with {begun}: {}", fresh.said())),
    }
    drop(fresh.close().await);
    if found.is_empty() { Ok(()) } else { Err(found.join("\n        ")) }
}

/// Waits until one of two processes exits, or neither has printed anything for [`QUIET`]: both wait
/// for something that the drift has taken away. Returns true in that case.
async fn both_wait(resumed: &mut Child, stage: &Stage, begun: &mut Child, fresh: &Stage) -> bool {
    let printed = || stage.said().len() + fresh.said().len();
    let (mut length, mut since) = (printed(), Instant::now());
    while resumed.try_wait().unwrap().is_none() && begun.try_wait().unwrap().is_none() {
        if since.elapsed() > QUIET {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        if printed() != length {
            (length, since) = (printed(), Instant::now());
        }
    }
    false
}

/// Returns the steps that have started and not ended in the last process of a stage.
fn running_steps(stage: &Stage) -> BTreeSet<String> {
    let mut running = BTreeSet::new();
    for line in stage.said().lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let step = event["step"].as_str().unwrap_or_default().to_owned();
        match event["event"].as_str() {
            Some("run_started" | "run_resumed") => running.clear(),
            Some("step_started") => drop(running.insert(step)),
            Some("step_succeeded" | "step_failed" | "step_skipped" | "step_in_doubt") => drop(running.remove(&step)),
            _ => {}
        }
    }
    running
}

/// Returns the facts that do not depend on the number of runs: each run uses keys and tokens of its
/// own, which expire.
fn comparable(stage: &Stage) -> Value {
    let mut facts = facts::of(stage);
    for counted in ["live keys", "used keys"] {
        facts["tailnet"].as_object_mut().unwrap().remove(counted);
    }
    facts["cluster"].as_object_mut().unwrap().remove("bootstrap tokens");
    facts
}
