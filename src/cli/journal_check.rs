//! Checks of the journal file for `stargate doctor`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use futures::future::BoxFuture;
use rustix::fs::statvfs;
use stargate::journal::{Inspected, inspect};
use stargate_sdk::{ActionContext, Check, Finding, Permission};

use super::Failure;

/// Free space with which a run of some thousand steps may not end, in MiB: their entries, outputs
/// of up to 1 MiB each, and the write-ahead log.
const LOW_MIB: u64 = 256;
/// Free space that is too little for a run, in MiB.
const TOO_LOW_MIB: u64 = 8;

/// Check `journal.open`: the journal file can be used, or created. It writes nothing.
pub(super) struct JournalCheck {
    /// Path of the journal file.
    pub(super) path: PathBuf,
}

/// Check `journal.disk`: the disk below the journal file has space.
pub(super) struct JournalDiskCheck {
    /// Path of the journal file.
    pub(super) path: PathBuf,
}

impl Check for JournalCheck {
    fn id(&self) -> &'static str {
        "journal.open"
    }

    fn summary(&self) -> &'static str {
        "Checks that the journal file is intact and can be used, or can be created."
    }

    fn run<'a>(&'a self, _: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(self.inspect())
    }
}

impl Check for JournalDiskCheck {
    fn id(&self) -> &'static str {
        "journal.disk"
    }

    fn summary(&self) -> &'static str {
        "Reads the free space of the disk below the journal file."
    }

    fn run<'a>(&'a self, _: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async { self.measure() })
    }
}

impl JournalCheck {
    /// Opens the file read-only and reports schema and integrity.
    async fn inspect(&self) -> Finding {
        let path = self.path.display();
        match inspect(&self.path).await {
            Ok(Inspected::Absent) => Finding::ok(format!("{path} does not exist yet; the first run creates it")),
            Ok(Inspected::Intact { schema, known }) if schema < known => {
                Finding::ok(format!("{path} is intact, schema {schema}; the next command migrates it to {known}"))
            }
            Ok(Inspected::Intact { schema, .. }) => Finding::ok(format!("{path} is intact, schema {schema}")),
            Err(error) => {
                let failure = Failure::from(error);
                Finding::failed(failure.to_string(), failure.hint())
            }
        }
    }
}

impl JournalDiskCheck {
    /// Reads the free space for this user of the first folder on the path that exists.
    fn measure(&self) -> Finding {
        let folder = self.path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        match statvfs(folder) {
            Ok(disk) => judge(folder, disk.f_bavail.saturating_mul(disk.f_frsize) >> 20),
            Err(error) => Finding::failed(
                format!("the disk of {} cannot be read: {error}", folder.display()),
                "check the path of the journal, `--journal`",
            ),
        }
    }
}

fn judge(folder: &Path, free_mib: u64) -> Finding {
    let message = format!("{free_mib} MiB are free in {}", folder.display());
    let hint = "free space, remove old runs with `stargate prune`, or name a journal on another disk with \
                `--journal`";
    match free_mib {
        0..TOO_LOW_MIB => Finding::failed(message, hint),
        TOO_LOW_MIB..LOW_MIB => Finding::warning(message, hint),
        _ => Finding::ok(message),
    }
}

#[cfg(test)]
mod tests {
    use stargate_sdk::CheckStatus;

    use super::*;

    #[test]
    fn little_space_is_a_warning_and_none_a_failure() {
        let status = |free| judge(Path::new("/var"), free).status;
        assert_eq!(
            [7, 8, 255, 256].map(status),
            [CheckStatus::Failed, CheckStatus::Warning, CheckStatus::Warning, CheckStatus::Ok]
        );
        let absent = JournalDiskCheck { path: "/no/such/folder/journal.db".into() };
        assert!(absent.measure().message.ends_with("MiB are free in /"), "{:?}", absent.measure());
    }
}
