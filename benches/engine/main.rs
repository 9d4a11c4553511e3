//! How fast the engine is, as a ratio to what the disk can do in the same run.
//!
//! `cargo bench --bench engine` measures everything and prints a table. A single workload, for comparison with others:
//! `cargo bench --bench engine -- w1|w2|w3|w4|w5|w5resume N DIR` prints one line of JSON:
//!
//! * `w1`: one run of N sequential steps
//! * `w2`: one run of N parallel steps
//! * `w3`: N runs of 5 sequential steps
//! * `w4`: N times a new process that reads, checks and runs a workflow of 3 steps
//! * `w5`: like `w1`, meant to be killed; `w5resume`: goes on in the same DIR
//!
//! With `BENCH_SIDE=PATH` each step's body first appends `"<i> <CLOCK_MONOTONIC ns>\n"` to PATH with one write.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]
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
        [] => report::everything(),
        [name, n, folder] => println!("{}", workload::measure(name, n.parse().unwrap(), Path::new(folder))),
        _ => println!("usage: engine [w1|w2|w3|w4|w5|w5resume N DIR]"),
    }
}
