//! Speed of the engine, as a ratio to the rates of the disk and of a bare database in the same run.
//!
//! `cargo bench --bench engine` measures all workloads and prints a table. One workload, for
//! comparison with other engines: `cargo bench --bench engine -- w1|w2|w3|w4|w5|w5resume N DIR`
//! prints one line of JSON:
//!
//! * `w1`: one run of N sequential steps
//! * `w2`: one run of N parallel steps
//! * `w3`: N runs of 5 sequential steps
//! * `w4`: N times a new process that reads, checks and runs a workflow of 3 steps
//! * `w5`: like `w1`, to be killed; `w5resume`: resumes the run in the same DIR
//!
//! With `BENCH_SIDE=PATH` each step first appends `"<i> <CLOCK_MONOTONIC ns>\n"` to PATH with one
//! write.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot continue has failed")]
#![expect(clippy::print_stdout, reason = "a benchmark's result goes to standard output")]

mod body;
mod disk;
mod report;
mod workload;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => report::print_all(),
        [name, n, folder] => println!("{}", workload::measure(name, n.parse().unwrap(), Path::new(folder))),
        _ => println!("usage: engine [w1|w2|w3|w4|w5|w5resume N DIR]"),
    }
}
