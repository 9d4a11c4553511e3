//! Cases in which a process is stopped for longer than its lease.

use std::{process::Child, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    case::{Case, Extent},
    stage::Stage,
};

/// Number of random moments of each workflow.
const MOMENTS: usize = 20;
/// Maximum time after a change, in milliseconds, at which a process is stopped: longer than a call
/// takes in a simulated world.
const MAX_MILLIS: u64 = 60;
/// Maximum number of times that a process is stopped until it is not during a commit.
const MAX_TRIES: usize = 5;

/// Returns the moments at which a process is stopped: after how many changes, and how long after.
pub(crate) fn moments(extent: Extent, seed: u64) -> Vec<Case> {
    let mut random = StdRng::seed_from_u64(seed);
    let changes = (extent.mutating as u64 + extent.host_writes).max(1);
    let moment =
        |_| Case::Stop { writes: random.random_range(1..=changes), millis: random.random_range(0..MAX_MILLIS) };
    (0..MOMENTS).map(moment).collect()
}

/// Stops the process, lets another one take the run over, and continues the first one.
///
/// # Errors
///
/// The changes that the first process made after that.
pub(crate) async fn stop(stage: &Stage, writes: u64, millis: u64) -> Result<(), String> {
    let mut child = stage.spawn_with_short_lease("run");
    if !stage.changed(&mut child, stage.writes_at_start() + writes).await {
        // Fewer changes than in the run without faults: the process has ended.
        let status = stage.wait(&mut child).await;
        return if status.code() == Some(10) { Ok(()) } else { Err(format!("run ended with {status}")) };
    }
    // Not a wait for something: the moment is random.
    tokio::time::sleep(Duration::from_millis(millis)).await;
    take_over_while_stopped(stage, &mut child).await?;
    let pid = Pid::from_child(&child);
    let latest = stage.latest_request();
    kill_process(pid, Signal::CONT).unwrap();
    let status = stage.wait(&mut child).await;
    let late = stage.changes_after(latest);
    match (late.as_slice(), status.code()) {
        ([], Some(0 | 10 | 20 | 75)) => Ok(()),
        ([], _) => Err(format!("the process that was stopped ended with {status}")),
        (late, _) => Err(format!("{} changes after it had lost the run: {late:#?}", late.len())),
    }
}

/// Stops the process and lets another one take the run over and finish it.
///
/// A process that is stopped during a commit holds the journal's file, and no other can write to
/// it. It continues for a moment then.
async fn take_over_while_stopped(stage: &Stage, child: &mut Child) -> Result<(), String> {
    let pid = Pid::from_child(child);
    for _ in 0..MAX_TRIES {
        // A child that has ended is a zombie until it is waited for, and can be sent signals.
        kill_process(pid, Signal::STOP).unwrap();
        let mut other = stage.spawn_with_short_lease("take_over");
        let status = stage.wait(&mut other).await;
        match status.code() {
            Some(0 | 10) => return Ok(()),
            Some(69) => kill_process(pid, Signal::CONT).unwrap(),
            _ => {
                kill_process(pid, Signal::KILL).unwrap();
                stage.wait(child).await;
                return Err(format!("the process that took over ended with {status}"));
            }
        }
        tokio::time::sleep(Duration::from_millis(MAX_MILLIS)).await;
    }
    Err(format!("the process was stopped during a commit {MAX_TRIES} times"))
}
