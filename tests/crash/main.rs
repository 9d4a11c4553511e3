//! Kills each workflow that ships at every instant that matters, resumes it, and compares the world with one in which
//! nothing went wrong:
//!
//! * SIGKILL after every commit of the journal,
//! * SIGKILL before and after every mutating request,
//! * every reply to a mutating request lost once,
//! * a seeded schedule of throttling, server errors, lost replies and refused connections.
//!
//! `cargo test --test crash` runs everything; `cargo test --test crash -- commits` one group: `commits`, `requests`,
//! `replies` or `chance`; `-- provision-dc` one workflow. Not a libtest harness, since this program is also the process that is killed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "a test program reports on standard output")]

mod cases;
mod child;
mod killing;
mod shipped;
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
    let wanted: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with('-')).collect();
    let (workflows, groups): (Vec<&str>, Vec<&str>) =
        wanted.into_iter().partition(|name| shipped::Shipped::named(name).is_some());
    let group = groups.first().copied().unwrap_or_default();
    let chosen = shipped::ALL.iter().filter(|shipped| workflows.is_empty() || workflows.contains(&shipped.name));
    let mut code = ExitCode::SUCCESS;
    for shipped in chosen {
        if runtime.block_on(cases::all(*shipped, group)) == ExitCode::FAILURE {
            code = ExitCode::FAILURE;
        }
    }
    code
}
