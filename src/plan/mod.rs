//! Checks a workflow against the schemas of its actions and makes the [`Plan`] of a run from it.
//!
//! The stages, each with its own type, so that no later one repeats the work of an earlier one:
//! [`Workflow`](crate::workflow::Workflow) (the file) → [`Checked`] (no mistakes, steps in order) →
//! [`Plan`] (with inputs, stored with the run) → [`CompiledPlan`] (can be evaluated). An
//! [`Outline`] is the view of a [`Checked`] workflow without inputs.
//!
//! The functions of this module are pure: they read no file, no clock and no environment.

mod cel_value;
mod check;
mod checked;
mod compiled;
mod compiled_expression;
mod constraints;
mod definition;
mod dependencies;
mod error;
mod evaluate;
mod expression;
mod inline;
mod inlined_workflow;
mod inputs;
mod locks;
mod lower;
mod names;
mod order;
mod outline;
mod plan_values;
mod schema;
mod schema_check;
mod template;
#[cfg(test)]
mod tests;
mod type_scope;
mod typing;
mod variables;
mod verify;

pub use checked::Checked;
pub use compiled::{CompiledPlan, EvaluationContext};
pub use definition::{DEFAULT_TIMEOUT_MS, FORMAT, ForEach, Plan, PlannedStep, Retry, Scope};
pub use error::{EvaluateError, PlanError, Reason};
pub use expression::PlannedExpression;
pub use inline::Loader;
pub use outline::Outline;
pub use template::Template;
