//! What a user sees: drives the program itself, beside a simulated world where it needs one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod answers;
mod cancels;
mod doctor;
mod fake;
mod interrupts;
mod locks;
mod logs;
mod offline;
mod ownership;
mod pods;
mod program;
mod runs;
mod schedule;
#[path = "../support/sqlite.rs"]
mod sqlite;
mod whys;
mod world;
