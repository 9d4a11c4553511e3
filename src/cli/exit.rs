//! Exit codes of the process and their meanings.

use std::process::ExitCode;

/// Exit code of the process.
///
/// The codes are part of the interface: scripts, systemd and Kubernetes depend on them. Numbers
/// from 64 are those of sysexits.h where one fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Success; for `plan`, no changes.
    Success = 0,
    /// Internal error, or output could not be written.
    Internal = 1,
    /// `plan`: a run would make changes.
    Changes = 2,
    /// A step failed and the run can be resumed; for `doctor`, a check failed.
    Failed = 3,
    /// The run was cancelled.
    Cancelled = 4,
    /// The command exceeded `--timeout`; the run can be resumed.
    TimedOut = 5,
    /// The run waits for approval.
    WaitingForApproval = 10,
    /// A step is in doubt: an operator must resolve it.
    InDoubt = 11,
    /// Reserved: a step failed, and the earlier steps were undone.
    Undone = 12,
    /// Reserved: a step failed, and undoing the earlier steps failed as well.
    UndoFailed = 13,
    /// Another run holds a lock.
    Locked = 20,
    /// Another run has held a lock of the run since.
    Overtaken = 21,
    /// Unusable command line or setting (`EX_USAGE`).
    Usage = 64,
    /// Errors in a workflow or its inputs (`EX_DATAERR`).
    Invalid = 65,
    /// The journal cannot be used (`EX_UNAVAILABLE`).
    Journal = 69,
    /// Another process owns the run (`EX_TEMPFAIL`).
    Owned = 75,
    /// Interrupted by a signal; the run can be resumed (128 + SIGINT, as shells report it).
    Interrupted = 130,
}

impl Exit {
    /// All codes, in ascending order.
    const ALL: [Self; 17] = [
        Self::Success,
        Self::Internal,
        Self::Changes,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
        Self::WaitingForApproval,
        Self::InDoubt,
        Self::Undone,
        Self::UndoFailed,
        Self::Locked,
        Self::Overtaken,
        Self::Usage,
        Self::Invalid,
        Self::Journal,
        Self::Owned,
        Self::Interrupted,
    ];

    /// Returns the code as a number.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// Returns the meaning as a phrase for the help text.
    fn meaning(self) -> &'static str {
        match self {
            Self::Success => "success; for `plan`, no changes",
            Self::Internal => "internal error, or output could not be written",
            Self::Changes => "`plan`: a run would make changes",
            Self::Failed => "a step failed and the run can be resumed; for `doctor`, a check failed",
            Self::Cancelled => "the run was cancelled",
            Self::TimedOut => "the command exceeded --timeout; the run can be resumed",
            Self::WaitingForApproval => "the run waits for approval",
            Self::InDoubt => "a step is in doubt; an operator must resolve it",
            Self::Undone => "reserved: a step failed, and earlier steps were undone",
            Self::UndoFailed => "reserved: a step failed, and undoing earlier steps failed",
            Self::Locked => "another run holds a lock",
            Self::Overtaken => "a later run has overtaken the run",
            Self::Usage => "unusable command line or setting",
            Self::Invalid => "errors in the workflow or its inputs",
            Self::Journal => "the journal cannot be used",
            Self::Owned => "another process owns the run",
            Self::Interrupted => "interrupted; the run can be resumed",
        }
    }

    /// Returns all codes with their meaning, as the last section of the help text.
    pub(crate) fn table() -> String {
        let lines = Self::ALL.map(|exit| format!("  {:>3}  {}", exit.code(), exit.meaning()));
        format!("Exit codes:\n{}", lines.join("\n"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_listed_once_in_ascending_order() {
        assert!(Exit::ALL.is_sorted_by(|a, b| a.code() < b.code()));
        assert!(Exit::table().contains("130  interrupted"));
    }
}
