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

/// Query of the number that marks a file as a journal.
const APPLICATION_ID: &str = "SELECT CAST(application_id AS TEXT) FROM pragma_application_id";

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
    assert_eq!(sqlite::text(&path, APPLICATION_ID).await, "1400140391");
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

#[tokio::test]
async fn each_new_journal_has_an_id_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for name in ["a.db", "b.db"] {
        let path = folder.path().join(name);
        SqliteJournal::open(&path).await.unwrap().close().await.unwrap();
        assert_eq!(sqlite::text(&path, APPLICATION_ID).await, "1400140391");
        ids.push(sqlite::text(&path, "SELECT id FROM identity").await);
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[0].len(), 32);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_not_changed() {
    let databases = [
        ("CREATE TABLE invoice (id INTEGER)", "its tables are invoice"),
        ("PRAGMA journal_mode = WAL; CREATE TABLE run (id INTEGER)", "its tables are run"),
        ("PRAGMA application_id = 252006674; CREATE TABLE a (id)", "its application id is 0x0f055112"),
    ];
    for (statements, expected) in databases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        sqlite::create(&path, statements).await;
        let before = std::fs::read(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        for error in [open_error(&path).await, journal::inspect(&path).await.unwrap_err()] {
            let JournalError::Foreign { description, .. } = &error else { panic!("{error}") };
            assert_eq!(description, expected);
        }
        assert!(std::fs::read(&path).unwrap() == before, "it is unchanged");
        assert_eq!(path.metadata().unwrap().permissions().mode(), mode);
        assert_eq!(files(folder.path()), ["journal.db"]);
    }
}

#[tokio::test]
async fn a_closed_journal_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let (first, second) = (SqliteJournal::open(&path).await.unwrap(), SqliteJournal::open(&path).await.unwrap());
    let run = RunId::generate();
    first.commit(creates(vec![new_run(&run)])).await.unwrap();
    first.close().await.unwrap();
    assert_eq!(second.load(run.clone()).await.unwrap().row.seq, Seq(2), "the file is in use");
    second.close().await.unwrap();
    assert_eq!(files(folder.path()), ["journal.db"]);
    let reopened = SqliteJournal::open(&path).await.unwrap();
    assert_eq!(reopened.load(run).await.unwrap().row.seq, Seq(2));
}

/// Returns the names of the files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_journal_that_is_deleted_or_replaced_in_use_is_noticed() {
    let deleted = |path: &Path| std::fs::remove_file(path).unwrap();
    displaced(deleted, "it was deleted").await;
    let replaced = |path: &Path| {
        std::fs::copy(path, path.with_extension("copy")).unwrap();
        std::fs::rename(path.with_extension("copy"), path).unwrap();
    };
    displaced(replaced, "another file has its path").await;
    let without_log = |path: &Path| std::fs::remove_file(path.with_extension("db-wal")).unwrap();
    displaced(without_log, "its write-ahead log was deleted or replaced").await;
    let emptied = |path: &Path| std::fs::write(path, "").unwrap();
    displaced(emptied, "its identity cannot be read").await;
    let overwritten = |path: &Path| overwrite(path, &path.with_file_name("other.db"));
    displaced(overwritten, "another journal has overwritten it").await;
    let restored = |path: &Path| overwrite(path, &path.with_file_name("backup.db"));
    displaced(restored, "an earlier copy has overwritten it").await;
}

/// Overwrites the content of a file in its place.
fn overwrite(path: &Path, with: &Path) {
    std::fs::write(path, std::fs::read(with).unwrap()).unwrap();
}

/// Checks that a journal in use notices a change of its files. Next to it are an earlier copy of
/// it, `backup.db`, and another journal, `other.db`.
async fn displaced(change: impl Fn(&Path), expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    for name in ["journal.db", "other.db"] {
        SqliteJournal::open(&folder.path().join(name)).await.unwrap().close().await.unwrap();
    }
    std::fs::copy(&path, path.with_file_name("backup.db")).unwrap();
    let journal = SqliteJournal::open(&path).await.unwrap();
    journal.commit(creates(vec![new_run(&RunId::generate())])).await.unwrap();
    journal.verify_identity().await.unwrap();
    journal.commit(creates(vec![new_run(&RunId::generate())])).await.unwrap();
    journal.verify_identity().await.unwrap();
    change(&path);
    let error = journal.verify_identity().await.unwrap_err();
    let JournalError::Displaced { journal, reason } = &error else { panic!("{error}") };
    assert!(journal.ends_with("/journal.db") && reason.starts_with(expected), "{error}");
}

#[tokio::test]
async fn a_journal_with_several_users_is_the_one_that_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let journals = [SqliteJournal::open(&path).await.unwrap(), SqliteJournal::open(&path).await.unwrap()];
    for _ in 0..3 {
        for journal in &journals {
            for _ in 0..5 {
                journal.commit(creates(vec![new_run(&RunId::generate())])).await.unwrap();
            }
            journal.verify_identity().await.unwrap();
        }
    }
}

#[tokio::test]
async fn folders_and_files_are_private_whatever_the_umask_is() {
    rustix::process::umask(rustix::fs::Mode::empty());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/journal.db");
    let journal = SqliteJournal::open(&path).await.unwrap();
    journal.commit(creates(vec![new_run(&RunId::generate())])).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&folder.path().join("a")), mode(&folder.path().join("a/b"))], [0o700; 2]);
    assert_eq!([mode(&path), mode(&path.with_extension("db-wal")), mode(&path.with_extension("db-shm"))], [0o600; 3]);
}

#[tokio::test]
async fn a_journal_that_others_can_read_becomes_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    SqliteJournal::open(&path).await.unwrap().close().await.unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    SqliteJournal::open(&path).await.unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_symbolic_link_is_followed_to_a_journal_only() {
    let folder = tempfile::tempdir().unwrap();
    let (target, path) = (folder.path().join("target.db"), folder.path().join("journal.db"));
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let missing = open_error(&path).await;
    std::fs::write(&target, "").unwrap();
    let empty = open_error(&path).await;
    for error in [missing, empty] {
        assert!(error.to_string().contains("symbolic link to an empty or missing file"), "{error}");
    }
    assert_eq!(target.metadata().unwrap().len(), 0);
    std::fs::remove_file(&target).unwrap();
    SqliteJournal::open(&target).await.unwrap().close().await.unwrap();
    let journal = SqliteJournal::open(&path).await.unwrap();
    journal.verify_identity().await.unwrap();
    journal.close().await.unwrap();
    assert_eq!(files(folder.path()), ["journal.db", "target.db"]);
}

#[tokio::test]
async fn a_long_history_with_an_entry_of_a_newer_program_is_an_error_that_names_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let run = RunId::generate();
    let journal = SqliteJournal::open(&path).await.unwrap();
    journal.commit(creates(vec![new_run(&run)])).await.unwrap();
    for seq in 2..200 {
        journal.commit(appends(vec![append(&run, 1, seq, vec![started(&seq.to_string())])])).await.unwrap();
    }
    let history = journal.load(run.clone()).await.unwrap().history;
    assert_eq!(history.len(), 200);
    assert_eq!(history[199], started("199"));
    sqlite::execute(&path, "UPDATE entry SET body = '{\"later\":{}}' WHERE key & 0xffffffff = 100").await;
    let error = journal.load(run.clone()).await.unwrap_err();
    let JournalError::Unreadable { run: named, reason } = &error else { panic!("{error}") };
    assert!(*named == run && reason.contains("later"), "{error}");
}

async fn open_error(path: &Path) -> JournalError {
    SqliteJournal::open(path).await.err().expect("it must not open")
}
