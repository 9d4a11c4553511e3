//! A workflow, the actions' schemas and inputs to a [`Plan`]. Pure.

mod compiled;
mod compiled_expression;
mod definition;
mod evaluate;
mod names;
mod verify;

pub use compiled::{CompiledPlan, EvaluateError, Facts, PlanError};
pub use definition::{Expression, FORMAT, ForEach, Piece, Plan, PlannedStep, Retry, Scope, Template};
pub use evaluate::Reason;
