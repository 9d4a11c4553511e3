//! Cases in which a process is stopped for longer than its lease.

use std::time::Duration;

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
    let pid = Pid::from_child(&child);
    if stage.changed(&mut child, stage.writes_at_start() + writes).await {
        // Not a wait for something: the moment is random.
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
    // A child that has ended is a zombie until it is waited for, and can be sent signals.
    kill_process(pid, Signal::STOP).unwrap();
    let mut other = stage.spawn_with_short_lease("take_over");
    let status = stage.wait(&mut other).await;
    if !matches!(status.code(), Some(0 | 10)) {
        kill_process(pid, Signal::KILL).unwrap();
        stage.wait(&mut child).await;
        return Err(format!("the process that took over ended with {status}"));
    }
    let latest = stage.latest_request();
    kill_process(pid, Signal::CONT).unwrap();
    let status = stage.wait(&mut child).await;
    let late = stage.changes_after(latest);
    match (late.as_slice(), status.code()) {
        ([], Some(0 | 10 | 75)) => Ok(()),
        ([], _) => Err(format!("the process that was stopped ended with {status}")),
        (late, _) => Err(format!("{} changes after it had lost the run: {late:#?}", late.len())),
    }
}
