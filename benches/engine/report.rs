//! Table of all workloads. Each is measured in its own process, between two measurements of the
//! disk.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::disk;

/// Number of measurements of each workload; the table has the median.
const ROUNDS: usize = 3;
/// Commits of a measurement of the bare database: as many as the sequential workload makes.
const DATABASE_COMMITS: u32 = 1_000;

/// Measures all workloads and prints the table.
pub(crate) fn print_all() {
    std::fs::create_dir_all("target").unwrap();
    let folder = tempfile::Builder::new().prefix("stargate-bench").tempdir_in("target").unwrap();
    println!(
        "{:<46} {:>10} {:>10} {:>6} {:>10} {:>6}",
        "steps a second", "measured", "disk", "ratio", "database", "ratio"
    );
    print_rate("1,000 sequential steps (aim: 0.9 of database)", folder.path(), "w1", 1000.0);
    print_rate("1,000 parallel steps (aim: 10,000)", folder.path(), "w2", 1000.0);
    print_rate("1,000 runs of 5 steps (aim: 8,000)", folder.path(), "w3", 5000.0);
    print_resume(folder.path());
    print_cold_start(folder.path());
}

/// Measures a workload of `steps` steps and prints its rate.
fn print_rate(title: &str, folder: &Path, workload: &str, steps: f64) {
    let mut rows: Vec<(f64, f64, f64, Value)> = (0..ROUNDS)
        .map(|round| {
            let before =
                (disk::commits_per_second(folder, 0.7), disk::database_commits_per_second(folder, DATABASE_COMMITS));
            let line = run(&[workload, "1000"], &folder.join(format!("{workload}-{round}")));
            let after =
                (disk::commits_per_second(folder, 0.7), disk::database_commits_per_second(folder, DATABASE_COMMITS));
            let measured = steps / line["wall_s"].as_f64().unwrap();
            (measured, f64::midpoint(before.0, after.0), f64::midpoint(before.1, after.1), line)
        })
        .collect();
    rows.sort_by(|a, b| (a.0 / a.2).total_cmp(&(b.0 / b.2)));
    let (measured, disk, database, line) = &rows[ROUNDS / 2];
    let (of_disk, of_database) = (measured / disk, measured / database);
    println!("{title:<46} {measured:>10.0} {disk:>10.0} {of_disk:>6.2} {database:>10.0} {of_database:>6.2}");
    let bytes = line["journal_bytes"].as_f64().unwrap() / steps;
    println!("{:<46} {bytes:>10.0}", "  journal bytes a step (aim: at most 250)");
}

/// Kills a run of 10,000 steps after half of them, and measures how it is resumed.
fn print_resume(folder: &Path) {
    let own = folder.join("w5");
    let side = folder.join("side");
    let mut child = command(&["w5", "10000"], &own).env("BENCH_SIDE", &side).stdout(Stdio::null()).spawn().unwrap();
    let lines = || std::fs::read(&side).map_or(0, |text| text.split(|byte| *byte == b'\n').count() - 1);
    while lines() < 5000 {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = lines();
    let line = run(&["w5resume", "10000"], &own);
    let first = line["first_step_ms"].as_f64().unwrap();
    println!("{:<46} {first:>10.1}", "first new step of a resumed run, ms (aim 150)");
    let twice = done + usize::try_from(line["executed"].as_u64().unwrap()).unwrap() - 10_000;
    println!("{:<46} {twice:>10}", "  step bodies run twice (in flight at the kill)");
}

/// Measures the start of a new process that runs a workflow of three steps.
fn print_cold_start(folder: &Path) {
    let line = run(&["w4", "20"], &folder.join("w4"));
    println!("{:<46} {:>10.1}", "cold start of 3 steps, ms (aim 50)", line["p50_ms"].as_f64().unwrap());
    let mib = line["peak_kib"].as_f64().unwrap() / 1024.0;
    println!("{:<46} {mib:>10.1}", "  peak memory, MiB (aim 20)");
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
