//! Tests of the program: its output, exit codes and behaviour in a simulated world.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

mod allowed_failures;
mod answers;
mod cancels;
mod doctor;
mod fake;
mod finally;
mod generic;
mod inputs;
mod interrupts;
mod killed_simulator;
mod local_files;
mod locks;
mod logs;
mod offline;
mod ownership;
mod pods;
mod program;
mod promises;
mod remote_locks;
mod retries;
mod runs;
mod schedule;
mod settings;
#[expect(dead_code, reason = "the tests use a part of it each")]
#[path = "../support/sqlite.rs"]
mod sqlite;
mod targets;
mod terminal;
mod unreadable;
mod validate;
mod whys;
mod world;
