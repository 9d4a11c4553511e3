//! Kills `provision-aks-router` at every instant that matters, resumes it, and compares the world with one in which
//! nothing went wrong:
//!
//! * SIGKILL after every commit of the journal,
//! * SIGKILL before and after every mutating request,
//! * every reply to a mutating request lost once,
//! * a seeded schedule of throttling, server errors, lost replies and refused connections.
//!
//! `cargo test --test crash` runs everything; `cargo test --test crash -- commits` one group: `commits`, `requests`,
//! `replies` or `chance`. Not a libtest harness, since this program is also the process that is killed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "a test program reports on standard output")]

mod cases;
mod child;
mod killing;
mod stage;
mod verdict;

use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().expect("nothing was installed before");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if arguments.first().is_some_and(|first| first == "child") {
        return runtime.block_on(child::main(&arguments[1..]));
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-')).map_or("", String::as_str);
    runtime.block_on(cases::all(wanted))
}
