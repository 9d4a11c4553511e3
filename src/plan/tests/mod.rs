//! Tests of checking, compiling and evaluating, with a few actions of their own.

mod allowed_failures;
mod checks;
mod diagnostics;
mod evaluation;
mod finally;
mod fixtures;
mod hostile;
mod inlining;
mod inputs;
mod known;
mod locks;
mod loops;
mod partial;
mod properties;
mod shipped;
mod stored;
mod warnings;
