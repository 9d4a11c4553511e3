//! Everything at once, each workload in a process of its own, beside the disk's own rate.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::disk;

/// How often each workload is measured; the median counts.
const ROUNDS: usize = 3;

pub(crate) fn everything() {
    let folder = tempfile::Builder::new().prefix("stargate-bench").tempdir_in("target").unwrap();
    println!("{:<44} {:>12} {:>12} {:>8}", "workload", "measured", "disk", "ratio");
    ratio("1,000 sequential steps, steps/s (aim 0.95)", folder.path(), "w1", 1000, 1000.0);
    rate("1,000 parallel steps, steps/s (aim 10,000)", folder.path(), "w2", 1000, 1000.0);
    rate("1,000 runs of 5 steps, steps/s (aim 8,000)", folder.path(), "w3", 1000, 5000.0);
    resume(folder.path());
    cold(folder.path());
}

fn ratio(title: &str, folder: &Path, workload: &str, n: usize, steps: f64) {
    let mut rows: Vec<(f64, f64, Value)> = (0..ROUNDS)
        .map(|round| {
            let before = disk::commits_per_second(folder, 1.0);
            let line = run(&[workload, &n.to_string()], &folder.join(format!("{workload}-{round}")));
            let disk = f64::midpoint(before, disk::commits_per_second(folder, 1.0));
            (steps / line["wall_s"].as_f64().unwrap(), disk, line)
        })
        .collect();
    rows.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let (measured, disk, line) = &rows[ROUNDS / 2];
    println!("{title:<44} {measured:>12.0} {disk:>12.0} {:>8.2}", measured / disk);
    let bytes = line["journal_bytes"].as_f64().unwrap() / steps;
    println!("{:<44} {bytes:>12.0}", "  journal bytes a step (aim 250)");
}

fn rate(title: &str, folder: &Path, workload: &str, n: usize, steps: f64) {
    ratio(title, folder, workload, n, steps);
}

/// Kills a run of 10,000 steps when half of them are done, and resumes it.
fn resume(folder: &Path) {
    let own = folder.join("w5");
    let side = folder.join("side");
    let mut child = command(&["w5", "10000"], &own).env("BENCH_SIDE", &side).stdout(Stdio::null()).spawn().unwrap();
    let lines = || std::fs::read(&side).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count());
    while lines() < 5000 {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = lines();
    let line = run(&["w5resume", "10000"], &own);
    let first = line["first_step_ms"].as_f64().unwrap();
    println!("{:<44} {first:>12.1}", "first new step of a resumed run, ms (aim 150)");
    let twice = done + usize::try_from(line["executed"].as_u64().unwrap()).unwrap() - 10_000;
    println!("{:<44} {twice:>12}", "  step bodies run twice (in flight at the kill)");
}

fn cold(folder: &Path) {
    let line = run(&["w4", "20"], &folder.join("w4"));
    println!("{:<44} {:>12.1}", "cold start of 3 steps, ms (aim 50)", line["p50_ms"].as_f64().unwrap());
    let mib = line["peak_kib"].as_f64().unwrap() / 1024.0;
    println!("{:<44} {mib:>12.1}", "  peak memory, MiB (aim 20)");
}

fn command(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).arg(folder);
    command
}

fn run(arguments: &[&str], folder: &Path) -> Value {
    let output = command(arguments, folder).stderr(Stdio::inherit()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}
