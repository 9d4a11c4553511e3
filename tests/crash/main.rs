//! Crash test: kills each shipped workflow at each critical point, resumes it, and compares the
//! world with one in which no fault occurred.
//!
//! The groups of cases are:
//!
//! * `commits`: SIGKILL after every commit of the journal,
//! * `requests`: SIGKILL before and after mutating requests to Azure, the tailnet and the cluster,
//! * `replies`: the reply to a mutating request is lost,
//! * `hosts`: SIGKILL after a command has changed a machine,
//! * `stops`: SIGSTOP at a random moment for longer than the lease, another process takes the run
//!   over, and then SIGCONT: the first process must not change anything any more,
//! * `chance`: a seeded schedule of throttling, server errors, lost replies and refused
//!   connections,
//! * `drifts`: SIGKILL after a commit, then another party changes the world: the end of the resume
//!   must be that of a new run.
//!
//! A workflow that depends on others is killed in copies of a world in which those have run.
//!
//! `cargo test --test crash` kills after every commit and takes a sample of the other groups except
//! `stops`, chosen by `--seed N`; with `--all` it runs every case. The argument `commits` runs one
//! group, `provision-dc` one workflow. The program does not use the libtest harness, since it is
//! also the process that is killed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "a test program reports on standard output")]

mod arguments;
mod case;
mod cases;
mod child;
mod cluster_facts;
mod drift;
mod drifts;
mod facts;
mod host_facts;
#[path = "../world/inputs.rs"]
mod inputs;
mod killing;
#[expect(dead_code, reason = "the tests use a part of it each")]
#[path = "../world/outside.rs"]
mod outside;
mod shipped;
mod stage;
mod stops;
mod template;
mod verdict;

use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().expect("nothing was installed before");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if arguments.first().is_some_and(|first| first == "child") {
        return runtime.block_on(child::main(&arguments[1..]));
    }
    let arguments = match arguments::Arguments::parse(&arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            println!("{error}");
            return ExitCode::from(64);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for workflow in &arguments.workflows {
        if runtime.block_on(cases::run(*workflow, &arguments)) == ExitCode::FAILURE {
            code = ExitCode::FAILURE;
        }
    }
    code
}
