//! Rules of the code base that neither Cargo nor clippy holds: walls between modules and crates,
//! and sizes.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

mod sizes;
mod sources;
mod walls;
mod workspace;
