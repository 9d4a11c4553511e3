//! Rules of the code base that neither Cargo nor clippy holds: walls between modules and crates,
//! the language of docs and comments, sizes.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

mod cycles;
mod promises;
mod prose;
mod sizes;
mod sources;
mod types;
mod walls;
mod workspace;
