//! A workflow, the actions' schemas and inputs to a [`Plan`]. Pure.

mod check;
mod compile;
mod compiled;
mod compiled_expression;
mod constraints;
mod definition;
mod dependencies;
mod evaluate;
mod expand;
mod fit;
mod inputs;
mod locks;
mod lower;
mod names;
mod order;
mod schema;
mod scope;
#[cfg(test)]
mod tests;
mod typing;
mod verify;

pub use compile::{check, compile, outline, validate};
pub use compiled::{CompiledPlan, EvaluateError, Facts, PlanError};
pub use definition::{
    DEFAULT_TIMEOUT_MS, Expression, FORMAT, ForEach, Piece, Plan, PlannedStep, Retry, Scope, Template,
};
pub use evaluate::Reason;
pub use expand::Loader;
