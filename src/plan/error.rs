use std::{collections::BTreeSet, fmt};

use crate::id::PlanDigest;

/// Reason for which the text of a stored plan is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredPlanError {
    /// The text is not the JSON of a plan. A newer program may have written it.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The text has changed since the plan was stored.
    #[error("was changed after the run was created: its digest is {found}, expected {expected}")]
    Changed {
        /// Digest under which the plan was stored.
        expected: PlanDigest,
        /// Digest of the text.
        found: PlanDigest,
    },
}

/// Reason for which a stored plan cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A newer version of this program wrote the plan.
    #[error("the plan has format {found}, this program reads formats up to {expected}")]
    Format {
        /// Format of the plan.
        found: u32,
        /// Newest format that this program reads.
        expected: u32,
    },
    /// An index is out of range, or refers to a later step.
    #[error("the plan is damaged: {what}")]
    Damaged {
        /// Description of the damage, with the name of the step or scope.
        what: String,
    },
    /// An expression cannot be parsed, or refers to a name that the plan does not have.
    #[error("{place}: the expression ${{{{ {expression} }}}} cannot be used: {reason}")]
    Expression {
        /// Step, output or workflow that the expression belongs to, such as `step "vm"`.
        place: String,
        /// Text of the expression.
        expression: String,
        /// Description of the error.
        reason: String,
    },
}

/// Failure to evaluate an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: ${{{{ {expression} }}}}: {reason}")]
pub struct EvaluateError {
    /// Step or output that the expression belongs to, such as `step "vm"` or `output "ip"`.
    pub place: String,
    /// Text of the expression.
    pub expression: String,
    /// Reason for the failure.
    pub reason: Reason,
}

impl EvaluateError {
    /// True if the expression needs an output that does not exist, because its step was skipped,
    /// has failed or was not executed.
    pub fn is_absent(&self) -> bool {
        self.reason.is_absent()
    }

    /// Returns the skipped step whose output the expression needs, an index into
    /// [`Plan::steps`](super::Plan::steps).
    pub fn skipped_step(&self) -> Option<usize> {
        match &self.reason {
            Reason::Skipped { step, .. } => Some(*step),
            Reason::StepFailed { .. } | Reason::Unknown { .. } | Reason::Failed(_) => None,
        }
    }

    /// Returns the steps whose outputs the expression needs and that are not known yet; `None` if
    /// it has no value for another reason.
    pub fn unknown_steps(&self) -> Option<&BTreeSet<usize>> {
        match &self.reason {
            Reason::Unknown { steps } => Some(steps),
            Reason::Skipped { .. } | Reason::StepFailed { .. } | Reason::Failed(_) => None,
        }
    }
}

/// Reason for which an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The expression needs the output of a skipped step.
    Skipped {
        /// Index of the step in [`Plan::steps`](super::Plan::steps).
        step: usize,
        /// Name of the step.
        name: String,
    },
    /// The expression needs the output of a step that has failed, or that was not executed.
    StepFailed {
        /// Name of the step.
        name: String,
    },
    /// The expression needs outputs that are not known yet.
    Unknown {
        /// Indexes of the steps whose outputs they are, in [`Plan::steps`](super::Plan::steps).
        /// Empty if the item of a list is not known.
        steps: BTreeSet<usize>,
    },
    /// Any other reason, as text for people.
    Failed(String),
}

impl Reason {
    fn is_absent(&self) -> bool {
        match self {
            Self::Skipped { .. } | Self::StepFailed { .. } => true,
            Self::Unknown { .. } | Self::Failed(_) => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped { name, .. } => write!(f, "step {name:?} was skipped and has no outputs"),
            Self::StepFailed { name } => write!(f, "step {name:?} has failed or was not executed, and has no outputs"),
            Self::Unknown { .. } => f.write_str("its value is not known yet"),
            Self::Failed(message) => f.write_str(message),
        }
    }
}

/// An [`EvaluateError`] whose place is not known yet.
pub(super) struct EvaluationFailure {
    /// Text of the expression.
    pub(super) expression: String,
    pub(super) reason: Reason,
}

impl EvaluationFailure {
    /// Adds the step or output that the expression belongs to.
    pub(super) fn at(self, place: String) -> EvaluateError {
        EvaluateError { place, expression: self.expression, reason: self.reason }
    }

    /// True if the expression needs an output that does not exist, because its step was skipped or
    /// has failed.
    pub(super) fn is_absent(&self) -> bool {
        self.reason.is_absent()
    }
}
