use std::process::ExitCode;

/// What the process says to whoever started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Success, or nothing to change.
    Success = 0,
    /// A mistake of this program, or its output could not be written.
    Internal = 1,
    /// `plan`: there is something to change.
    Changes = 2,
    /// A step failed, and the run can be resumed; `doctor`: a check failed.
    Failed = 3,
    /// The run was cancelled.
    Cancelled = 4,
    /// The run took longer than `--timeout`; it can be resumed.
    TimedOut = 5,
    /// The run waits for a person.
    WaitingForApproval = 10,
    /// A step may or may not have happened.
    InDoubt = 11,
    /// A step failed, and what was done before was undone.
    Undone = 12,
    /// A step failed, and undoing failed as well.
    UndoFailed = 13,
    /// Another run holds a lock.
    Locked = 20,
    /// The command line or a setting makes no sense (`EX_USAGE` of sysexits.h).
    Usage = 64,
    /// The workflow or its inputs have mistakes (`EX_DATAERR`).
    Invalid = 65,
    /// The journal cannot be used (`EX_UNAVAILABLE`).
    Journal = 69,
    /// Another process advances the run (`EX_TEMPFAIL`).
    Owned = 75,
    /// Interrupted; what happened is kept (128 + SIGINT, as shells say it).
    Interrupted = 130,
}

impl Exit {
    /// Every code, ascending.
    const ALL: [Self; 16] = [
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
        Self::Usage,
        Self::Invalid,
        Self::Journal,
        Self::Owned,
        Self::Interrupted,
    ];

    /// The number.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done, or nothing to change",
            Self::Internal => "a mistake of this program, or its output could not be written",
            Self::Changes => "`plan`: there is something to change",
            Self::Failed => "a step failed, and the run can be resumed; `doctor`: a check failed",
            Self::Cancelled => "the run was cancelled",
            Self::TimedOut => "the run took longer than --timeout; it can be resumed",
            Self::WaitingForApproval => "the run waits for a person",
            Self::InDoubt => "a step may or may not have happened; a person has to look",
            Self::Undone => "kept for undoing, which is not there yet",
            Self::UndoFailed => "kept for undoing that failed, likewise",
            Self::Locked => "another run holds a lock",
            Self::Usage => "the command line or a setting makes no sense",
            Self::Invalid => "the workflow or its inputs have mistakes",
            Self::Journal => "the journal cannot be used",
            Self::Owned => "another process advances the run",
            Self::Interrupted => "interrupted; what happened is kept",
        }
    }

    /// All codes with their meaning, for the end of the help.
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
    fn every_code_is_listed_once_and_in_order() {
        assert!(Exit::ALL.is_sorted_by(|a, b| a.code() < b.code()));
        assert!(Exit::table().contains("130  interrupted"));
    }
}
