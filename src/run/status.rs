//! Statuses of runs: the only place that writes them as text and reads them from text.

use std::{fmt, str::FromStr};

use serde::{
    Deserialize, Serialize, Serializer,
    de::{IntoDeserializer, value},
};

/// Result of a run that has finished.
///
/// Its `serde` form is stored in entries and does not change; programs and operators see
/// [`Outcome::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step has succeeded or was skipped.
    Succeeded,
    /// A step failed; the run can be resumed.
    Failed,
    /// A step is in doubt: an operator must resolve it.
    InDoubt,
    /// A step needs an approval and nothing else can be done; the run can be resumed once it is
    /// approved.
    #[serde(rename = "waiting")]
    AwaitingApproval,
    /// An operator cancelled the run; it cannot be resumed.
    Cancelled,
}

impl Outcome {
    /// True if the run cannot be resumed.
    pub fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Cancelled => true,
            Self::Failed | Self::InDoubt | Self::AwaitingApproval => false,
        }
    }

    /// Returns the name that programs and operators see.
    pub fn name(self) -> StateName {
        StateName::new(match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::InDoubt => "in_doubt",
            Self::AwaitingApproval => "waiting_for_approval",
            Self::Cancelled => "cancelled",
        })
    }
}

/// Status of a run as the journal stores it with each append.
///
/// A new status needs a migration as well: a program that does not know it then refuses the journal
/// as a whole instead of a single run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// The run has steps left to execute.
    Running,
    /// The run has finished.
    Finished(Outcome),
}

impl RunStatus {
    /// Returns the text that the journal stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished(Outcome::Succeeded) => "succeeded",
            Self::Finished(Outcome::Failed) => "failed",
            Self::Finished(Outcome::InDoubt) => "in_doubt",
            Self::Finished(Outcome::AwaitingApproval) => "waiting",
            Self::Finished(Outcome::Cancelled) => "cancelled",
        }
    }

    /// True if the run has steps left to execute.
    pub fn is_running(self) -> bool {
        self == Self::Running
    }
}

/// Error for a text that is not a status of a run, such as one that a newer program stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this program does not know the status {0:?}")]
pub struct UnknownStatus(String);

impl FromStr for RunStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        if text == Self::Running.as_str() {
            return Ok(Self::Running);
        }
        let outcome = Outcome::deserialize(IntoDeserializer::<value::Error>::into_deserializer(text));
        outcome.map(Self::Finished).map_err(|_| UnknownStatus(text.into()))
    }
}

/// Status of a run as another process sees it: a run that is stored as running is interrupted if it
/// has no live owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObservedStatus {
    /// A live owner executes the run.
    Running,
    /// The run has steps left to execute and no live owner: it can be resumed.
    Interrupted,
    /// The run has finished.
    Finished(Outcome),
}

impl ObservedStatus {
    /// Returns the name that programs and operators see.
    pub fn name(self) -> StateName {
        match self {
            Self::Running => StateName::new("running"),
            Self::Interrupted => StateName::new("interrupted"),
            Self::Finished(outcome) => outcome.name(),
        }
    }
}

/// Name of a state of a run or a step.
///
/// `Display` shows it to operators, with spaces (`in doubt`); [`StateName::as_str`] and JSON have
/// underscores (`in_doubt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateName(&'static str);

impl StateName {
    /// Returns the state with this name, written with underscores.
    pub(super) const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Returns the name for programs.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.replace('_', " "))
    }
}

impl Serialize for StateName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_the_text_that_older_journals_have_and_is_read_back() {
        let stored = [
            (Outcome::Succeeded, "succeeded"),
            (Outcome::Failed, "failed"),
            (Outcome::InDoubt, "in_doubt"),
            (Outcome::AwaitingApproval, "waiting"),
            (Outcome::Cancelled, "cancelled"),
        ];
        for (outcome, text) in stored {
            let status = RunStatus::Finished(outcome);
            assert_eq!((status.as_str(), text.parse()), (text, Ok(status)));
            assert_eq!(serde_json::to_value(outcome).expect("JSON"), text, "entries have the same text");
        }
        assert_eq!((RunStatus::Running.as_str(), "running".parse()), ("running", Ok(RunStatus::Running)));
    }

    #[test]
    fn a_status_of_a_newer_program_is_an_error_that_names_it() {
        let error = "paused".parse::<RunStatus>().expect_err("not known");
        assert_eq!(error.to_string(), r#"this program does not know the status "paused""#);
    }

    #[test]
    fn a_name_has_spaces_for_operators_and_underscores_for_programs() {
        let name = Outcome::AwaitingApproval.name();
        assert_eq!((name.to_string().as_str(), name.as_str()), ("waiting for approval", "waiting_for_approval"));
        assert_eq!(serde_json::to_value(name).expect("JSON"), "waiting_for_approval");
        assert_eq!(format!("{name:>22}|"), "  waiting for approval|");
    }
}
