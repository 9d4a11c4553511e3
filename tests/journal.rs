//! The journal's contract on each store, and the files of the journal in SQLite.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod support;

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use stargate::{
    id::{RunId, Seq},
    journal::{
        self, Inspected, Journal, JournalError, SqliteJournal,
        testing::{
            contract,
            samples::{append, appends, creates, locking_run, new_run, started},
        },
    },
};
use support::{CommitFault, FaultyJournal, sqlite};

/// Returns a new path in `folder` with each call.
fn numbered(folder: &Path) -> impl Fn() -> std::path::PathBuf {
    let count = AtomicU32::new(0);
    let folder = folder.to_owned();
    move || folder.join(count.fetch_add(1, Ordering::Relaxed).to_string()).join("journal.db")
}

#[tokio::test]
async fn sqlite_fulfils_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = numbered(folder.path());
    contract(async || journal::open(path()).await.unwrap()).await;
}

#[tokio::test]
async fn a_journal_that_can_fail_fulfils_the_contract_while_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = numbered(folder.path());
    contract(async || Arc::new(FaultyJournal::open(&path()).await) as Arc<dyn Journal>).await;
}

#[tokio::test]
async fn an_error_is_returned_whether_a_failed_commit_was_written_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let journal = FaultyJournal::open(&folder.path().join("journal.db")).await;
    for (fault, seq) in [(CommitFault::Before, Seq(2)), (CommitFault::After, Seq(3))] {
        let run = RunId::generate();
        journal.commit(creates(vec![new_run(&run)])).await.unwrap();
        journal.fail(1, fault, JournalError::Busy);
        let error = journal.commit(appends(vec![append(&run, 1, 2, vec![started("b")])])).await.unwrap_err();
        assert_eq!(error, JournalError::Busy);
        assert_eq!(journal.load(run).await.unwrap().row.seq, seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_journal_can_be_opened_by_many_tasks_at_the_same_time() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let opened: Vec<_> = (0..6)
            .map(|_| {
                let path = path.clone();
                tokio::spawn(async move { SqliteJournal::open(&path).await.map(drop) })
            })
            .collect();
        for opened in opened {
            assert_eq!(opened.await.unwrap(), Ok(()));
        }
    }
}

#[tokio::test]
async fn a_journal_of_the_first_schema_is_migrated_and_keeps_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let run = RunId::generate();
    let journal = SqliteJournal::open(&path).await.unwrap();
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    journal.close().await.unwrap();
    sqlite::downgrade_to_schema_1(&path).await;
    let journal = SqliteJournal::open(&path).await.unwrap();
    assert_eq!(journal.load(run).await.unwrap().row.seq, Seq(2));
    let next = RunId::generate();
    journal.commit(creates(vec![locking_run(&next, &["a"], &[])])).await.unwrap();
    assert_eq!(journal.holders(vec!["a".into()]).await.unwrap()[0].holder.id, next);
    assert_eq!(journal.log_lines(next).await.unwrap(), []);
}

#[tokio::test]
async fn a_new_file_is_private_and_keeps_its_entries_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/journal.db");
    let run = RunId::generate();
    let journal = SqliteJournal::open(&path).await.unwrap();
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    journal.close().await.unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let journal = SqliteJournal::open(&path).await.unwrap();
    assert_eq!(journal.load(run).await.unwrap().row.seq, Seq(2));
}

#[tokio::test]
async fn a_status_of_a_newer_program_is_an_error_that_names_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let run = RunId::generate();
    let journal = SqliteJournal::open(&path).await.unwrap();
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    sqlite::execute(&path, "UPDATE run SET status = 'paused'").await;
    for error in [journal.load(run.clone()).await.unwrap_err(), journal.runs(9).await.unwrap_err()] {
        let JournalError::Unreadable { run: named, reason } = &error else { panic!("{error}") };
        assert!(*named == run && reason.contains("paused"), "{error}");
    }
}

#[tokio::test]
async fn a_journal_that_does_not_exist_is_not_created_to_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    assert!(journal::open_existing(&path).await.unwrap().is_none());
    assert_eq!(journal::inspect(&path).await, Ok(Inspected::Absent));
    assert!(!path.exists());
    journal::open(&path).await.unwrap();
    assert!(journal::open_existing(&path).await.unwrap().is_some());
    let inspected = journal::inspect(&path).await;
    assert!(matches!(inspected, Ok(Inspected::Intact { schema, known }) if schema == known), "{inspected:?}");
}

#[tokio::test]
async fn a_file_that_is_not_a_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    std::fs::write(&path, "no database at all, but long enough to be read as one".repeat(100)).unwrap();
    let error = open_error(&path).await;
    assert!(matches!(error, JournalError::Corrupt(_)), "{error}");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("no database"), "it is unchanged");
}

#[tokio::test]
async fn a_journal_of_a_newer_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    SqliteJournal::open(&path).await.unwrap().close().await.unwrap();
    sqlite::upgrade_to_schema(&path, 999).await;
    let error = open_error(&path).await;
    assert!(matches!(error, JournalError::Newer { found: 999, .. }), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    let error = open_error(Path::new("/proc/stargate/journal.db")).await;
    assert!(matches!(&error, JournalError::Open { .. }), "{error}");
    assert!(error.to_string().contains("/proc/stargate/journal.db"), "{error}");
}

async fn open_error(path: &Path) -> JournalError {
    SqliteJournal::open(path).await.err().expect("it must not open")
}
