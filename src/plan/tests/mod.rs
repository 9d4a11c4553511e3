//! Tests of checking, compiling and evaluating, against a small world of actions.

mod diagnostics;
mod evaluation;
mod hostile;
mod inlining;
mod inputs;
mod locks;
mod properties;
mod shipped;
mod stored;
mod world;
