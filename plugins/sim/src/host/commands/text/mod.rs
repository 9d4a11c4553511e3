//! Programs that print, test or filter text.

mod condition;
mod filter;
mod grep;
mod printf;
mod program;

pub(super) use program::run;
