//! Does what is due, in the foreground: one thing of a kind at a time.

mod scheduler;

pub use scheduler::{Agenda, serve};
