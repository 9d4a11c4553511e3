//! Checks a workflow against the schemas of its actions and makes the [`Plan`] of a run from it.
//!
//! The stages, each with its own type, so that no later one repeats the work of an earlier one:
//! [`Workflow`](crate::workflow::Workflow) (the file) → [`Checked`] (no errors, steps in order) →
//! [`Plan`] (with inputs, stored with the run) → [`CompiledPlan`] (can be evaluated). An
//! [`Outline`] is the view of a [`Checked`] workflow without inputs.
//!
//! The functions of this module are pure: they read no file, no clock and no environment.
//!
//! ```
//! use stargate::{plan::Include, workflow::parse};
//! use stargate_sdk::Registry;
//!
//! let text = "name: w\nsteps:\n  table: {uses: azure.route_table.ensure}\n";
//! let no_files = |_: Include<'_>| Err("no such file".to_owned());
//! let diagnostics = parse("w.yaml", text).check(&Registry::default(), &no_files).unwrap_err();
//! let first = diagnostics.iter().next().expect("diagnostics are never empty");
//! assert_eq!(first.message, "there is no action \"azure.route_table.ensure\"");
//! ```

mod cel_value;
mod check;
mod checked;
mod checks;
mod compiled;
mod compiled_expression;
mod constraints;
mod definition;
mod dependencies;
mod error;
mod evaluate;
mod expression;
mod failure_groups;
mod finally;
mod hidden;
mod hidden_failures;
mod inline;
mod inlined_workflow;
mod input_values;
mod inputs;
mod known;
mod locks;
mod lower;
mod names;
mod order;
mod outline;
mod outputs;
mod partial_input;
mod plan_values;
mod schema;
mod schema_check;
mod skipped_outputs;
mod template;
#[cfg(test)]
mod tests;
mod type_scope;
mod typing;
mod unroll;
mod variables;
mod verify;

pub use checked::Checked;
pub use compiled::{CompiledPlan, EvaluationContext};
pub use definition::{DEFAULT_TIMEOUT_MS, FORMAT, ForEach, Plan, PlannedLoop, PlannedStep, Retry, Scope, ScopeItem};
pub use error::{EvaluateError, PlanError, Reason, StoredPlanError};
pub use expression::PlannedExpression;
pub use failure_groups::FailureGroup;
pub use inline::{Include, Loader};
pub use outline::Outline;
pub use outputs::Outputs;
pub use partial_input::PartialInput;
pub use template::Template;
